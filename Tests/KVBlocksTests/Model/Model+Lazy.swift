import KVBlocks

/// Lazy frees once more: a list of frees, each a list of blocks, that nobody has lined up yet.
extension Model {
  var pending: [BlockID] { state.lazy.flatMap { $0 } }

  /// These have lost their last reference, in one free.
  mutating func giveUp(_ free: [BlockID]) -> Int {
    if state.batch == 0 { return line(up: free) }
    if !free.isEmpty { state.lazy.append(free) }
    state.cameBack += free.count
    if pending.count >= state.batch { flushPending() }
    return free.count
  }

  /// Each free in turn.
  @discardableResult
  mutating func flushPending() -> Int {
    let frees = state.lazy
    state.lazy = []
    for free in frees {
      _ = line(up: free)
      state.cameBack -= free.count
      flushedFrees += 1
    }
    return frees.reduce(0) { $0 + $1.count }
  }

  /// Before so many are taken: nobody waits in vain, and nothing is evicted while a free one waits,
  /// be it of another size class.
  mutating func flush(for count: Int) {
    let free = line.count { content($0) == nil }
    let waiting = pending.count { content($0) == nil }
    if count > line.count || (count > free && waiting > 0) { flushPending() }
  }

  mutating func leavePending(_ block: BlockID) {
    for i in state.lazy.indices { state.lazy[i].removeAll { $0 == block } }
    state.lazy.removeAll { $0.isEmpty }
  }
}
