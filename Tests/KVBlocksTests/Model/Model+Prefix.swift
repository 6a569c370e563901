import KVBlocks

/// The prefix cache once more: what each block holds, and a list of blocks for each content.
extension Model {
  func content(_ block: BlockID) -> UInt64? { state.contents[block] }

  mutating func forget(_ block: BlockID) -> Bool {
    guard let content = state.contents.removeValue(forKey: block) else { return false }
    state.holders[content]?.removeAll { $0 == block }
    forgot(block)
    if state.queue.contains(block) { arrange() }
    return true
  }

  mutating func remember(_ block: BlockID, _ content: UInt64) -> Bool {
    if state.contents[block] != nil { return false }
    state.contents[block] = content
    state.holders[content, default: []].append(block)
    return true
  }

  /// Who answers for the content, of the class looked at.
  func holder(of content: UInt64) -> BlockID? {
    state.holders[content]?.first { isHere($0) }
  }

  func prefix(_ hashes: [UInt64], limit: Int) -> [BlockID] {
    var found: [BlockID] = []
    for hash in hashes.prefix(limit) {
      guard let block = holder(of: hash) else { break }
      found.append(block)
    }
    return found
  }

  func hits(_ sequence: Sequence) -> [BlockID] {
    if sequence.skips { return [] }
    if window > 0 { return windowHits(sequence) }
    let found = prefix(sequence.hashes, limit: (sequence.tokens - 1) / size)
    return eagle ? found.dropLast() : found
  }

  func inQueue(_ found: [BlockID]) -> Int {
    found.count { state.references[Int($0)] == 0 && pins($0) == 0 }
  }

  /// A reference to a block that was hit.
  mutating func touch(_ block: BlockID) {
    hit(block)
    if state.references[Int(block)] == 0 {
      state.generation[Int(block)] = UInt32(truncatingIfNeeded: revision + 1)
      if pending.contains(block) {
        leavePending(block)
        state.handedOut += 1
        state.mostUsed = max(state.mostUsed, blocks - available)
      }
      if let place = state.queue.firstIndex(of: block) {
        state.queue.remove(at: place)
        state.handedOut += 1
        state.mostUsed = max(state.mostUsed, blocks - availableInAll)
      }
    }
    state.references[Int(block)] += 1
    sortQueue()
    changed = true
  }

  /// Returns how many blocks became hit-able.
  @discardableResult
  mutating func cacheFull(_ key: Key, tokens: Int) -> Int {
    guard caches, var sequence = state.sequences[key] else { return 0 }
    look(at: key)
    var made = 0
    let full = min(tokens / size, sequence.hashes.count)
    while sequence.cached < full {
      let isNull = sequence.table[sequence.cached] == 0
      if !isNull && !(window == 1 && !eagle) {
        if remember(sequence.table[sequence.cached], sequence.hashes[sequence.cached]) {
          made += 1
        }
        claim(sequence.table[sequence.cached], at: sequence.cached, sequence)
      }
      sequence.cached += 1
      changed = true
    }
    state.sequences[key] = sequence
    return made
  }

  /// Hashes come for every full block without one, or not at all.
  func checkHashes(
    _ hashes: [UInt64], known: Int, tokens: Int, _ id: SequenceID
  ) throws(Refusal) {
    if hashes.isEmpty { return }
    let missing = caches ? hashable(tokens) - known : 0
    if hashes.count != missing {
      throw Refusal(
        .invalid, field: .blockHashes, limit: UInt64(missing * hashBytes), sequence: id)
    }
  }

  // MARK: Operations

