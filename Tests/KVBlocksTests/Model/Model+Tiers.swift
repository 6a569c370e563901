import KVBlocks

/// The host tier once more: a list of free ids, and how often each of the others is held.
extension Model {
  struct Host {
    var size = 0
    var queue: [BlockID] = []
    var references: [BlockID: Int] = [:]
    var generation: [BlockID: UInt32] = [:]
    var outs = 0
    var ins = 0
  }

  func deviceEnds(_ copy: Copy) -> [BlockID] {
    switch copy.kind {
    case .swapOut: [copy.source]
    case .swapIn: [copy.target]
    default: [copy.source, copy.target]
    }
  }

  func hostEnds(_ copy: Copy) -> [BlockID] {
    switch copy.kind {
    case .swapOut: [copy.target]
    case .swapIn: [copy.source]
    default: []
    }
  }

  func hostPins(_ block: BlockID) -> Int {
    state.copies.reduce(0) { $0 + hostEnds($1).count { $0 == block } }
  }

  func references(of block: BlockID, in sequence: Sequence) -> Int {
    sequence.state == .swapped
      ? state.host.references[block, default: 0] : state.references[Int(block)]
  }

  mutating func giveBackHost(_ list: [BlockID]) {
    var free: [BlockID] = []
    for block in list where block != 0 {
      state.host.references[block, default: 0] -= 1
      if state.host.references[block] == 0 {
        state.host.references[block] = nil
        if hostPins(block) == 0 { free.append(block) }
      }
    }
    state.host.queue = free + state.host.queue
  }

  /// Host blocks that this copy, which is done, was the last to keep.
  func freedHosts(_ copy: Copy, _ before: [BlockID]) -> [BlockID] {
    hostEnds(copy).filter {
      state.host.references[$0] == nil && hostPins($0) == 0 && !before.contains($0)
    }
  }

  // MARK: Operations

  private func check(_ ids: [SequenceID], are wanted: SequenceState) throws(Refusal) {
    if state.host.size == 0 { throw Refusal(.wrongState, field: .hostBlocks) }
    try checkTwice(ids)
    for id in ids {
      guard let sequence = state.sequences[key(id)] else {
        throw Refusal(.unknownSequence, sequence: id)
      }
      if sequence.state != wanted { throw Refusal(.wrongState, sequence: id) }
    }
  }

  /// Each distinct block of the sequences, where it was met first, and its slots in use.
  private mutating func distinct(
    _ ids: [SequenceID]
  ) -> [(block: BlockID, id: SequenceID, index: Int, tokens: Int)] {
    var list: [(block: BlockID, id: SequenceID, index: Int, tokens: Int)] = []
    for id in ids {
      guard let sequence = state.sequences[key(id)] else { continue }
      at = sequence.sizeClass
      for (index, block) in sequence.table.enumerated() where block != 0 {
        let tokens = min(size, max(0, sequence.computed - index * size))
        if let known = list.firstIndex(where: { $0.block == block }) {
          list[known].tokens = max(list[known].tokens, tokens)
        } else {
          list.append((block, id, index, tokens))
        }
      }
    }
    return list
  }

  private mutating func order(
    _ kind: CopyKind, _ block: (block: BlockID, id: SequenceID, index: Int, tokens: Int),
    _ target: BlockID
  ) -> CopyOrder {
    let id = state.lastCopy[session, default: 0] + 1
    state.lastCopy[session] = id
    state.copies.append(
      Copy(
        session: session, id: id, source: block.block, target: target, tokens: block.tokens,
        kind: kind))
    state.copiesOrdered += 1
    return CopyOrder(
      id: id, source: block.block, target: target, tokens: UInt32(block.tokens),
      sequence: block.id, tableIndex: UInt32(block.index), isRaw: false, kind: kind)
  }

