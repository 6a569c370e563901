/// Slots for tokens of running sequences: vLLM's `allocate_slots` of a running request.
extension KVPool {
  func extend(
    _ request: Extend, _ mode: OnRefusal, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    let slot = try slot(of: request.sequence)
    guard sequences.slots[Int(slot)].isRunning else {
      throw Refusal(.wrongState, sequence: request.sequence)
    }
    try append(request.appendTokens, request.blockHashes, request.tokenIDs, to: slot)
    let firstBlock = outcome.blocks.count
    let firstCopy = outcome.copies.count
    let firstPreempted = outcome.preempted.count
    var returned: UInt32 = 0
    // A window moves even where the slots are refused.
    defer {
      settle(slot)
      if returned > 0 { run.budget += returned }
    }
    var isSure = false
    var last = SequenceSlot.none
    while true {
      do throws(Refusal) {
        result.scheduledTokens = try schedule(
          slot, atMost: request.maxTokensNow, lookahead: request.lookaheadTokens,
          inFlight: request.inFlightTokens, reserved: request.reservedBlocks,
          delaysCommit: request.delaysCommit, outcome)
        result.nullBlocks = sequences.slots[Int(slot)].nullBlocks
        result.newBlocks = slice(firstBlock, outcome.blocks.count)
        result.copies = slice(firstCopy, outcome.copies.count)
        return
      } catch {
        guard mode == .preempt && error.isOfBlocks && run.preemptingHelps else {
          throw error
        }
        if !isSure && run.refusedRun > 0 { try checkPreemptingMakesRun(for: slot, or: error) }
        isSure = true
        // The requester runs, so there is always a last one: at worst itself.
        let victim =
          run.victimPolicy == .fcfs
          ? try lastRunningOfClass(before: &last)
          : try policyVictim(for: request.sequence, &returned)
        outcome.preempted.append(sequences.slots[Int(victim)].id)
        result.preempted = slice(firstPreempted, outcome.preempted.count)
        _ = preempt(victim)
        if victim == slot { throw error }
      }
    }
  }

  @inline(__always)
  func slice(_ start: Int, _ end: Int) -> Slice32 {
    Slice32(start: UInt32(start), count: UInt32(end - start))
  }

