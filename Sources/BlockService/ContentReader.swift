internal import BlockHashing
internal import BlockMessages
internal import KVBlocks

/// Makes the extra keys of contents, the retention ranges of sequences and the moves of plans, and keeps
/// them as long as the command at hand borrows them.
///
/// What is wrong with them is not the whole request's failure but the operation's: it is kept until
/// the operation is put together, and the pool refuses the operation with it.
final class ContentReader {
  private var keys: [ExtraKeys] = []
  private var ranges: [UnsafeMutableBufferPointer<RetentionRange>] = []
  private var moves: [UnsafeMutableBufferPointer<BlockMove>] = []
  private var problem = Refusal.none

  /// A new command.
  func begin() {
    keys.removeAll(keepingCapacity: true)
    for list in ranges { list.deallocate() }
    ranges.removeAll(keepingCapacity: true)
    for list in moves { list.deallocate() }
    moves.removeAll(keepingCapacity: true)
    problem = .none
  }

  deinit { begin() }

  /// What was wrong with the contents since the last call.
  func takeProblem() -> Refusal {
    defer { problem = .none }
    return problem
  }

  /// The retention ranges of a new sequence, borrowed until `begin`; empty where there are none.
  func retention(_ options: OptionsMessage) -> UnsafeBufferPointer<RetentionRange> {
    let count = options.retentionCount
    if count == 0 { return .init(start: nil, count: 0) }
    let list = UnsafeMutableBufferPointer<RetentionRange>.allocate(capacity: count)
    for i in 0..<count {
      let range = options.retention(i)
      list.initializeElement(
        at: i,
        to: RetentionRange(
          firstToken: range.firstToken, lastToken: range.lastToken, priority: range.priority,
          timeToLive: range.timeToLive))
    }
    ranges.append(list)
    return UnsafeBufferPointer(list)
  }

  /// The moves of a plan, borrowed until `begin`; there must be one.
  func moves(_ plan: PlanMessage?) -> UnsafeBufferPointer<BlockMove> {
    guard let plan else {
      problem = Refusal(.invalid, field: .plan)
      return .init(start: nil, count: 0)
    }
    let list = UnsafeMutableBufferPointer<BlockMove>.allocate(capacity: plan.moveCount)
    for i in 0..<plan.moveCount {
      let move = plan.move(i)
      list.initializeElement(at: i, to: BlockMove(source: move.source, target: move.target))
    }
    moves.append(list)
    return UnsafeBufferPointer(list)
  }

  /// The extra keys of new content, borrowed until `begin`; empty where there are none.
  func extraKeys(
    _ content: ContentMessage, _ options: OptionsMessage, _ sequence: UInt64
  ) -> UnsafeBufferPointer<UInt8> {
    let none = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    let digests = content.promptEmbedsDigest
    if options.cacheSalt.isEmpty && options.loraName.isEmpty && options.loraPath.isEmpty
      && content.itemCount == 0 && digests.isEmpty
    {
      return none
    }
    do throws(ExtraKeysError) {
      let made = try ExtraKeys(
        loraName: String(decoding: options.loraName, as: UTF8.self),
        loraPath: String(decoding: options.loraPath, as: UTF8.self),
        multimodal: (0..<content.itemCount).map {
          let item = content.item($0)
          return MultimodalItem(
            identifier: item.identifier, offset: item.offset, length: item.length)
        },
        cacheSalt: String(decoding: options.cacheSalt, as: UTF8.self),
        promptEmbedsDigests: digests.isEmpty ? nil : Array(digests))
      keys.append(made)
      return made.bytes
    } catch {
      problem = Self.refusal(error, sequence)
      return none
    }
  }

  /// Extra keys are given when a sequence is added, not later, as in vLLM.
  func checkAppended(_ content: ContentMessage, _ sequence: UInt64) {
    if content.itemCount > 0 {
      problem = Refusal(.invalid, field: .multimodal, limit: .max, sequence: sequence)
    } else if !content.promptEmbedsDigest.isEmpty {
      problem = Refusal(.invalid, field: .promptEmbedsDigest, limit: .max, sequence: sequence)
    }
  }

  static func refusal(_ error: ExtraKeysError, _ sequence: UInt64) -> Refusal {
    switch error {
    case .loraPathWithoutName: Refusal(.invalid, field: .loraPath, sequence: sequence)
    case .unnamedItem(let index):
      Refusal(.invalid, field: .multimodal, limit: 0, sequence: sequence, subject: UInt64(index))
    case .emptyItem(let index):
      Refusal(.invalid, field: .multimodal, limit: 1, sequence: sequence, subject: UInt64(index))
    case .itemsOverlap(let index):
      Refusal(.invalid, field: .multimodal, limit: 2, sequence: sequence, subject: UInt64(index))
    case .promptEmbedsDigestBytes(let count):
      Refusal(
        .invalid, field: .promptEmbedsDigest, limit: 32, sequence: sequence,
        subject: UInt64(count))
    }
  }
}
