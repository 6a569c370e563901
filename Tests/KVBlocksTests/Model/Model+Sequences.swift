import KVBlocks

extension Model {
  func key(_ id: SequenceID) -> Key { Key(session: session, id: id) }

  private mutating func find(_ id: SequenceID) throws(Refusal) -> Sequence {
    guard let found = state.sequences[key(id)] else {
      throw Refusal(.unknownSequence, sequence: id)
    }
    at = found.sizeClass
    return found
  }

  // MARK: Coming and going

  mutating func check(_ new: TestOperation.New) throws(Refusal) {
    try look(at: new)
    if new.tokens == 0 {
      throw Refusal(.invalid, field: .tokenCount, limit: 1, sequence: new.id)
    }
    if Int(new.tokens) > most {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(most), sequence: new.id)
    }
    try checkHashes(new.hashes, known: 0, tokens: Int(new.tokens), new.id)
    try checkTokenIDs(new.tokenIDs, Int(new.tokens), new.hashes, new.id)
    let isOdd = { (range: RetentionRange) in
      range.priority > 100 || (range.lastToken > 0 && range.lastToken < range.firstToken)
    }
    if new.retention.count > 16 || new.retention.contains(where: isOdd) {
      throw Refusal(.invalid, field: .retention, limit: 16, sequence: new.id)
    }
    if state.sequences[key(new.id)] != nil { throw Refusal(.sequenceExists, sequence: new.id) }
  }

  mutating func create(_ new: TestOperation.New) {
    var sequence = Sequence(
      tokens: 0, priority: new.priority, expected: Int(new.expected), label: new.label,
      skips: new.skips, keys: new.keys)
    sequence.retention = new.retention
    grow(&sequence, by: Int(new.tokens), new.hashes, new.tokenIDs)
    arrive(&sequence)
    sequence.sizeClass = at
    state.sequences[key(new.id)] = sequence
    changed = true
  }

  mutating func append(
    _ id: SequenceID, _ tokens: Int, _ hashes: [UInt64], _ ids: [UInt32],
    _ result: inout Seen.Result
  ) throws(Refusal) {
    var sequence = try find(id)
    if tokens == 0 { throw Refusal(.invalid, field: .tokenCount, limit: 1, sequence: id) }
    if sequence.tokens + tokens > most {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(most), sequence: id)
    }
    try checkHashes(
      hashes, known: sequence.hashes.count, tokens: sequence.tokens + tokens, id)
    try checkTokenIDs(ids, tokens, hashes, id)
    grow(&sequence, by: tokens, hashes, ids)
    state.sequences[key(id)] = sequence
    result.tokens = UInt32(sequence.tokens)
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
      if original.state == .swapped || reserves {
        new.table = []
        new.computed = 0
        new.cached = 0
      }
      new.preemptions = 0
      arrive(&new)
      new.admittedRevision = 0
      if original.state == .running && !reserves {
        new.admittedRevision = revision + 1
        state.running.append(key(child))
        for block in new.table where block != 0 { state.references[Int(block)] += 1 }
        endPromise(key(child))
      } else {
        new.state = .waiting
      }
      state.sequences[key(child)] = new
    }
    result.affected = UInt32(children.count)
    result.shared =
      original.state == .running && !reserves ? UInt32(original.table.count { $0 != 0 }) : 0
    state.forks += 1
    changed = true
  }

  mutating func rewind(_ rewind: Rewind, _ result: inout Seen.Result) throws(Refusal) {
    var sequence = try find(rewind.sequence)
    if sequence.state == .swapped { throw Refusal(.wrongState, sequence: rewind.sequence) }
    let uncompute = Int(rewind.uncomputeTokens)
    let drop = Int(rewind.dropTokens)
    let least = leastComputed(sequence)
    if uncompute > sequence.computed - least {
      throw Refusal(
        .invalid, field: .uncomputeTokens, limit: UInt64(sequence.computed - least),
        sequence: rewind.sequence)
    }
    if drop > sequence.tokens - max(1, least) {
      throw Refusal(
        .invalid, field: .dropTokens, limit: UInt64(sequence.tokens - max(1, least)),
        sequence: rewind.sequence)
    }
    try checkKept(sequence, left: sequence.tokens - drop, rewind.sequence)
    sequence.tokens -= drop
    sequence.computed = min(sequence.computed - uncompute, sequence.tokens)
    result.tokens = UInt32(sequence.tokens)
    result.computed = UInt32(sequence.computed)
    if uncompute + drop > 0 { changed = true }
    if caches {
      while sequence.cached > min(sequence.computed / size, hashable(sequence.tokens)) {
        sequence.cached -= 1
        let block = sequence.table[sequence.cached]
        if state.references[Int(block)] == 1 && !isKept(block) { _ = forget(block) }
      }
      cut(&sequence, to: sequence.tokens)
    }
    if rewind.releasesBlocks {
      let keep = blocksFor(sequence.computed)
      let cut = Array(sequence.table.dropFirst(keep))
      sequence.table = Array(sequence.table.prefix(keep))
      result.freed = UInt32(giveBack(cut.reversed()))
    }
    state.sequences[key(rewind.sequence)] = sequence
  }

  func checkTwice(_ ids: [SequenceID]) throws(Refusal) {
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
    sequence.cached = 0
    sequence.state = .preempted
    sequence.preemptions += 1
    state.sequences[key] = sequence
    state.running.removeAll { $0 == key }
    scheduledNow[key] = nil
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
      for id in ids where state.promises[key(id)] == nil { _ = try find(id) }
    }
    for id in ids {
      endPromise(key(id))
      guard let sequence = state.sequences.removeValue(forKey: key(id)) else { continue }
      let gone = key(id)
      state.running.removeAll { $0 == gone }
      scheduledNow[gone] = nil
      if sequence.state == .swapped {
        giveBackHost(sequence.table.reversed())
      } else {
        result.freed += UInt32(giveBack(sequence.table.reversed()))
      }
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
      if sequence.state == .running || sequence.state == .swapped {
        throw Refusal(.wrongState, sequence: id)
      }
      try admit(id, request, &result)
    }
  }

  private mutating func admit(
    _ id: SequenceID, _ request: TestOperation.TestAdmit, _ result: inout Seen.Result
  ) throws(Refusal) {
    var sequence = try find(id)
    if preemptedSomething && noAdmissions { throw Refusal(.notAttempted, sequence: id) }
    // What no hit can change is answered before anything is looked up.
    if budget == 0 && request.external == 0 { throw Refusal(.notAttempted, sequence: id) }
    if !request.partial && window == 0 && blocksFor(sequence.tokens) > capacity {
      throw Refusal(
        .never, needed: UInt32(blocksFor(sequence.tokens)), available: UInt32(available),
        reserved: UInt32(promised(exceptTo: id)),
        watermark: UInt32(state.running.isEmpty || request.ignoresWatermark ? 0 : watermark),
        sequence: id)
    }
    let found = hits(sequence)
    let here = min(sequence.tokens, found.count * size + Int(request.external))
    var now = sequence.tokens - here
    if request.maxTokensNow > 0 { now = min(now, Int(request.maxTokensNow)) }
    if let budget, now > 0 {
      if budget == 0 { throw Refusal(.notAttempted, sequence: id) }
      now = min(now, budget)
    }
    let slots = min(here + now + Int(request.lookahead), slotLimit)
    let need = max(blocksFor(slots), reservation(sequence))
    // Where a run is reserved it is reserved whole.
    let gate =
      reserves ? need : request.partial ? 0 : min(blocksFor(sequence.tokens), gateLimit)
    // The table before anything is allocated for it.
    let head = pastWindow(found, computed: here)
    let hit = head.filter { $0 != 0 }
    // A hit that nobody holds leaves the queue too.
    let queued = inQueue(hit)
    let kept = state.running.isEmpty || request.ignoresWatermark ? 0 : watermark
    let others = promised(exceptTo: id)
    let fresh = max(0, min(need, Int(UInt32.max)) - head.count)
    let real = max(
      min(max(need, gate), Int(UInt32.max)) - head.count + hit.count, wholeOrMore(fresh))
    if real > capacity {
      throw Refusal(
        .never, needed: UInt32(clamping: real), available: UInt32(available),
        evictable: UInt32(queued), reserved: UInt32(others), watermark: UInt32(kept), sequence: id)
    }
    let later = (whole(fresh), others + Int(request.reserved))
    for (new, reserved) in request.partial
      ? [later] : [(max(0, gate - head.count), others), later]
    {
      let charge = new + queued
      // Its own promise was given beside the watermark.
      let kept = charge <= promised - others ? 0 : kept
      if charge + kept > available - reserved {
        throw Refusal(
          .later, needed: UInt32(charge), available: UInt32(available), evictable: UInt32(queued),
          reserved: UInt32(clamping: reserved), watermark: UInt32(kept), sequence: id)
      }
    }
    let all = max(min(blocksFor(sequence.tokens), gateLimit), need, head.count)
    // What a strategy rounds up is taken as well.
    let extra = whole(fresh) - fresh
    try checkThreshold(
      all - head.count + extra + queued, whole: all - head.count + hit.count + extra,
      evictable: queued, own: promised - others, id)
    if needsRuns && fresh > 0 {
      let kept = whole(fresh) <= promised - others ? 0 : kept
      try checkRun(fresh, later.1, kept, id)
    }
    if promised > others { keptPromises += 1 }
    endPromise(key(id))
    for (i, block) in head.enumerated() where block != 0 {
      touch(block)
      claim(block, at: i, sequence)
    }
    let taken = take(max(0, need - head.count))
    if caches && !sequence.skips {
      let which = sequence.state == .preempted ? 1 : 0
      state.queries[which] += sequence.tokens
      state.found[which] += found.count * size
    }
    sequence.table = head + taken
    sequence.cached = found.count
    sequence.computed = here + now
    sequence.state = .running
    sequence.admittedRevision = revision + 1
    state.sequences[key(id)] = sequence
    state.running.append(key(id))
    if let budget { self.budget = budget - now }
    scheduledNow[key(id), default: 0] += now
    if !request.delays { cacheFull(key(id), tokens: here + now) }
    result.newBlocks = taken
    result.cached = hit
    result.nulls = UInt32(head.count - hit.count)
    result.cachedTokens = UInt32(found.count * size)
    result.scheduled = UInt32(now)
    changed = true
  }

  private var slotLimit: Int { most == 2_147_483_647 ? .max : most }

  mutating func extend(
    _ request: Extend, _ hashes: [UInt64], _ ids: [UInt32], _ mode: OnRefusal,
    _ result: inout Seen.Result
  ) throws(Refusal) {
    let id = request.sequence
    var sequence = try find(id)
    if sequence.state != .running { throw Refusal(.wrongState, sequence: id) }
    let tokens = sequence.tokens + Int(request.appendTokens)
    if tokens > most {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(most), sequence: id)
    }
    try checkHashes(hashes, known: sequence.hashes.count, tokens: tokens, id)
    try checkTokenIDs(ids, Int(request.appendTokens), hashes, id)
    if request.appendTokens > 0 || !hashes.isEmpty {
      grow(&sequence, by: Int(request.appendTokens), hashes, ids)
      state.sequences[key(id)] = sequence
      changed = true
    }
    var returned = 0
    defer { giveBackTokens(returned) }
    while true {
      do throws(Refusal) {
        result.scheduled = UInt32(
          try schedule(
            id, Int(request.maxTokensNow), Int(request.lookaheadTokens),
            Int(request.inFlightTokens), Int(request.reservedBlocks), request.delaysCommit,
            &result))
        result.nulls = nulls(key(id))
        return
      } catch {
        if mode != .preempt || ![.later, .noRun].contains(error.reason) || isHopeless {
          throw error
        }
        let sizeClass = at
        let latest = state.running.last {
          $0.session == session && state.sequences[$0]?.sizeClass == sizeClass
        }
        guard let victim = chosenVictim(&returned) ?? latest else { throw error }
        result.preempted.append(victim.id)
        preempt(victim)
        if victim.id == id { throw error }
      }
    }
  }

  /// Slots for a running sequence. Appends to the result's new blocks and copies.
  private mutating func schedule(
    _ id: SequenceID, _ chunk: Int, _ lookahead: Int, _ inFlight: Int, _ reserved: Int,
    _ delays: Bool, _ result: inout Seen.Result
  ) throws(Refusal) -> Int {
    var sequence = try find(id)
    var now = sequence.tokens - sequence.computed
    if chunk > 0 { now = min(now, chunk) }
    if now + lookahead == 0 { return 0 }
    if let budget, now > 0 {
      if budget == 0 { throw Refusal(.notAttempted, sequence: id) }
      now = min(now, budget)
    }
    slide(key(id), inFlight)
    sequence = try find(id)
    let end = min(sequence.computed + now + lookahead, slotLimit)
    let whole = blocksFor(end)
    let real = max(0, min(whole, Int(UInt32.max)) - sequence.table.count { $0 == 0 })
    if real > capacity {
      throw Refusal(
        .never, needed: UInt32(clamping: real), available: UInt32(available),
        reserved: UInt32(promised), sequence: id)
    }
    // Which existing blocks does the range of slots to be written touch?
    var toCopy: [(index: Int, filled: Int)] = []
    var written: [BlockID] = []
    for index in sequence.table.indices {
      let first = max(sequence.computed, index * size)
      if first >= min(end, (index + 1) * size) { continue }
      if !mayWrite(sequence.table[index], from: first - index * size) {
        toCopy.append((index, first - index * size))
      } else {
        written.append(sequence.table[index])
      }
    }
    let new = max(0, whole - sequence.table.count)
    try checkGrowth(sequence, new, id)
    let takes = self.whole(new)
    let kept = reserved + promised
    if takes + toCopy.count > available - kept {
      // Were all others gone, these would be left.
      let most = capacity - sequence.table.count { $0 != 0 } - kept
      isHopeless = takes > most || (needsRuns && new > 0 && !hasRun(new, without: key(id)))
      throw Refusal(
        .later, needed: UInt32(takes + toCopy.count), available: UInt32(available),
        reserved: UInt32(clamping: kept), sequence: id)
    }
    var run: [BlockID] = []
    if needsRuns && new > 0 {
      isHopeless = !hasRun(new, without: key(id))
      try checkRun(new, kept, 0, id)
      run = take(new)
    }
    for block in written where forget(block) { changed = true }
    for (index, filled) in toCopy {
      let order = move(
        sequence.table[index], tokens: filled, sequence: id, index: index, raw: false)
      sequence.table[index] = order.target
      result.copies.append(order)
    }
    let taken = run.isEmpty ? take(new) : run
    sequence.table += taken
    result.newBlocks += taken
    sequence.computed += now
    if now > 0 { changed = true }
    if let budget { self.budget = budget - now }
    scheduledNow[key(id), default: 0] += now
    state.sequences[key(id)] = sequence
    if !delays { cacheFull(key(id), tokens: sequence.computed) }
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
    if ![0, 1, count].contains(request.inFlight.count) {
      throw Refusal(.invalid, field: .inFlightTokens, limit: UInt64(count))
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
      if sequence.tokens + tokens > most {
        throw Refusal(.invalid, field: .appendCounts, limit: UInt64(most), sequence: id)
      }
    }
    let tokenShares = try dealTokens(request)
    let shares = try deal(request, ranAtFirst)
    for id in request.ids where request.commitsPrevious && ranAtFirst.contains(id) {
      cacheFull(key(id), tokens: state.sequences[key(id)]?.computed ?? 0)
    }
    for (i, id) in request.ids.enumerated() where ranAtFirst.contains(id) {
      let tokens = request.append.isEmpty ? 1 : Int(request.append[i])
      var sequence = try find(id)
      grow(&sequence, by: tokens, shares[i], tokenShares[i])
      state.sequences[key(id)] = sequence
      if tokens > 0 || !shares[i].isEmpty { changed = true }
    }

    let victims = request.victims.isEmpty ? request.ids.reversed() : request.victims
    slid = false
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
        let inFlight = request.inFlight.count > 1 ? request.inFlight[i] : request.inFlight.first
        try scheduleWithVictims(
          id, schedule, lookahead, Int(inFlight ?? 0), request.delays, mode, victims,
          isListed: !request.victims.isEmpty, &result)
        newCounts[i] = UInt32(result.newBlocks.count - held)
      } catch {
        if result.refused.isEmpty { result.firstRefusal = named(error) }
        result.refused.append(UInt32(i))
        if mode == .stop { isStopped = true }
        if mode == .abort { throw error }
      }
    }
    if !result.newBlocks.isEmpty { result.counts = newCounts }
    if slid { result.nullCounts = request.ids.map { nulls(key($0)) } }
  }

  /// Each sequence's hashes out of the column.
  private mutating func deal(
    _ request: TestOperation.TestDecode, _ running: Set<SequenceID>
  ) throws(Refusal) -> [[UInt64]] {
    var shares = request.ids.map { _ in [UInt64]() }
    if request.hashes.isEmpty && request.hashCounts.isEmpty { return shares }
    if !caches { throw Refusal(.invalid, field: .blockHashes, limit: 0) }
    if ![0, request.ids.count].contains(request.hashCounts.count) {
      throw Refusal(.invalid, field: .hashCounts, limit: UInt64(request.ids.count))
    }
    var counts: [Int] = []
    for (i, id) in request.ids.enumerated() {
      var missing = 0
      if running.contains(id), let sequence = state.sequences[key(id)] {
        at = sequence.sizeClass
        let tokens = sequence.tokens + (request.append.isEmpty ? 1 : Int(request.append[i]))
        missing = hashable(tokens) - sequence.hashes.count
      }
      if request.hashCounts.isEmpty {
        counts.append(request.hashes.isEmpty ? 0 : missing)
        continue
      }
      let given = Int(request.hashCounts[i])
      counts.append(given)
      if running.contains(id) && given != 0 && given != missing {
        throw Refusal(.invalid, field: .hashCounts, limit: UInt64(missing), sequence: id)
      }
    }
    let total = counts.reduce(0, +)
    if total != request.hashes.count {
      throw Refusal(.invalid, field: .blockHashes, limit: UInt64(total * hashBytes))
    }
    var next = 0
    for i in counts.indices {
      shares[i] = Array(request.hashes[next..<next + counts[i]])
      next += counts[i]
    }
    return shares
  }

  private mutating func scheduleWithVictims(
    _ id: SequenceID, _ chunk: Int, _ lookahead: Int, _ inFlight: Int, _ delays: Bool,
    _ mode: OnRefusal, _ victims: [SequenceID], isListed: Bool, _ result: inout Seen.Result
  ) throws(Refusal) {
    var returned = 0
    defer { giveBackTokens(returned) }
    while true {
      do throws(Refusal) {
        _ = try schedule(id, chunk, lookahead, inFlight, 0, delays, &result)
        return
      } catch {
        if mode != .preempt || ![.later, .noRun].contains(error.reason) || isHopeless {
          throw error
        }
        var next = victims.first {
          state.sequences[key($0)]?.state == .running && state.sequences[key($0)]?.sizeClass == at
        }
        if !isListed, let chosen = chosenVictim(&returned) { next = chosen.id }
        guard let victim = next else { throw error }
        result.preempted.append(victim)
        preempt(key(victim))
        if victim == id { throw error }
      }
    }
  }
}
