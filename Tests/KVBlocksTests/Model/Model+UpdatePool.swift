import KVBlocks

extension Model {
  /// Of N + 1 blocks, with the null block, and rounded down.
  var watermark: Int { Int(state.watermark * Double(capacity + 1)) }

  mutating func update(_ update: PoolUpdate) throws(Refusal) {
    if let new = update.watermark, !(0..<1).contains(new) {
      throw Refusal(.invalid, field: .watermark)
    }
    if let new = update.eviction, new != .lru, !caches {
      throw Refusal(.invalid, field: .eviction)
    }
    if let new = update.eviction, new != .lru, !classes.isEmpty {
      throw Refusal(.invalid, field: .eviction, limit: UInt64(classes.count))
    }
    let mostKept = caches && classes.isEmpty ? blocks : 0
    if let new = update.proactiveFreeBlocks, new > mostKept {
      throw Refusal(.invalid, field: .proactiveFreeBlocks, limit: UInt64(mostKept))
    }
    if let new = update.lazyFreeBatch, new > (needsRuns ? 0 : 65_536) {
      throw Refusal(.invalid, field: .lazyFreeBatch, limit: needsRuns ? 0 : 65_536)
    }
    if let new = update.lazyFreeBatch, Int(new) != state.batch {
      state.batch = Int(new)
      if pending.count >= state.batch { flushPending() }
      changed = true
    }
    if let new = update.proactiveFreeBlocks, Int(new) != state.keptFree {
      state.keptFree = Int(new)
      changed = true
    }
    if let new = update.watermark, new != state.watermark {
      state.watermark = new
      changed = true
    }
    if let new = update.eviction, new != state.eviction {
      switchEviction(to: new)
      changed = true
    }
  }
}
