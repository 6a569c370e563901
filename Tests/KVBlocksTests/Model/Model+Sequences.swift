import KVBlocks

extension Model {
  private static let most = 2_147_483_647

  func key(_ id: SequenceID) -> Key { Key(session: session, id: id) }

  private func find(_ id: SequenceID) throws(Refusal) -> Sequence {
    guard let found = state.sequences[key(id)] else {
      throw Refusal(.unknownSequence, sequence: id)
    }
    return found
  }

  // MARK: Coming and going

  func check(_ new: TestOperation.New) throws(Refusal) {
    if new.tokens == 0 {
      throw Refusal(.invalid, field: .tokenCount, limit: 1, sequence: new.id)
    }
    if Int(new.tokens) > Self.most {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(Self.most), sequence: new.id)
    }
    if state.sequences[key(new.id)] != nil { throw Refusal(.sequenceExists, sequence: new.id) }
  }

  mutating func create(_ new: TestOperation.New) {
    state.sequences[key(new.id)] = Sequence(
      tokens: Int(new.tokens), priority: new.priority, label: new.label)
    changed = true
  }

  mutating func append(
    _ id: SequenceID, _ tokens: Int, _ result: inout Seen.Result
  ) throws(Refusal) {
    let sequence = try find(id)
    if tokens == 0 { throw Refusal(.invalid, field: .tokenCount, limit: 1, sequence: id) }
    if sequence.tokens + tokens > Self.most {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(Self.most), sequence: id)
    }
    state.sequences[key(id)]?.tokens += tokens
    result.tokens = UInt32(sequence.tokens + tokens)
    changed = true
  }

  mutating func fork(
    _ parent: SequenceID, _ children: [SequenceID], _ result: inout Seen.Result
  ) throws(Refusal) {
    let original = try find(parent)
    if children.isEmpty { throw Refusal(.invalid, field: .childIDs, limit: 1) }
    for (i, child) in children.enumerated() {
      if state.sequences[key(child)] != nil || children[..<i].contains(child) {
        throw Refusal(.sequenceExists, sequence: child)
      }
    }
    for child in children {
      var new = original
      new.preemptions = 0
      new.admittedRevision = 0
      if original.state == .running {
        new.admittedRevision = revision + 1
        state.running.append(key(child))
        for block in new.table { state.references[Int(block)] += 1 }
      } else {
        new.state = .waiting
      }
      state.sequences[key(child)] = new
    }
    result.affected = UInt32(children.count)
    result.shared = UInt32(original.table.count)
    state.forks += 1
    changed = true
  }

  mutating func rewind(_ rewind: Rewind, _ result: inout Seen.Result) throws(Refusal) {
    var sequence = try find(rewind.sequence)
    let uncompute = Int(rewind.uncomputeTokens)
    let drop = Int(rewind.dropTokens)
    if uncompute > sequence.computed {
      throw Refusal(
        .invalid, field: .uncomputeTokens, limit: UInt64(sequence.computed),
        sequence: rewind.sequence)
    }
    if drop > sequence.tokens - 1 {
      throw Refusal(
        .invalid, field: .dropTokens, limit: UInt64(sequence.tokens - 1),
        sequence: rewind.sequence)
    }
    sequence.tokens -= drop
    sequence.computed = min(sequence.computed - uncompute, sequence.tokens)
    result.tokens = UInt32(sequence.tokens)
    result.computed = UInt32(sequence.computed)
    if uncompute + drop > 0 { changed = true }
    if rewind.releasesBlocks {
      let keep = blocksFor(sequence.computed)
      let cut = Array(sequence.table.dropFirst(keep))
      sequence.table = Array(sequence.table.prefix(keep))
      result.freed = UInt32(giveBack(cut.reversed()))
    }
    state.sequences[key(rewind.sequence)] = sequence
  }

  private func checkTwice(_ ids: [SequenceID]) throws(Refusal) {
    if ids.isEmpty { throw Refusal(.invalid, field: .sequenceIDs, limit: 1) }
    for (i, id) in ids.enumerated()
    where state.sequences[key(id)] != nil && ids[..<i].contains(id) {
      throw Refusal(.invalid, field: .sequenceIDs, limit: UInt64(i), sequence: id)
    }
  }

  mutating func preempt(_ ids: [SequenceID], _ result: inout Seen.Result) throws(Refusal) {
    try checkTwice(ids)
    for id in ids {
      if try find(id).state != .running { throw Refusal(.wrongState, sequence: id) }
    }
    for id in ids { result.freed += UInt32(preempt(key(id))) }
    result.affected = UInt32(ids.count)
  }

  @discardableResult
  mutating func preempt(_ key: Key) -> Int {
    guard var sequence = state.sequences[key] else { return 0 }
    let freed = giveBack(sequence.table.reversed())
    sequence.table = []
    sequence.computed = 0
    sequence.state = .preempted
    sequence.preemptions += 1
    state.sequences[key] = sequence
    state.running.removeAll { $0 == key }
    state.preemptions += 1
    preemptedSomething = true
    changed = true
    return freed
  }

  mutating func free(
    _ ids: [SequenceID], _ ignoresMissing: Bool, _ result: inout Seen.Result
  ) throws(Refusal) {
    try checkTwice(ids)
    if !ignoresMissing {
      for id in ids { _ = try find(id) }
    }
    for id in ids {
      guard let sequence = state.sequences.removeValue(forKey: key(id)) else { continue }
      let gone = key(id)
      state.running.removeAll { $0 == gone }
      result.freed += UInt32(giveBack(sequence.table.reversed()))
      result.affected += 1
      changed = true
    }
  }

  // MARK: Slots

  mutating func admit(
    _ request: TestOperation.TestAdmit, _ result: inout Seen.Result
  ) throws(Refusal) {
    var id = request.id
    if let new = request.add {
      if id != 0 && id != new.id {
        throw Refusal(.invalid, field: .sequenceID, sequence: id)
      }
      id = new.id
      try check(new)
      // As if it had been added; taken away again below.
      let hadChanged = changed
      create(new)
      do throws(Refusal) {
        try admit(id, request, &result)
      } catch {
        if !request.keeps {
          state.sequences[key(id)] = nil
          changed = hadChanged
        }
        throw error
      }
    } else {
      let sequence = try find(id)
      if sequence.state == .running { throw Refusal(.wrongState, sequence: id) }
      try admit(id, request, &result)
    }
  }

  private mutating func admit(
    _ id: SequenceID, _ request: TestOperation.TestAdmit, _ result: inout Seen.Result
  ) throws(Refusal) {
    var sequence = try find(id)
    if preemptedSomething && noAdmissions { throw Refusal(.notAttempted, sequence: id) }
    var now = sequence.tokens
    if request.maxTokensNow > 0 { now = min(now, Int(request.maxTokensNow)) }
    if let budget {
      if budget == 0 { throw Refusal(.notAttempted, sequence: id) }
      now = min(now, budget)
    }
    let need = blocksFor(now + Int(request.lookahead))
    let gate = request.partial ? 0 : blocksFor(sequence.tokens)
    let available = state.queue.count
    if need > blocks || gate > blocks {
      throw Refusal(
        .never, needed: UInt32(clamping: max(need, gate)), available: UInt32(available),
        sequence: id)
    }
    if gate > available {
      throw Refusal(.later, needed: UInt32(gate), available: UInt32(available), sequence: id)
    }
    let unreserved = max(0, available - Int(request.reserved))
    if need > unreserved {
      throw Refusal(.later, needed: UInt32(need), available: UInt32(unreserved), sequence: id)
    }
    sequence.table = take(need)
    sequence.computed = now
    sequence.state = .running
    sequence.admittedRevision = revision + 1
    state.sequences[key(id)] = sequence
    state.running.append(key(id))
    if let budget { self.budget = budget - now }
    result.newBlocks = sequence.table
    result.scheduled = UInt32(now)
    changed = true
  }

  mutating func extend(
    _ request: Extend, _ mode: OnRefusal, _ result: inout Seen.Result
  ) throws(Refusal) {
    let id = request.sequence
    let sequence = try find(id)
    if sequence.state != .running { throw Refusal(.wrongState, sequence: id) }
    if sequence.tokens + Int(request.appendTokens) > Self.most {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(Self.most), sequence: id)
    }
    if request.appendTokens > 0 {
      state.sequences[key(id)]?.tokens += Int(request.appendTokens)
      changed = true
    }
    while true {
      do throws(Refusal) {
        result.scheduled = UInt32(
          try schedule(
            id, Int(request.maxTokensNow), Int(request.lookaheadTokens),
            Int(request.reservedBlocks), &result))
        return
      } catch {
        if mode != .preempt || error.reason != .later || isHopeless { throw error }
        guard let victim = state.running.last(where: { $0.session == session }) else { throw error }
        result.preempted.append(victim.id)
        preempt(victim)
        if victim.id == id { throw error }
      }
    }
  }

  /// Slots for a running sequence. Appends to the result's new blocks and copies.
  private mutating func schedule(
    _ id: SequenceID, _ most: Int, _ lookahead: Int, _ reserved: Int, _ result: inout Seen.Result
  ) throws(Refusal) -> Int {
    var sequence = try find(id)
    var now = sequence.tokens - sequence.computed
    if most > 0 { now = min(now, most) }
    if now + lookahead == 0 { return 0 }
    if let budget, now > 0 {
      if budget == 0 { throw Refusal(.notAttempted, sequence: id) }
      now = min(now, budget)
    }
    let end = sequence.computed + now + lookahead
    let whole = blocksFor(end)
    if whole > blocks {
      throw Refusal(
        .never, needed: UInt32(clamping: whole), available: UInt32(state.queue.count),
        sequence: id)
    }
    // Which existing blocks does the range of slots to be written touch?
    var toCopy: [(index: Int, filled: Int)] = []
    for index in sequence.table.indices {
      let first = max(sequence.computed, index * size)
      if first >= min(end, (index + 1) * size) { continue }
      if !mayWrite(sequence.table[index], from: first - index * size) {
        toCopy.append((index, first - index * size))
      }
    }
    let new = max(0, whole - sequence.table.count)
    let unreserved = max(0, state.queue.count - reserved)
    if new + toCopy.count > unreserved {
      // Were all others gone, these would be left.
      let most = blocks - sequence.table.count - reserved
      isHopeless = new > most && new > 0
      throw Refusal(
        .later, needed: UInt32(new + toCopy.count), available: UInt32(unreserved), sequence: id)
    }
    for (index, filled) in toCopy {
      let order = move(
        sequence.table[index], tokens: filled, sequence: id, index: index, raw: false)
      sequence.table[index] = order.target
      result.copies.append(order)
    }
    let taken = take(new)
    sequence.table += taken
    result.newBlocks += taken
    sequence.computed += now
    if now > 0 { changed = true }
    if let budget { self.budget = budget - now }
    state.sequences[key(id)] = sequence
    return now
  }

  mutating func decode(
    _ request: TestOperation.TestDecode, _ mode: OnRefusal, _ result: inout Seen.Result
  ) throws(Refusal) {
    let count = request.ids.count
    if count == 0 { throw Refusal(.invalid, field: .sequenceIDs, limit: 1) }
    if ![0, count].contains(request.append.count) {
      throw Refusal(.invalid, field: .appendCounts, limit: UInt64(count))
    }
    if ![0, count].contains(request.schedule.count) {
      throw Refusal(.invalid, field: .scheduleCounts, limit: UInt64(count))
    }
    if ![0, 1, count].contains(request.lookahead.count) {
      throw Refusal(.invalid, field: .lookaheadTokens, limit: UInt64(count))
    }
    var ranAtFirst: Set<SequenceID> = []
    for (i, id) in request.ids.enumerated() {
      guard let sequence = state.sequences[key(id)] else { continue }
      if request.ids[..<i].contains(id) {
        throw Refusal(.invalid, field: .sequenceIDs, limit: UInt64(i), sequence: id)
      }
      if sequence.state != .running { continue }
      ranAtFirst.insert(id)
      let tokens = request.append.isEmpty ? 1 : Int(request.append[i])
      if sequence.tokens + tokens > Self.most {
        throw Refusal(.invalid, field: .appendCounts, limit: UInt64(Self.most), sequence: id)
      }
    }
    for (i, id) in request.ids.enumerated() where ranAtFirst.contains(id) {
      let tokens = request.append.isEmpty ? 1 : Int(request.append[i])
      state.sequences[key(id)]?.tokens += tokens
      if tokens > 0 { changed = true }
    }

    let victims = request.victims.isEmpty ? request.ids.reversed() : request.victims
    var isStopped = false
    var newCounts = Array(repeating: UInt32(0), count: count)
    for (i, id) in request.ids.enumerated() {
      if isStopped {
        result.refused.append(UInt32(i))
        continue
      }
      do throws(Refusal) {
        let sequence = try find(id)
        if !ranAtFirst.contains(id) { throw Refusal(.wrongState, sequence: id) }
        if sequence.state != .running { continue }
        let held = result.newBlocks.count
        let schedule = request.schedule.isEmpty ? 0 : Int(request.schedule[i])
        var lookahead = 0
        if request.lookahead.count == 1 { lookahead = Int(request.lookahead[0]) }
        if request.lookahead.count > 1 { lookahead = Int(request.lookahead[i]) }
        try scheduleWithVictims(id, schedule, lookahead, mode, victims, &result)
        newCounts[i] = UInt32(result.newBlocks.count - held)
      } catch {
        if result.refused.isEmpty { result.firstRefusal = error }
        result.refused.append(UInt32(i))
        if mode == .stop { isStopped = true }
        if mode == .abort { throw error }
      }
    }
    if !result.newBlocks.isEmpty { result.counts = newCounts }
  }

  private mutating func scheduleWithVictims(
    _ id: SequenceID, _ most: Int, _ lookahead: Int, _ mode: OnRefusal, _ victims: [SequenceID],
    _ result: inout Seen.Result
  ) throws(Refusal) {
    while true {
      do throws(Refusal) {
        _ = try schedule(id, most, lookahead, 0, &result)
        return
      } catch {
        if mode != .preempt || error.reason != .later { throw error }
        let next = victims.first { state.sequences[key($0)]?.state == .running }
        guard let victim = next else { throw error }
        result.preempted.append(victim)
        preempt(key(victim))
        if victim == id { throw error }
      }
    }
  }
}
