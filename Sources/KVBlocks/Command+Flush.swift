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

  /// Most blocks that the flushes of one command evict, some hundredths of a second. What is left of
  /// the deficit is for the next one.
  package static let maximumEvictionsAhead: UInt32 = 1 << 16

  /// Gives back what is pending; then evicts the deficit, and no more, in the order of the evictions.
  /// O(pending blocks + blocks evicted), and those that hold nothing where there was no flush before.
  func flush(_ result: inout OperationResult) {
    result.freedBlocks = blocks.flushPending()
    if result.freedBlocks > 0 { run.changed = true }
    let deficit = min(evictionDeficit, evictionsAheadLimit - run.evictedAhead)
    if deficit == 0 { return }
    run.evictedAhead += deficit
    blocks.evictAhead(deficit, generation: generation)
    activity.evictionsAhead += UInt64(deficit)
    run.changed = true
  }
}

extension BlockPool {
  /// Takes the content off the first `count` cached blocks; there are that many. They keep their places
  /// in the queue; in split mode they join the free blocks. `generation` is the command's.
  func evictAhead(_ count: UInt32, generation: UInt32) {
    var rest = count
    if let split {
      for _ in 0..<count { _ = evictNext(split, .ahead) }
      return
    }
    // As if it passed all that hold nothing: what is counted must not depend on what is remembered.
    searched += UInt64(counters.free) + UInt64(count)
    var id = startOfCached
    while rest > 0 {
      precondition(id != 0, "fewer cached blocks in the queue than there are")
      if records[Int(id)].twin != 0 {
        evict(id, .ahead, for: .none)
        rest -= 1
        // A block that this command handed out can leave and come back with the same generation.
        if rest == 0 && records[Int(id)].generation != generation {
          swept = Swept(id: id, generation: records[Int(id)].generation)
        }
      }
      id = records[Int(id)].next
    }
  }

  /// A block of the queue before which nothing is cached. Where one flush stopped the next goes on,
  /// as long as that block has stayed in its place without content: what comes since comes before
  /// it without content, or behind it.
  private var startOfCached: BlockID {
    let record = records[Int(swept.id)]
    let isThere =
      swept.id != 0 && record.refCount == 0 && record.pins == 0 && record.twin == 0
      && record.holder == .none && record.generation == swept.generation
    return isThere ? swept.id : records[0].next
  }

  /// Where the last flush stopped, in the one queue; forgotten when a command is undone or the queue is
  /// made anew. No part of the state.
  struct Swept: BitwiseCopyable {
    var id: BlockID = 0
    var generation: UInt32 = 0
  }
}
