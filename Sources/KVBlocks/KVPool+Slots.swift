/// Slots for tokens: admission and extension, vLLM's `allocate_slots` in its two cases.
extension KVPool {
  func admit(
    _ request: Admit, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    if let new = request.add {
      if request.sequence != 0 && request.sequence != new.sequence {
        throw Refusal(.invalid, field: .sequenceID, sequence: request.sequence)
      }
      try checkNew(new)
      do throws(Refusal) {
        let blocks = try checkAdmission(request, new.sequence, tokens: new.tokens)
        start(create(new), request, blocks, &result, outcome)
      } catch {
        if request.keepsOnRefusal { create(new) }
        throw error
      }
    } else {
      let slot = try slot(of: request.sequence)
      let sequence = sequences.slots[Int(slot)]
      guard sequence.state == .waiting || sequence.state == .preempted else {
        throw Refusal(.wrongState, sequence: request.sequence)
      }
      let blocks = try checkAdmission(request, request.sequence, tokens: sequence.tokens)
      start(slot, request, blocks, &result, outcome)
    }
  }

  /// Tokens that an admission schedules now, before the budget.
  private func tokensNow(_ request: Admit, _ tokens: UInt32) -> UInt32 {
    request.maxTokensNow == 0 ? tokens : min(tokens, request.maxTokensNow)
  }

  /// Blocks to take for a sequence of `tokens` that holds none, by the two gates of
  /// `allocate_slots`: the whole known sequence without lookahead, then what is wanted now.
  private func checkAdmission(
    _ request: Admit, _ id: SequenceID, tokens: UInt32
  ) throws(Refusal) -> UInt32 {
    if run.preempted && run.refusesAdmissionAfterPreemption {
      throw Refusal(.notAttempted, sequence: id)
    }
    var now = tokensNow(request, tokens)
    if run.isBudgeted {
      if run.budget == 0 { throw Refusal(.notAttempted, sequence: id) }
      now = min(now, run.budget)
    }
    let wanted = blocksFor(UInt64(now) + UInt64(request.lookaheadTokens))
    let whole = request.allowsPartialFit ? 0 : blocksFor(UInt64(tokens))
    let available = blocks.available
    if max(wanted, whole) > blocks.capacity {
      throw Refusal(.never, needed: max(wanted, whole), available: available, sequence: id)
    }
    try checkBlocks(UInt64(wanted), .none, id)
    if whole > available {
      throw Refusal(.later, needed: whole, available: available, sequence: id)
    }
    let unreserved = available - min(available, request.reservedBlocks)
    if wanted > unreserved {
      throw Refusal(.later, needed: wanted, available: unreserved, sequence: id)
    }
    return wanted
  }

  private func start(
    _ slot: UInt32, _ request: Admit, _ count: UInt32, _ result: inout OperationResult,
    _ outcome: Outcome
  ) {
    sequences.save(slot)
    var now = tokensNow(request, sequences.slots[Int(slot)].tokens)
    if run.isBudgeted {
      now = min(now, run.budget)
      run.budget -= now
    }
    let firstBlock = outcome.blocks.count
    takeBlocks(count, for: slot, outcome)
    sequences.slots[Int(slot)].computed = now
    sequences.slots[Int(slot)].admittedRevision = revision + 1
    sequences.setState(.running, of: slot)
    sessions.appendRunning(slot, in: sequences)
    result.scheduledTokens = now
    result.newBlocks = Slice32(start: UInt32(firstBlock), count: count)
    run.changed = true
  }

  @inline(__always)
  private func takeBlocks(_ count: UInt32, for slot: UInt32, _ outcome: Outcome) {
    run.blocks += count
    let room = sequences.extendTable(of: slot, by: count)
    blocks.take(count, for: .sequence(slot), generation: generation, into: room)
    outcome.blocks.extend(by: Int(count)).initialize(from: room, count: Int(count))
  }

  func extend(
    _ request: Extend, _ mode: OnRefusal, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    let slot = try slot(of: request.sequence)
    guard sequences.slots[Int(slot)].isRunning else {
      throw Refusal(.wrongState, sequence: request.sequence)
    }
    try append(request.appendTokens, to: slot, .tokenCount)
    let firstBlock = outcome.blocks.count
    let firstCopy = outcome.copies.count
    let firstPreempted = outcome.preempted.count
    while true {
      do throws(Refusal) {
        result.scheduledTokens = try schedule(
          slot, atMost: request.maxTokensNow, lookahead: request.lookaheadTokens,
          reserved: request.reservedBlocks, outcome)
        result.newBlocks = slice(firstBlock, outcome.blocks.count)
        result.copies = slice(firstCopy, outcome.copies.count)
        return
      } catch {
        guard mode == .preempt && error.reason == .later && run.preemptingHelps else {
          throw error
        }
        // The requester runs, so there is always a last one: at worst itself.
        let victim = sessions.slots[Int(run.slot)].lastRunning
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
  /// - Parameter tokens: At most this many; 0 = all outstanding.
  /// - Returns: Tokens that now have slots thanks to this call.
  /// - Complexity: O(blocks in the written range).
  @inline(__always)
  func schedule(
    _ slot: UInt32, atMost tokens: UInt32, lookahead: UInt32, reserved: UInt32, _ outcome: Outcome
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
    let size = configuration.blockSize
    let whole = blocksFor(UInt64(computed) + UInt64(now) + UInt64(lookahead))
    if whole > blocks.capacity {
      throw Refusal(
        .never, needed: whole, available: blocks.available, sequence: sequence.pointee.id)
    }
    let held = sequence.pointee.blockCount
    let firstWritten = computed / size
    let filled = computed % size
    var copied: UInt32 = 0
    if let table = sequence.pointee.table {
      var i = firstWritten
      while i < min(held, whole) {
        let block = table[Int(i)]
        if !isWritable(block, from: i == firstWritten ? filled : 0) {
          try checkPins(of: block)
          copied += 1
        }
        i += 1
      }
    }
    let new = whole > held ? whole - held : 0
    if new + copied > 0 {
      try checkBlocks(UInt64(new) + UInt64(copied), .none, sequence.pointee.id)
    }
    let unreserved = blocks.available - min(blocks.available, reserved)
    if new + copied > unreserved {
      run.preemptingHelps =
        new == 0 || UInt64(whole) + UInt64(reserved) <= UInt64(blocks.capacity)
      throw Refusal(
        .later, needed: new + copied, available: unreserved, sequence: sequence.pointee.id)
    }
    if copied > 0 { copyShared(slot, from: firstWritten, to: min(held, whole), filled, outcome) }
    if new > 0 {
      takeBlocks(new, for: slot, outcome)
      run.changed = true
    }
    if now > 0 {
      sequences.save(slot)
      sequence.pointee.computed = computed + now
      if run.isBudgeted { run.budget -= now }
      run.changed = true
    }
    return now
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
