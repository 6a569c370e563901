/// Blocks that a copy under way pins, and what becomes of them when it ends.
extension BlockPool {
  /// Blocks whose last pin goes, on their way back to the queue.
  struct Unpinning {
    var last: BlockID = 0
    fileprivate var oldHead: BlockID
    fileprivate var others = Others()
    /// Blocks that became available.
    var freed: UInt32 = 0
  }

  /// Nothing else may touch the queue until `finish`.
  func beginUnpinning() -> Unpinning {
    save(0)
    save(records[0].next)
    return Unpinning(oldHead: records[0].next)
  }

  /// Drops one pin; a block without references and pins becomes available, as on a free. `holder` and
  /// `cause` are for the log.
  func dropPin(
    _ id: BlockID, _ unpinning: inout Unpinning, by holder: Holder, _ cause: ChangeLog.Cause
  ) {
    if logsReferences { log.note(.unpinned, cause, by: holder, one: id, of: self) }
    save(id)
    let record = records + Int(id)
    precondition(record.pointee.pins > 0, "unpinned a block that is not pinned")
    record.pointee.pins -= 1
    if record.pointee.pins > 0 || record.pointee.refCount > 0 { return }
    if let split {
      counters.pinned -= 1
      countPart(id, pinned: -1)
      unpinning.freed += makeAvailable(split, id, after: &unpinning.last)
      return
    }
    unpinning.freed += 1
    if record.pointee.twin != 0 {
      appendToTail(id, &unpinning.others)
      return
    }
    record.pointee.previous = unpinning.last
    records[Int(unpinning.last)].next = id
    unpinning.last = id
  }

  func finish(_ unpinning: Unpinning) {
    if split != nil { return }
    let cached = unpinning.others.cached
    let free = unpinning.freed - cached
    if free > 0 { spliceFront(unpinning.last, unpinning.oldHead) }
    counters.free += free
    counters.freedBlocks += UInt64(free)
    counters.pinned -= free
    if cached == 0 { return }
    // `finish` counts them as active before.
    counters.pinned -= cached
    counters.active += cached
    _ = finish(unpinning.others)
  }
}