  /// Slots for outstanding tokens and for lookahead of a running sequence.
  ///
  /// Blocks in the written range that others refer to, or that a copy under way conflicts with, are
  /// replaced first, in table order; then new blocks are taken. All or none.
  ///
  /// Before that, and even if it is then refused, a sliding window moves.
  ///
  /// - Parameter tokens: At most this many; 0 = all outstanding.
  /// - Returns: Tokens that now have slots thanks to this call.
  /// - Complexity: O(blocks in the written range).
  @inline(__always)
  func schedule(
    _ slot: UInt32, atMost tokens: UInt32, lookahead: UInt32, inFlight: UInt32,
    reserved: UInt32, delaysCommit: Bool, _ outcome: Outcome
  ) throws(Refusal) -> UInt32 {
    let sequence = sequences.slots + Int(slot)
    let computed = sequence.pointee.computed
    var now = sequence.pointee.tokens - computed
    if tokens > 0 { now = min(now, tokens) }
    if now == 0 && lookahead == 0 { return 0 }
    if run.isBudgeted && now > 0 {
      if run.budget == 0 { throw Refusal(.notAttempted, sequence: sequence.pointee.id) }
      now = min(now, run.budget)
    }
    if window > 0 { dropSkipped(slot, inFlight: inFlight) }
    let size = blockSize
    let whole = blocksFor(slots(UInt64(computed) + UInt64(now) + UInt64(lookahead)))
    let most = max(whole, sequence.pointee.nullBlocks) - sequence.pointee.nullBlocks
    if most > capacity {
      throw Refusal(
        .never, needed: most, available: self.available, reserved: promisedHere,
        sequence: sequence.pointee.id)
    }
    let held = sequence.pointee.blockCount
    let firstWritten = computed / size
    let filled = computed % size
    if min(held, whole) > firstWritten + 1 {
      try spend(min(held, whole) - firstWritten, sequence.pointee.id)
    }
    var copied: UInt32 = 0
    var overwrites = false
    if let table = sequence.pointee.table {
      var i = firstWritten
      while i < min(held, whole) {
        let block = table[Int(i)]
        if !isWritable(block, from: i == firstWritten ? filled : 0) {
          try checkPins(of: block)
          copied += 1
        } else if blocks.records[Int(block)].twin != 0 {
          overwrites = true
        }
        i += 1
      }
    }
    let new = whole > held ? whole - held : 0
    // More than that where the strategy rounds up.
    var takes = new
    if blocks.needsRuns && new > 0 { takes = try checkGrowth(slot, by: new, to: whole) }
    if new + copied > 0 {
      try checkBlocks(UInt64(new) + UInt64(copied), .none, sequence.pointee.id)
      if blocks.searches { try spend(0, sequence.pointee.id) }
    }
    let available = self.available
    let kept = UInt64(reserved) + UInt64(promisedHere)
    // Also where nothing is needed: reserved blocks are to stay, or the answer is no.
    if UInt64(takes) + UInt64(copied) + kept > UInt64(available) {
      run.preemptingHelps =
        UInt64(held - sequence.pointee.nullBlocks) + UInt64(takes) + kept <= UInt64(capacity)
      run.refusedRun = blocks.needsRuns ? new : 0
      throw Refusal(
        .later, needed: takes + copied, available: available, reserved: UInt32(clamping: kept),
        sequence: sequence.pointee.id)
    }
    // Before the copies, whose single blocks might break up the run.
    let isRun = blocks.needsRuns && new > 0
    if isRun {
      run.preemptingHelps = true
      run.refusedRun = new
      try checkRun(
        of: new, beside: UInt32(clamping: kept), watermark: 0, sequence.pointee.id)
      takeBlocks(new, for: slot, outcome)
      run.changed = true
    }
    if overwrites { forgetWritten(slot, from: firstWritten, to: min(held, whole), filled) }
    if copied > 0 { copyShared(slot, from: firstWritten, to: min(held, whole), filled, outcome) }
    if new > 0 && !isRun {
      takeBlocks(new, for: slot, outcome)
      run.changed = true
    }
    if now > 0 {
      sequences.save(slot)
      sequence.pointee.computed = computed + now
      if run.isBudgeted { charge(now, to: slot) }
      run.changed = true
    }
    if !delaysCommit { cacheFull(slot, tokens: computed + now) }
    return now
  }

  /// Blocks of the table's range that are written in place do not hold what they held.
  @inline(never)
  private func forgetWritten(
    _ slot: UInt32, from first: UInt32, to end: UInt32, _ filled: UInt32
  ) {
    for i in first..<end {
      let block = sequences.slots[Int(slot)].blocks[Int(i)]
      if isWritable(block, from: i == first ? filled : 0)
        && blocks.forget(block, .overwrite, for: .sequence(slot))
      {
        run.changed = true
      }
    }
  }

  /// Replaces the blocks of the table's range that may not be written in place.
  private func copyShared(
    _ slot: UInt32, from first: UInt32, to end: UInt32, _ filled: UInt32, _ outcome: Outcome
  ) {
    let sequence = sequences.slots[Int(slot)]
    for i in first..<end {
      let tokens = i == first ? filled : 0
      let source = sequence.blocks[Int(i)]
      if isWritable(source, from: tokens) { continue }
      let target = moveReference(from: source, to: .sequence(slot))
      sequences.replaceEntry(of: slot, at: i, with: target)
      order(
        source: source, target: target, tokens: tokens, sequence: sequence.id, tableIndex: i,
        isRaw: false, sequence.session, outcome)
    }
  }
}
