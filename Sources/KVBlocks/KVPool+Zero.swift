/// Blocks to be zeroed: what one sequence wrote, another one is not to read.
///
/// The pool has no KV memory, so it marks: of the blocks that an operation handed out those that were
/// handed out before, by whomever. Not hits, whose content is wanted, and not targets that a copy
/// fills to the last slot. Blocks of the host tier are filled by copies alone, and read by copies of
/// no more than that.
extension KVPool {
  /// O(blocks that the operation handed out).
  func markHandedOut(
    _ dirty: DirtyBlocks, _ result: inout OperationResult, _ outcome: Outcome
  ) {
    let first = outcome.mustZero.count
    // What a preempted sequence gives back can be handed out again by the same operation.
    let mayRepeat = result.preempted.count > 0
    var seen: Set<BlockID> = []
    for copy in outcome.copies.elements(result.copies) where copy.kind != .swapOut {
      useClass(ofBlock: copy.target)
      let isUsed = dirty.insert(copy.target)
      if mayRepeat && !seen.insert(copy.target).inserted { continue }
      if isUsed && copy.tokens < blockSize { outcome.mustZero.append(copy.target) }
    }
    for id in outcome.blocks.elements(result.newBlocks) where dirty.insert(id) {
      if mayRepeat && !seen.insert(id).inserted { continue }
      outcome.mustZero.append(id)
    }
    result.mustZero = slice(first, outcome.mustZero.count)
  }

  /// This pool takes the place of another, in the same memory.
  func inheritDirty(from other: KVPool) {
    let areSame =
      other.configuration.blocks == configuration.blocks
      && other.configuration.blockSize == configuration.blockSize
      && other.configuration.sizeClasses == configuration.sizeClasses
      && other.configuration.geometry == configuration.geometry
    dirty?.inherit(other.dirty, areSame: areSame)
  }

  /// What is held, or holds content, was handed out.
  func checkDirty() -> String? {
    guard let dirty else { return nil }
    for id in 1...blocks.capacity {
      let record = blocks.records[Int(id)]
      let isUsed = (record.refCount > 0 && record.holder != .rounding) || record.twin != 0
      if isUsed && !dirty.contains(id) { return "block \(id) is used and counts as clean" }
    }
    return nil
  }
}
