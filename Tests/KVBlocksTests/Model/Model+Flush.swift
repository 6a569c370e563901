import KVBlocks

extension Model {
  /// The first cached blocks of the queue lose what they hold, until enough hold nothing.
  mutating func flush(_ result: inout Seen.Result) {
    result.freed = UInt32(flushPending())
    if result.freed > 0 { changed = true }
    while state.queue.count(where: { content($0) == nil }) < state.keptFree,
      let victim = state.queue.first(where: { content($0) != nil })
    {
      evicted(victim)
      _ = forget(victim)
      state.evictions += 1
      state.evictionsAhead += 1
      flushed += 1
      changed = true
    }
  }
}
