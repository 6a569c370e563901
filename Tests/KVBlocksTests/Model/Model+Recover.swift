import KVBlocks

/// The ladder once more, on the copy of the state that a refusal goes back to.
extension Model {
  mutating func recover(
    _ need: Int, _ named: [UInt32], _ keep: [SequenceID], run: Bool, _ most: Int,
    _ result: inout Seen.Result
  ) throws(Refusal) {
    if need == 0 { throw Refusal(.invalid, field: .blocksNeeded, limit: 1) }
    for i in named.indices where !(1...3).contains(named[i]) || named[..<i].contains(named[i]) {
      throw Refusal(.invalid, field: .rungs, limit: UInt64(i))
    }
    if run {
      let rungs = named.isEmpty ? [1, 2, 3] : named
      return try recoverRun(need, rungs, keep, most == 0 ? 256 : most, &result)
    }
    if need > capacity {
      throw Refusal(
        .never, needed: UInt32(need), available: UInt32(available), reserved: UInt32(promised))
    }
    let rungs = named.isEmpty ? [1, 2, 3] : named
    let goers =
      rungs.contains(3) ? victims(of: session, need, .priority, keep: keep) : []
    let inVain = available + freed(goers) - promised < need
    if !inVain && flushPending() > 0 { changed = true }
    for rung in rungs {
      let isMet = available - promised >= need
      var evicted = 0
      var back = 0
      if rung == 1 && inVain {
        evicted = (line + pendingHere).count { content($0) != nil }
      } else if rung == 1 {
        evicted = evictAhead(need)
      } else if rung == 3 && inVain {
        back = freed(goers)
      } else if rung == 3 && !isMet {
        for key in goers { back += preempt(key) }
        flushPending()
        result.preempted += goers.map(\.id)
        if !goers.isEmpty { recovered += 1 }
      }
      result.reports.append(
        RungReport(
          RecoverRung(rawValue: UInt8(rung)) ?? .evict, freedBlocks: UInt32(back),
          evictedBlocks: UInt32(evicted),
          isSufficient: available - promised >= need, isSkipped: evicted + back == 0))
    }
    if inVain {
      throw Refusal(
        .later, needed: UInt32(need), available: UInt32(available), reserved: UInt32(promised))
    }
  }

  /// The first of the queue lose what they hold; where free and cached blocks are apart, victims go
  /// until so many hold nothing. Returns how many there were.
  private mutating func evictAhead(_ count: Int) -> Int {
    var evicted = 0
    if strategy == .freeQueue && state.eviction == .lru && classes.isEmpty {
      for block in state.queue.prefix(count) where forget(block) { evicted += 1 }
    } else {
      while line.count(where: { content($0) == nil }) < count,
        let victim = line.first(where: { content($0) != nil })
      {
        self.evicted(victim)
        _ = forget(victim)
        evicted += 1
      }
    }
    state.evictions += evicted
    state.evictionsAhead += evicted
    if evicted > 0 { changed = true }
    return evicted
  }
}
