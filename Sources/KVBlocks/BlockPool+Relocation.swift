/// Blocks that move: a target is set aside, and takes over what the source is.
extension BlockPool {
  /// Takes this available block, wherever it is kept, as the target of a move: one pin, no reference.
  /// Content that it had is evicted, which counts as the policy's choice: plans take cached blocks in
  /// its order.
  func takeTarget(_ id: BlockID, generation: UInt32) {
    precondition(isEvictable(id), "moved to a block that is not available")
    save(id)
    if records[Int(id)].twin != 0 {
      evict(id, .defragment, for: .none)
      if let split { countEviction(by: split.cached.policy) }
    }
    if let split { part(of: id, split).free.remove(id) } else { unlink(id) }
    countPart(id, free: -1, pinned: 1)
    counters.free -= 1
    counters.pinned += 1
    counters.allocatedBlocks += 1
    counters.highWatermark = max(counters.highWatermark, capacity - available)
    let record = records + Int(id)
    record.pointee.pins = 1
    record.pointee.generation = generation
    record.pointee.lastTouch = generation
  }

  /// All references to a pinned block, and its content, become those of a pinned one that nobody
  /// holds. Both keep their pins, and the parts of the pool their sizes. They are of one size class.
  func moveAll(from source: BlockID, to target: BlockID) {
    let old = records + Int(source)
    let new = records + Int(target)
    precondition(old.pointee.refCount > 0 && old.pointee.pins > 0, "moved a block that is free")
    precondition(new.pointee.refCount == 0 && new.pointee.pins > 0, "moved to a block in use")
    save(source)
    save(target)
    new.pointee.refCount = old.pointee.refCount
    new.pointee.holder = old.pointee.holder
    new.pointee.lastTouch = old.pointee.lastTouch
    old.pointee.refCount = 0
    old.pointee.holder = .none
    if old.pointee.twin == 0 { return }
    index?.move(source, to: target)
    if let split { part(of: source, split).cached.move(source, to: target) }
  }
}
