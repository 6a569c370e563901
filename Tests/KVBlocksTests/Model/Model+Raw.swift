import KVBlocks

/// Raw blocks once more, and what acknowledges copies.
extension Model {
  mutating func allocate(_ count: Int, _ result: inout Seen.Result) throws(Refusal) {
    if needsRuns { return try place(count, false, [], &result) }
    if count == 0 { throw Refusal(.invalid, field: .count, limit: 1) }
    if count > available - promised {
      throw Refusal(
        count > capacity ? .never : .later, needed: UInt32(count), available: UInt32(available),
        reserved: UInt32(promised))
    }
    result.newBlocks = take(count)
    for block in result.newBlocks { state.raw[session, default: [:]][block] = 1 }
  }

  private func checkLists(_ ids: [BlockID], _ generations: [UInt32]) throws(Refusal) {
    if ids.isEmpty { throw Refusal(.invalid, field: .blockIDs, limit: 1) }
    if ![0, 1, ids.count].contains(generations.count) {
      throw Refusal(.invalid, field: .generations, limit: UInt64(ids.count))
    }
  }

  private func checkGeneration(
    _ i: Int, _ ids: [BlockID], _ generations: [UInt32]
  ) throws(Refusal) {
    if generations.isEmpty { return }
    let expected = generations.count == 1 ? generations[0] : generations[i]
    if state.generation[Int(ids[i])] != expected {
      throw Refusal(.staleGeneration, subject: UInt64(ids[i]))
    }
  }

  private func checkRange(_ id: BlockID, _ field: Refusal.StaticName) throws(Refusal) {
    if !(1...blocks).contains(Int(id)) {
      throw Refusal(.invalid, field: field, limit: UInt64(blocks), subject: UInt64(id))
    }
  }

  mutating func freeBlocks(
    _ ids: [BlockID], _ generations: [UInt32], _ result: inout Seen.Result
  ) throws(Refusal) {
    try checkLists(ids, generations)
    var left = state.raw[session, default: [:]]
    for i in ids.indices {
      try checkRange(ids[i], .blockIDs)
      guard let held = left[ids[i]] else { throw Refusal(.notHeld, subject: UInt64(ids[i])) }
      try checkGeneration(i, ids, generations)
      left[ids[i]] = held > 1 ? held - 1 : nil
    }
    state.raw[session] = left
    result.freed = UInt32(giveBack(ids))
  }

  mutating func forkBlocks(
    _ ids: [BlockID], _ generations: [UInt32], _ result: inout Seen.Result
  ) throws(Refusal) {
    try checkLists(ids, generations)
    for i in ids.indices {
      try checkRange(ids[i], .blockIDs)
      let isRest = state.rounded.contains { $0.rest.contains(ids[i]) }
      if state.references[Int(ids[i])] == 0 || isRest {
        throw Refusal(.notHeld, subject: UInt64(ids[i]))
      }
      try checkGeneration(i, ids, generations)
      let isOfSequence = state.sequences.values.contains { $0.table.contains(ids[i]) }
      if reserves && isOfSequence {
        throw Refusal(.wrongState, field: .reservation, subject: UInt64(ids[i]))
      }
    }
    for id in ids {
      state.references[Int(id)] += 1
      state.raw[session, default: [:]][id, default: 0] += 1
      result.counts.append(UInt32(state.references[Int(id)]))
    }
    state.forks += 1
    changed = true
  }

  mutating func copyOnWrite(
    _ id: BlockID, _ filled: Int, _ result: inout Seen.Result
  ) throws(Refusal) {
    try checkRange(id, .blockID)
    at = classOf(id)
    if filled > size { throw Refusal(.invalid, field: .filledTokens, limit: UInt64(size)) }
    guard let held = state.raw[session]?[id] else {
      throw Refusal(.notHeld, subject: UInt64(id))
    }
    if mayWrite(id, from: filled) {
      if filled < size && forget(id) { changed = true }
      result.block = id
      return
    }
    if available == promised {
      throw Refusal(
        .later, needed: 1, available: UInt32(available), reserved: UInt32(promised))
    }
    let order = move(id, tokens: filled == 0 ? size : filled, sequence: 0, index: 0, raw: true)
    state.raw[session]?[id] = held > 1 ? held - 1 : nil
    state.raw[session]?[order.target] = 1
    result.block = order.target
    result.copies = [order]
  }

  mutating func acknowledge(
    _ ids: [UInt64], _ upTo: UInt64, _ result: inout Seen.Result
  ) throws(Refusal) {
    if ids.isEmpty && upTo == 0 { throw Refusal(.invalid, field: .copyIDs, limit: 1) }
    let last = state.lastCopy[session, default: 0]
    if upTo > last { throw Refusal(.invalid, field: .upTo, limit: last) }
    var done: [Copy] = []
    for id in ids {
      guard let copy = state.copies.first(where: { $0.session == session && $0.id == id }),
        !done.contains(copy)
      else { throw Refusal(.unknownCopy, subject: id) }
      done.append(copy)
    }
    done += state.copies.filter { $0.session == session && $0.id <= upTo && !done.contains($0) }
    result.affected = UInt32(done.count)
    result.freed = UInt32(finish(done))
    result.pendingCopies = UInt32(state.copies.count { $0.session == session })
  }
}
