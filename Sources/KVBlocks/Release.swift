/// What giving back the tables of a set of sequences would free, counted without doing it.
struct Release: ~Copyable {
  private let blocks: BlockPool
  /// Of a survey that is to show these blocks as available, and that outlives this.
  private let survey: UnsafeMutablePointer<Int8>?
  /// (block, 0) -> references to a shared block that go; (last block, 1) -> blocks of a rounded run
  /// that go.
  private let gone = WideMap(.swaps, undo: UndoLog())
  private(set) var freed: UInt32 = 0

  init(_ blocks: BlockPool, marking survey: UnsafeMutablePointer<Int8>? = nil) {
    self.blocks = blocks
    self.survey = survey
  }

  mutating func add(_ table: UnsafeBufferPointer<BlockID>) {
    for id in table where id != 0 {
      let record = blocks.records[Int(id)]
      if record.refCount > 1 {
        let count = gone.value(UInt64(id), 0) + 1
        gone.set(UInt64(id), 0, to: count)
        if count < record.refCount { continue }
      }
      if record.pins > 0 { continue }
      mark(id)
      freed += 1 + restOfRun(id, by: 1)
    }
  }

  /// Of a table that was added.
  mutating func remove(_ table: UnsafeBufferPointer<BlockID>) {
    for id in table where id != 0 {
      let record = blocks.records[Int(id)]
      if record.refCount > 1 {
        let count = gone.value(UInt64(id), 0)
        gone.set(UInt64(id), 0, to: count - 1)
        if count < record.refCount { continue }
      }
      if record.pins > 0 { continue }
      mark(id)
      freed -= 1 + restOfRun(id, by: -1)
    }
  }

  /// The block is available from now on in the survey, or as it was.
  private func mark(_ id: BlockID) {
    if let survey { survey[Int(id)] = -survey[Int(id)] }
  }

  /// With the last block of a rounded run its rest goes, too (`BlockPool.takeRun`).
  private func restOfRun(_ id: BlockID, by step: Int32) -> UInt32 {
    guard let last = blocks.lastOfRun(id) else { return 0 }
    let old = gone.value(UInt64(last), 1)
    let new = UInt32(Int32(old) + step)
    gone.set(UInt64(last), 1, to: new)
    if max(old, new) < blocks.records[Int(last)].previous { return 0 }
    let rest = blocks.restOfRun(endingAt: last)
    for id in rest { mark(id) }
    return UInt32(rest.count)
  }
}

extension BlockPool {
  /// The power of two that the rounded run of a block in use has; it must be in one.
  @inline(__always)
  func orderOfRun(_ id: BlockID) -> UInt32 { records[Int(id)].next - 1 }

  /// The last block of the rounded run that a block in use belongs to; nil where it is in none.
  func lastOfRun(_ id: BlockID) -> BlockID? {
    let order = records[Int(id)].next
    return order == 0 ? nil : ((id - 1) >> (order - 1) + 1) << (order - 1)
  }

  /// What was taken with a rounded run beyond the blocks that were asked for.
  func restOfRun(endingAt last: BlockID) -> Range<BlockID> {
    let order = records[Int(last)].next
    let first = last + 1 - (1 << (order - 1))
    var start = last + 1
    while start > first && records[Int(start - 1)].holder == .rounding
      && records[Int(start - 1)].next == order
    {
      start -= 1
    }
    return start..<last + 1
  }
}
