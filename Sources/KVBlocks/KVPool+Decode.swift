/// Many running sequences extended at once, in columns: what a decode step is made of.
///
/// First every appended token is recorded, then slots are given in the order of the list. So a
/// sequence that is preempted before its turn, or that comes after the one that stops the list,
/// keeps the tokens that were sampled for it.
extension KVPool {
  /// In `scratch`: the sequence did not run when the decode began.
  static let notRunning: UInt32 = 1 << 31

  func decode(
    _ columns: Decode, _ mode: OnRefusal, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    try checkColumns(columns)
    try resolve(columns)
    try checkHashes(columns)
    let count = columns.sequences.count
    if columns.commitsPrevious { commitAll(columns) }
    appendAll(columns)
    let firstBlock = outcome.blocks.count
    let firstCopy = outcome.copies.count
    let firstCount = outcome.counts.count
    let firstRefused = outcome.refusedIndexes.count
    let firstPreempted = outcome.preempted.count
    let dropped = run.droppedBlocks
    var victims = Victims(columns)
    if hasClasses { startVictims(victims) }
    let newCounts = outcome.counts.extend(by: count)
    newCounts.initialize(repeating: 0, count: count)
    var isStopped = false

    for i in 0..<count {
      if isStopped {
        outcome.refusedIndexes.append(UInt32(i))
        continue
      }
      let slot = scratch.base[i]
      do throws(Refusal) {
        if slot == SequenceSlot.none {
          throw Refusal(.unknownSequence, sequence: columns.sequences[i])
        }
        if slot & Self.notRunning != 0 {
          throw Refusal(.wrongState, sequence: columns.sequences[i])
        }
        // Preempted for an earlier one: it is listed there, and its turn passes.
        if !sequences.slots[Int(slot)].isRunning { continue }
        useClass(of: slot)
        let held = outcome.blocks.count
        try scheduleOrPreempt(i, slot, columns, mode, &victims, outcome)
        newCounts[i] = UInt32(outcome.blocks.count - held)
      } catch {
        if mode == .abort { throw error }
        if outcome.refusedIndexes.count == firstRefused { result.firstRefusal = named(error) }
        outcome.refusedIndexes.append(UInt32(i))
        isStopped = mode == .stop
      }
    }
    if run.droppedBlocks != dropped { listNulls(count, &result, outcome) }
    if tracksOwed { settleDecoded(count) }
    if outcome.blocks.count == firstBlock { outcome.counts.removeLast(count) }
    result.newBlocks = slice(firstBlock, outcome.blocks.count)
    result.copies = slice(firstCopy, outcome.copies.count)
    result.counts = slice(firstCount, outcome.counts.count)
    result.refusedIndexes = slice(firstRefused, outcome.refusedIndexes.count)
    result.preempted = slice(firstPreempted, outcome.preempted.count)
  }

  private func checkColumns(_ columns: Decode) throws(Refusal) {
    let count = columns.sequences.count
    if count == 0 { throw Refusal(.invalid, field: .sequenceIDs, limit: 1) }
    if columns.appendCounts.count != 0 && columns.appendCounts.count != count {
      throw Refusal(.invalid, field: .appendCounts, limit: UInt64(count))
    }
    if columns.scheduleCounts.count != 0 && columns.scheduleCounts.count != count {
      throw Refusal(.invalid, field: .scheduleCounts, limit: UInt64(count))
    }
    if columns.lookaheadTokens.count > 1 && columns.lookaheadTokens.count != count {
      throw Refusal(.invalid, field: .lookaheadTokens, limit: UInt64(count))
    }
    if columns.inFlightTokens.count > 1 && columns.inFlightTokens.count != count {
      throw Refusal(.invalid, field: .inFlightTokens, limit: UInt64(count))
    }
  }

  /// Finds every sequence once and keeps the slots in `scratch`. Refuses the whole decode, before
  /// anything changed, for a sequence named twice or with more tokens than there can be.
  private func resolve(_ columns: Decode) throws(Refusal) {
    scratch.removeAll()
    let slots = scratch.extend(by: columns.sequences.count)
    slots.initialize(repeating: SequenceSlot.none, count: columns.sequences.count)
    guard run.slot != SequenceSlot.none else { return }
    stamp += 1
    for i in 0..<columns.sequences.count {
      let slot = sequences.find(columns.sequences[i], session: run.slot)
      if slot == SequenceSlot.none { continue }
      let sequence = sequences.slots + Int(slot)
      if sequence.pointee.stamp == stamp {
        throw Refusal(
          .invalid, field: .sequenceIDs, limit: UInt64(i), sequence: columns.sequences[i])
      }
      sequence.pointee.stamp = stamp
      if !sequence.pointee.isRunning {
        slots[i] = slot | Self.notRunning
        continue
      }
      slots[i] = slot
      if appended(i, columns) > tokenLimit - sequence.pointee.tokens {
        throw Refusal(
          .invalid, field: .appendCounts, limit: UInt64(tokenLimit),
          sequence: columns.sequences[i])
      }
    }
  }