  mutating func commit(
    _ id: SequenceID, _ tokens: Int, _ result: inout Seen.Result
  ) throws(Refusal) {
    guard let sequence = state.sequences[key(id)] else {
      throw Refusal(.unknownSequence, sequence: id)
    }
    at = sequence.sizeClass
    if sequence.state != .running { throw Refusal(.wrongState, sequence: id) }
    if tokens > sequence.computed {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(sequence.computed), sequence: id)
    }
    let written = tokens == 0 ? sequence.computed : tokens
    result.affected = UInt32(cacheFull(key(id), tokens: written))
    result.tokens = UInt32(max(written, (state.sequences[key(id)]?.cached ?? 0) * size))
  }

  mutating func acquire(
    _ hashes: [UInt64], _ count: Int, _ result: inout Seen.Result
  ) throws(Refusal) {
    if !caches && !hashes.isEmpty { throw Refusal(.invalid, field: .blockHashes, limit: 0) }
    if count == 0 && hashes.isEmpty { throw Refusal(.invalid, field: .count, limit: 1) }
    let found = prefix(hashes, limit: hashes.count)
    let queued = inQueue(found)
    let takes = wholeOrMore(count)
    if takes + queued > available - promised || takes > capacity {
      throw Refusal(
        takes > capacity ? .never : .later,
        needed: UInt32(takes > capacity ? takes : takes + queued), available: UInt32(available),
        evictable: UInt32(queued), reserved: UInt32(promised))
    }
    if needsRuns && count > 0 { try checkRun(count, promised) }
    for block in found {
      touch(block)
      state.raw[session, default: [:]][block, default: 0] += 1
    }
    result.cached = found
    result.cachedTokens = UInt32(found.count * size)
    result.newBlocks = take(count)
    for block in result.newBlocks { state.raw[session, default: [:]][block] = 1 }
  }

  mutating func cacheBlocks(
    _ ids: [BlockID], _ hashes: [UInt64], _ result: inout Seen.Result
  ) throws(Refusal) {
    if ids.isEmpty { throw Refusal(.invalid, field: .blockIDs, limit: 1) }
    let limit = caches ? ids.count : 0
    if hashes.count != limit || limit == 0 {
      throw Refusal(.invalid, field: .blockHashes, limit: UInt64(limit * hashBytes))
    }
    for (id, hash) in zip(ids, hashes) {
      if !(1...blocks).contains(Int(id)) {
        throw Refusal(
          .invalid, field: .blockIDs, limit: UInt64(blocks), subject: UInt64(id))
      }
      if state.raw[session]?[id] == nil { throw Refusal(.notHeld, subject: UInt64(id)) }
      if let content = content(id), content != hash {
        throw Refusal(.wrongState, subject: UInt64(id))
      }
    }
    for (id, hash) in zip(ids, hashes) where remember(id, hash) { result.affected += 1 }
    if result.affected > 0 { changed = true }
  }

  mutating func evictBlocks(_ ids: [BlockID], _ result: inout Seen.Result) throws(Refusal) {
    if ids.isEmpty { throw Refusal(.invalid, field: .blockIDs, limit: 1) }
    for id in ids where !(1...blocks).contains(Int(id)) {
      throw Refusal(.invalid, field: .blockIDs, limit: UInt64(blocks), subject: UInt64(id))
    }
    for id in ids where forget(id) { result.affected += 1 }
    if result.affected > 0 { changed = true }
    unpin(ids)
  }

  mutating func resetCache(_ result: inout Seen.Result) throws(Refusal) {
    if state.references.contains(where: { $0 > 0 }) || !state.copies.isEmpty {
      throw Refusal(
        .wrongState, needed: UInt32(blocks), available: UInt32(availableInAll))
    }
    try checkHostIsFree()
    result.affected = UInt32(state.contents.count)
    if !state.contents.isEmpty { changed = true }
    for block in (1...BlockID(blocks)) { _ = forget(block) }
    unpin((1...BlockID(blocks)).map { $0 })
  }

  func checkHostIsFree() throws(Refusal) {
    if state.host.queue.count < state.host.size {
      throw Refusal(
        .wrongState, needed: UInt32(state.host.size), available: UInt32(state.host.queue.count))
    }
  }
}