  mutating func swapOut(_ ids: [SequenceID], _ result: inout Seen.Result) throws(Refusal) {
    try check(ids, are: .running)
    let moving = distinct(ids)
    let room = state.host.queue.count
    if moving.count > room {
      throw Refusal(
        moving.count > state.host.size ? .never : .later, needed: UInt32(moving.count),
        available: UInt32(room), sequence: ids[0])
    }
    var target: [BlockID: BlockID] = [:]
    for block in moving {
      let host = state.host.queue.removeFirst()
      target[block.block] = host
      state.host.generation[host] = UInt32(truncatingIfNeeded: revision + 1)
    }
    for block in moving.reversed() {
      result.copies.append(order(.swapOut, block, target[block.block] ?? 0))
    }
    for id in ids {
      guard var sequence = state.sequences[key(id)] else { continue }
      let known = sequence.table.prefix(sequence.cached)
      let lost = known.firstIndex { $0 != 0 && state.contents[$0] == nil }
      sequence.hittable = lost ?? sequence.cached
      giveBack(sequence.table.reversed())
      sequence.table = sequence.table.map { target[$0] ?? 0 }
      for block in sequence.table where block != 0 {
        state.host.references[block, default: 0] += 1
      }
      sequence.state = .swapped
      state.sequences[key(id)] = sequence
      let gone = key(id)
      state.running.removeAll { $0 == gone }
    }
    result.freed = UInt32(moving.count { state.references[Int($0.block)] == 0 })
    result.affected = UInt32(ids.count)
    result.availableHost = UInt32(state.host.queue.count)
    state.host.outs += moving.count
    changed = true
  }

  mutating func swapIn(_ ids: [SequenceID], _ result: inout Seen.Result) throws(Refusal) {
    try check(ids, are: .swapped)
    let moving = distinct(ids)
    // vLLM: one spare block for each sequence, and the watermark. Each size class for itself.
    for i in 0..<max(1, classes.count) {
      at = i
      let own = ids.reduce(0) { $0 + promised(to: $1) }
      let mine = moving.filter { state.sequences[key($0.id)]?.sizeClass == i }
      let needed = mine.count + ids.count { state.sequences[key($0)]?.sizeClass == i }
      if needed == 0 { continue }
      let kept = needed <= own ? 0 : watermark
      if needed > capacity || available - needed - (promised - own) < kept {
        throw Refusal(
          needed > capacity ? .never : .later, needed: UInt32(needed),
          available: UInt32(available), reserved: UInt32(promised - own),
          watermark: UInt32(kept), sequence: ids[0])
      }
    }
    var taken: [BlockID] = []
    for block in moving {
      look(at: key(block.id))
      taken += take(1)
    }
    var target: [BlockID: BlockID] = [:]
    for (block, new) in zip(moving, taken) {
      target[block.block] = new
      // `take` counted one; the tables count below.
      state.references[Int(new)] = 0
      result.copies.append(order(.swapIn, block, new))
    }
    for id in ids {
      guard var sequence = state.sequences[key(id)] else { continue }
      endPromise(key(id))
      giveBackHost(sequence.table.reversed())
      sequence.table = sequence.table.map { target[$0] ?? 0 }
      for block in sequence.table where block != 0 { state.references[Int(block)] += 1 }
      sequence.state = .running
      sequence.admittedRevision = revision + 1
      for i in 0..<sequence.hittable where sequence.table[i] != 0 {
        _ = remember(sequence.table[i], sequence.hashes[i])
        claim(sequence.table[i], at: i, sequence)
      }
      sequence.hittable = 0
      state.sequences[key(id)] = sequence
      state.running.append(key(id))
    }
    result.freed = UInt32(moving.count { state.host.references[$0.block] == nil })
    result.affected = UInt32(ids.count)
    result.availableHost = UInt32(state.host.queue.count)
    state.host.ins += moving.count
    changed = true
  }

  // MARK: Comparing

  func addHost(to stats: inout PoolStats) {
    stats.swappedOutBlocks = UInt64(state.host.outs)
    stats.swappedInBlocks = UInt64(state.host.ins)
    stats.hostBlocks = UInt32(state.host.size)
    stats.hostFree = UInt32(state.host.queue.count)
    stats.hostActive = UInt32(state.host.references.values.count { $0 == 1 })
    stats.hostShared = UInt32(state.host.references.values.count { $0 > 1 })
    stats.hostPinned = stats.hostBlocks - stats.hostFree - stats.hostActive - stats.hostShared
  }
}

/// What differs in the host tier; nil when nothing does.
func differentHosts(_ pool: KVPool, _ model: Model) -> String? {
  let host = model.state.host
  if pool.hostQueue() != host.queue {
    return "host queue: \(pool.hostQueue()) instead of \(host.queue)"
  }
  for id in 0..<UInt32(host.size) {
    let view = pool.hostBlock(id + 1)
    if Int(view.refCount) != host.references[id + 1, default: 0]
      || Int(view.pins) != model.hostPins(id + 1)
      || view.generation != host.generation[id + 1, default: 0]
    {
      return "host block \(id + 1): \(view)"
    }
  }
  return nil
}