  @inline(__always)
  private func appended(_ i: Int, _ columns: Decode) -> UInt32 {
    columns.appendCounts.count == 0 ? 1 : columns.appendCounts[i]
  }

  /// Each sequence that runs comes with the hashes of all blocks that are full by now, or with none;
  /// together they are the whole column.
  private func checkHashes(_ columns: Decode) throws(Refusal) {
    if columns.tokenIDs.count > 0 { try checkTokenIDs(columns) }
    if columns.blockHashes.count == 0 && columns.hashCounts.count == 0 { return }
    guard let chains else { throw Refusal(.invalid, field: .blockHashes, limit: 0) }
    let count = columns.sequences.count
    if columns.hashCounts.count != 0 && columns.hashCounts.count != count {
      throw Refusal(.invalid, field: .hashCounts, limit: UInt64(count))
    }
    var total: UInt64 = 0
    for i in 0..<count {
      let given = hashes(i, columns, chains)
      total += UInt64(given)
      if scratch.base[i] & Self.notRunning != 0 || given == 0 { continue }
      let missing = missingHashes(i, columns, chains)
      if given != missing {
        throw Refusal(
          .invalid, field: .hashCounts, limit: UInt64(missing), sequence: columns.sequences[i])
      }
    }
    let limit = total * UInt64(chains.hashBytes)
    if UInt64(columns.blockHashes.count) != limit {
      throw Refusal(.invalid, field: .blockHashes, limit: limit)
    }
  }

  /// Hashes that the column has for sequence `i`.
  private func hashes(_ i: Int, _ columns: Decode, _ chains: HashChains) -> UInt32 {
    if columns.hashCounts.count > 0 { return columns.hashCounts[i] }
    return columns.blockHashes.count == 0 ? 0 : missingHashes(i, columns, chains)
  }

  /// Blocks of a running sequence that are full with what is appended and whose hash is not known.
  private func missingHashes(_ i: Int, _ columns: Decode, _ chains: HashChains) -> UInt32 {
    let slot = scratch.base[i]
    if slot & Self.notRunning != 0 { return 0 }
    useClass(of: slot)
    let tokens = sequences.slots[Int(slot)].tokens + appended(i, columns)
    return chains.hashable(tokens) - chains.chains[Int(slot)].count
  }

  private func commitAll(_ columns: Decode) {
    for i in 0..<columns.sequences.count {
      let slot = scratch.base[i]
      if slot & Self.notRunning == 0 {
        useClass(of: slot)
        cacheFull(slot, tokens: sequences.slots[Int(slot)].computed)
      }
    }
  }

  /// Before the tokens are counted: how many are missing depends on them.
  private func appendHashes(_ columns: Decode, _ chains: HashChains) {
    var start = 0
    for i in 0..<columns.sequences.count {
      let bytes = Int(hashes(i, columns, chains)) * chains.hashBytes
      let slot = scratch.base[i]
      if bytes > 0 && slot & Self.notRunning == 0 {
        chains.append(
          UnsafeBufferPointer(rebasing: columns.blockHashes[start..<start + bytes]), to: slot)
        run.changed = true
      }
      start += bytes
    }
  }

  /// Before the tokens are counted, as the hashes.
  private func appendTokenIDs(_ columns: Decode, _ chains: HashChains) {
    var next = columns.tokenIDs.baseAddress.unsafelyUnwrapped
    for i in 0..<columns.sequences.count {
      let ids = UnsafeBufferPointer(start: next, count: Int(appended(i, columns)))
      next += ids.count
      let slot = scratch.base[i]
      if slot & Self.notRunning != 0 { continue }
      useClass(of: slot)
      chains.append(ids, behind: sequences.slots[Int(slot)].tokens, to: slot)
    }
  }

