import KVBlocks

/// Moves of blocks once more.
extension Model {
  /// The session's running tables that name the block: whose, where, and how many of its slots are
  /// used.
  func places(of block: BlockID) -> [(key: Key, index: Int, used: Int)] {
    var found: [(key: Key, index: Int, used: Int)] = []
    for key in state.running where key.session == session {
      guard let sequence = state.sequences[key] else { continue }
      for (index, other) in sequence.table.enumerated() where other == block {
        let size = sizeOf(block)
        found.append((key, index, min(size, max(0, sequence.computed - index * size))))
      }
    }
    return found
  }

  func isAvailable(_ block: BlockID) -> Bool {
    state.queue.contains(block) || pending.contains(block)
  }

  func isMovable(_ block: BlockID) -> Bool {
    let references = state.references[Int(block)]
    return references > 0 && pins(block) == 0 && places(of: block).count == references
  }

  mutating func apply(
    _ planned: Revision, _ moves: [BlockMove], _ result: inout Seen.Result
  ) throws(Refusal) {
    if planned != revision {
      throw Refusal(.revisionMoved, field: .planRevision, subject: revision)
    }
    if reserves && !moves.isEmpty { throw Refusal(.wrongState, field: .strategy) }
    for (i, move) in moves.enumerated() {
      for id in [move.source, move.target] where !(1...blocks).contains(Int(id)) {
        throw Refusal(.invalid, field: .planMoves, limit: UInt64(i), subject: UInt64(id))
      }
    }
    var named: Set<BlockID> = []
    for (i, move) in moves.enumerated() {
      if !named.insert(move.source).inserted || !isMovable(move.source) {
        throw Refusal(
          .wrongState, field: .planMoves, limit: UInt64(i), subject: UInt64(move.source))
      }
      if !named.insert(move.target).inserted || !isAvailable(move.target)
        || classOf(move.target) != classOf(move.source)
      {
        throw Refusal(
          .wrongState, field: .planMoves, limit: UInt64(i), subject: UInt64(move.target))
      }
    }
    for one in 0..<max(classes.count, 1) {
      at = one
      let needed = moves.count { isHere($0.target) }
      if needed > available - promised {
        throw Refusal(
          .later, needed: UInt32(needed), available: UInt32(available),
          reserved: UInt32(promised))
      }
    }
    order(moves, &result)
    result.affected = UInt32(moves.count)
  }

  /// These can be made.
  mutating func order(_ moves: [BlockMove], _ result: inout Seen.Result) {
    // A target may be among the frees that wait, and then it comes to its place before it is taken.
    if !moves.isEmpty { flushPending() }
    noteDirty(moves.map(\.target))
    for move in moves {
      let places = places(of: move.source)
      let tokens = places.map(\.used).max() ?? 0
      state.queue.removeAll { $0 == move.target }
      if forget(move.target) {
        state.evictions += 1
        state.evictionsBy[state.eviction, default: 0] += 1
      }
      state.handedOut += 1
      state.mostUsed = max(state.mostUsed, blocks - state.queue.count)
      state.generation[Int(move.target)] = UInt32(truncatingIfNeeded: revision + 1)
      let id = state.lastCopy[session, default: 0] + 1
      state.lastCopy[session] = id
      state.copies.append(
        Copy(
          session: session, id: id, source: move.source, target: move.target, tokens: tokens,
          kind: .move))
      state.copiesOrdered += 1
      result.copies.append(
        CopyOrder(
          id: id, source: move.source, target: move.target, tokens: UInt32(tokens),
          sequence: places[0].key.id, tableIndex: UInt32(places[0].index), isRaw: false,
          kind: .move))
      changed = true
    }
  }

  /// The copy of a move is made. It is in `state.copies` no more.
  mutating func settle(_ move: Copy) {
    let places = places(of: move.source)
    let references = state.references[Int(move.source)]
    if places.isEmpty || places.count != references || isKept(move.source)
      || places.contains(where: { $0.used > move.tokens })
    {
      abandoned.append(move.id)
      state.movesGivenUp += 1
      return
    }
    for place in places { state.sequences[place.key]?.table[place.index] = move.target }
    state.references[Int(move.target)] = references
    state.references[Int(move.source)] = 0
    if let content = state.contents.removeValue(forKey: move.source) {
      state.contents[move.target] = content
      state.holders[content] = state.holders[content]?.map {
        $0 == move.source ? move.target : $0
      }
    }
    moved(move.source, to: move.target)
    state.movesMade += 1
  }
}
