import KVBlocks

/// Pins once more: a list of them, each with the blocks it keeps.
extension Model {
  struct Pin {
    var session: SessionID
    var asked: [UInt64]
    var expires: UInt64?
    var blocks: [BlockID]
  }

  func isKept(_ block: BlockID) -> Bool { state.pins.contains { $0.blocks.contains(block) } }

  func keptBlocks(_ session: SessionID) -> Set<BlockID> {
    Set(state.pins.filter { $0.session == session }.flatMap(\.blocks))
  }

  mutating func readClock() -> UInt64 {
    readsClock = true
    return max(state.clock, now)
  }

  /// The clock of a command, and the pins that end by it.
  mutating func startClock(_ now: UInt64) {
    self.now = now
    readsClock = false
    if state.pins.contains(where: { $0.expires != nil }) {
      let time = readClock()
      // In the order in which they end, and of those that end together the one made first.
      let ends = Set(state.pins.compactMap(\.expires)).filter { $0 <= time }.sorted()
      var gone: [BlockID] = []
      for end in ends {
        for pin in state.pins.filter({ $0.expires == end }) {
          state.pins.removeAll { $0.session == pin.session && $0.asked == pin.asked }
          pinsEnded += 1
          gone += pin.blocks.reversed().filter { !isKept($0) }
        }
        changed = true
      }
      line(up: gone.filter { state.references[Int($0)] == 0 && pins($0) == 0 })
    }
    if state.eviction == .priority { expire(readClock()) }
  }

  /// Hashes of token ids, from the first one on.
  func hashesToPin(_ hashes: [UInt64], _ ids: [UInt32]) throws(Refusal) -> [UInt64] {
    if !caches { throw Refusal(.invalid, field: .blockHashes, limit: 0) }
    if ids.count > most { throw Refusal(.invalid, field: .tokenCount, limit: UInt64(most)) }
    if ids.isEmpty { return hashes }
    try checkTokenIDs(ids, ids.count, hashes, 0)
    var made: [UInt64] = []
    for i in 0..<hashable(ids.count) {
      made.append(
        testHash(
          parent: made.last ?? 0, start: i * size,
          tokens: Array(ids[i * size..<(i + 1) * size + lookahead]), keys: []))
    }
    if made.isEmpty { throw Refusal(.invalid, field: .tokenIDs) }
    return made
  }

  mutating func pin(
    _ hashes: [UInt64], _ ttl: UInt64, _ unpins: Bool, _ result: inout Seen.Result
  ) throws(Refusal) {
    if !caches || hashes.isEmpty {
      throw Refusal(.invalid, field: .blockHashes, limit: caches ? UInt64(hashBytes) : 0)
    }
    // The last hash stands for all before it; clients of these walks do not cheat with that.
    let isSame: (Pin) -> Bool = { [session] in
      $0.session == session && $0.asked.count == hashes.count && $0.asked.last == hashes.last
    }
    let old = state.pins.first(where: isSame)
    var new = Pin(session: session, asked: hashes, expires: nil, blocks: [])
    if !unpins {
      if ttl > 0 {
        let (end, overflow) = readClock().addingReportingOverflow(ttl)
        new.expires = overflow ? .max : end
      }
      for block in prefix(hashes, limit: hashes.count) {
        let isQueued = state.references[Int(block)] == 0 && pins(block) == 0
        var mine = keptBlocks(session)
        mine.formUnion(new.blocks)
        if !mine.contains(block) && mine.count >= pinBudget { break }
        // One taken for this pin is out of the queue already.
        if isQueued && !new.blocks.contains(block) {
          if available <= promised { break }
          state.queue.removeAll { $0 == block }
          leavePending(block)
          sortQueue()
          state.handedOut += 1
          state.mostUsed = max(state.mostUsed, blocks - availableInAll)
        }
        new.blocks.append(block)
      }
    }
    if old != nil || !new.blocks.isEmpty { changed = true }
    state.pins.removeAll(where: isSame)
    if !new.blocks.isEmpty { state.pins.append(new) }
    if !new.blocks.isEmpty { pinsMade += 1 }
    let freed = (old?.blocks ?? []).reversed().filter {
      !isKept($0) && state.references[Int($0)] == 0 && pins($0) == 0
    }
    line(up: freed)
    if unpins { result.freed = UInt32(freed.count) }
    result.tokens = UInt32(new.blocks.count * size)
    let mine = keptBlocks(session).count
    result.affected = UInt32(mine)
    result.budget = UInt32(max(0, pinBudget - mine))
  }

  /// Blocks that lost their content are kept by no one.
  mutating func unpin(_ ids: [BlockID]) {
    var free: [BlockID] = []
    for id in ids where isKept(id) {
      for i in state.pins.indices { state.pins[i].blocks.removeAll { $0 == id } }
      state.pins.removeAll { $0.blocks.isEmpty }
      if state.references[Int(id)] == 0 && pins(id) == 0 { free.append(id) }
    }
    line(up: free)
  }
}