  /// As many as are appended in all, and no hashes beside them.
  private func checkTokenIDs(_ columns: Decode) throws(Refusal) {
    if columns.blockHashes.count > 0 || columns.hashCounts.count > 0 {
      throw Refusal(.invalid, field: .blockHashes, limit: 0)
    }
    var total = UInt64(columns.sequences.count)
    if columns.appendCounts.count > 0 {
      total = 0
      for count in columns.appendCounts { total += UInt64(count) }
    }
    if UInt64(columns.tokenIDs.count) != total {
      throw Refusal(.invalid, field: .tokenIDs, limit: total)
    }
    try checkTokenIDs(columns.tokenIDs, 0)
    guard let chains, chains.hasKeys else { return }
    for i in 0..<columns.sequences.count where scratch.base[i] & Self.notRunning == 0 {
      try checkKeys(of: scratch.base[i], appending: appended(i, columns))
    }
  }

  private func appendAll(_ columns: Decode) {
    if let chains, columns.blockHashes.count > 0 { appendHashes(columns, chains) }
    if let chains, columns.tokenIDs.count > 0 { appendTokenIDs(columns, chains) }
    var all: UInt64 = 0
    for i in 0..<columns.sequences.count {
      let slot = scratch.base[i]
      let tokens = appended(i, columns)
      if slot & Self.notRunning != 0 || tokens == 0 { continue }
      sequences.save(slot)
      sequences.slots[Int(slot)].tokens += tokens
      all += UInt64(tokens)
      run.changed = true
    }
    activity.tally.appendedTokens += all
  }

  @inline(__always)
  private func scheduleOrPreempt(
    _ i: Int, _ slot: UInt32, _ columns: Decode, _ mode: OnRefusal, _ victims: inout Victims,
    _ outcome: Outcome
  ) throws(Refusal) {
    let tokens = columns.scheduleCounts.count == 0 ? 0 : columns.scheduleCounts[i]
    let lookahead =
      columns.lookaheadTokens.count == 0
      ? 0 : columns.lookaheadTokens[columns.lookaheadTokens.count == 1 ? 0 : i]
    let inFlight =
      columns.inFlightTokens.count == 0
      ? 0 : columns.inFlightTokens[columns.inFlightTokens.count == 1 ? 0 : i]
    var isSure = false
    // Tokens that victims give back are for those who come after this one.
    var returned: UInt32 = 0
    defer { if returned > 0 { run.budget += returned } }
    while true {
      do throws(Refusal) {
        _ = try schedule(
          slot, atMost: tokens, lookahead: lookahead, inFlight: inFlight, reserved: 0,
          delaysCommit: columns.delaysCommit, outcome)
        return
      } catch {
        guard mode == .preempt && error.isOfBlocks && run.preemptingHelps else {
          throw error
        }
        if !isSure && run.refusedRun > 0 { try checkPreemptingMakesRun(for: slot, or: error) }
        isSure = true
        let victim =
          columns.victimOrder.count == 0 && run.victimPolicy != .fcfs
          ? try policyVictim(for: columns.sequences[i], &returned)
          : nextVictim(&victims, columns)
        if victim == SequenceSlot.none { throw error }
        outcome.preempted.append(sequences.slots[Int(victim)].id)
        _ = preempt(victim)
        if victim == slot { throw error }
      }
    }
  }

  /// How far the list of victims is used up. What is passed over does not run, and will not run
  /// again within this decode.
  private struct Victims {
    var next: Int
    init(_ columns: Decode) {
      next = columns.victimOrder.count == 0 ? columns.sequences.count - 1 : 0
    }
  }

  /// The same for each size class: only its own sequences are of help to it.
  @inline(never)
  private func startVictims(_ victims: Victims) {
    victimPlaces = Array(repeating: victims.next, count: shapes.count)
  }

  @inline(never)
  private func nextVictim(_ victims: inout Victims, _ columns: Decode) -> UInt32 {
    if !hasClasses { return nextOfList(&victims.next, columns) }
    while true {
      let victim = nextOfList(&victimPlaces[Int(run.sizeClass)], columns)
      if victim == SequenceSlot.none || sequences.slots[Int(victim)].sizeClass == run.sizeClass {
        return victim
      }
    }
  }

  private func nextOfList(_ next: inout Int, _ columns: Decode) -> UInt32 {
    if columns.victimOrder.count == 0 {
      while next >= 0 {
        let slot = scratch.base[next]
        next -= 1
        if slot & Self.notRunning == 0 && sequences.slots[Int(slot)].isRunning { return slot }
      }
    } else {
      while next < columns.victimOrder.count {
        let slot = sequences.find(columns.victimOrder[next], session: run.slot)
        next += 1
        if slot != SequenceSlot.none && sequences.slots[Int(slot)].isRunning { return slot }
      }
    }
    return SequenceSlot.none
  }
}
