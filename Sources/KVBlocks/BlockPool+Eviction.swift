/// Switching the eviction policy of a pool in use.
extension BlockPool {
  /// From here on cached blocks are evicted by `policy`. What the old one knew is forgotten: they come
  /// to the new one in the order in which they were last given back, at the clock `now`.
  ///
  /// A pool that takes its free blocks from the queue leaves the one queue for split mode, and back
  /// at `lru` it has one queue again: the free blocks in their order, then the cached ones.
  ///
  /// O(cached blocks x log) and, for another policy than `lru`, the memory of its columns to clear.
  func setEviction(_ policy: EvictionPolicy, now: UInt64) {
    flushPending()
    swept = Swept()
    let free = split?.free ?? FreeQueue(capacity: capacity, records: records, undo: undo)
    let cached = split?.cached.arrived() ?? leaveQueue()
    if policy == .lru && strategy == .freeQueue {
      split = nil
      joinQueue(cached)
      return
    }
    for id in cached { save(id) }
    save(capacity + 1)
    let order = makeOrder(policy)
    order.now = now
    for id in cached { order.link(id) }
    order.rankAll()
    let new = SplitBlocks(free: free, cached: order)
    if undo.isRecording { replaced.append(new) }
    split = new
  }

  /// Takes the cached blocks out of the one queue. They came to its tail, so that is where they are
  /// looked for: O(cached blocks), and those among them that were forgotten there.
  private func leaveQueue() -> [BlockID] {
    var cached: [BlockID] = []
    cached.reserveCapacity(Int(counters.cached))
    var id = records[0].previous
    while cached.count < Int(counters.cached) {
      precondition(id != 0, "fewer cached blocks in the queue than there are")
      let before = records[Int(id)].previous
      if records[Int(id)].twin != 0 {
        save(id)
        unlink(id)
        cached.append(id)
      }
      id = before
    }
    cached.reverse()
    return cached
  }

  private func joinQueue(_ cached: [BlockID]) {
    save(0)
    save(capacity + 1)
    records[Int(capacity) + 1] = BlockRecord()
    for id in cached {
      let tail = records[0].previous
      save(tail)
      save(id)
      records[Int(id)].previous = tail
      records[Int(id)].next = 0
      records[Int(tail)].next = id
      records[0].previous = id
    }
  }
}
