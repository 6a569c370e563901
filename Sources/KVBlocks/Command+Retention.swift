/// How long the blocks of a token range are worth keeping once nobody holds them; for pools that evict
/// by `priority`, of no effect in others.
package struct RetentionRange: BitwiseCopyable, Equatable {
  /// From this token, from 0.
  package var firstToken: UInt32
  /// Up to and including this one; 0 = to the end, whatever the sequence grows to.
  package var lastToken: UInt32
  /// 0 goes first ... 100 goes last.
  package var priority: UInt32
  /// Milliseconds after the last use; 0 = for ever.
  package var timeToLive: UInt64

  package init(
    firstToken: UInt32 = 0, lastToken: UInt32 = 0, priority: UInt32, timeToLive: UInt64 = 0
  ) {
    self.firstToken = firstToken
    self.lastToken = lastToken
    self.priority = priority
    self.timeToLive = timeToLive
  }

  /// Most ranges of one sequence.
  package static let most = 16

  var isValid: Bool {
    priority <= UInt32(RetentionOrder.highestPriority)
      && (lastToken == 0 || lastToken >= firstToken)
  }
}

extension Digest {
  mutating func add(_ ranges: UnsafeBufferPointer<RetentionRange>) {
    for range in ranges {
      add(range.firstToken, range.lastToken, range.priority)
      add(range.timeToLive)
    }
  }
}

extension KVPool {
  func checkRetention(_ new: AddSequence) throws(Refusal) {
    if new.retention.count > RetentionRange.most || !new.retention.allSatisfy(\.isValid) {
      throw Refusal(
        .invalid, field: .retention, limit: UInt64(RetentionRange.most), sequence: new.sequence)
    }
  }

  /// A sequence that hit a block, or cached it, says what it is worth: the last range that has the
  /// block's first token. Where it has none, what others said stays. O(ranges), in pools that evict
  /// by `priority`.
  @inline(__always)
  func claim(_ block: BlockID, at position: UInt32, of slot: UInt32) {
    guard let order = blocks.split?.cached, order.keepsTime, let chains else { return }
    let first = position * configuration.blockSize
    for range in chains.retention(of: slot).reversed()
    where range.firstToken <= first && (range.lastToken == 0 || first <= range.lastToken) {
      order.claim(block, priority: UInt8(range.priority), timeToLive: range.timeToLive)
      return
    }
  }
}
