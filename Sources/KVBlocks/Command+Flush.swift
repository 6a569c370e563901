/// What a pool puts off, done now: frees that wait for their batch are given back, and what proactive
/// eviction is short of is evicted.
///
/// The pool never does it by itself within another command: an allocation would pay for it. Whoever
/// hosts the pool asks for `evictionDeficit` after a command and applies a flush when there is time.
extension KVPool {
  /// Blocks that proactive eviction is short of and could evict: O(1), 0 where it is off.
  @inline(__always)
  package var evictionDeficit: UInt32 {
    let aim = configuration.admission.proactiveFreeBlocks
    return aim <= blocks.counters.free ? 0 : min(aim - blocks.counters.free, blocks.counters.cached)
  }

  /// Gives back what is pending; then evicts the deficit, and no more, in the order of the evictions.
  /// O(pending blocks + blocks that it is to keep free).
  func flush(_ result: inout OperationResult) {
    result.freedBlocks = blocks.flushPending()
    if result.freedBlocks > 0 { run.changed = true }
    let deficit = evictionDeficit
    if deficit == 0 { return }
    blocks.evictAhead(deficit)
    activity.evictionsAhead += UInt64(deficit)
    run.changed = true
  }
}

extension BlockPool {
  /// Takes the content off the first `count` cached blocks; there are that many. They keep their places
  /// in the queue; in split mode they join the free blocks.
  func evictAhead(_ count: UInt32) {
    var rest = count
    if let split {
      for _ in 0..<count { _ = evictNext(split) }
      return
    }
    var id = records[0].next
    while rest > 0 {
      precondition(id != 0, "fewer cached blocks in the queue than there are")
      if records[Int(id)].twin != 0 {
        evict(id)
        rest -= 1
      }
      id = records[Int(id)].next
    }
  }
}
