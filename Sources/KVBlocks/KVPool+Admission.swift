/// Slots for a sequence that begins: vLLM's `allocate_slots` of a waiting request.
extension KVPool {
  func admit(
    _ request: Admit, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    if let new = request.add {
      if request.sequence != 0 && request.sequence != new.sequence {
        throw Refusal(.invalid, field: .sequenceID, sequence: request.sequence)
      }
      try checkNew(new)
      var hashes: UnsafeBufferPointer<UInt8>?
      do throws(Refusal) {
        try checkCheaply(request, new.sequence, tokens: new.tokens)
        let made = self.hashes(of: new)
        hashes = made
        let plan = try checkAdmission(
          request, new.sequence, tokens: new.tokens, expected: new.expectedTokens, made,
          skipsLookup: new.skipsPrefixLookup)
        start(create(new, made), request, plan, &result, outcome)
      } catch {
        if request.keepsOnRefusal { create(new, hashes ?? self.hashes(of: new)) }
        throw error
      }
    } else {
      let slot = try slot(of: request.sequence)
      let sequence = sequences.slots[Int(slot)]
      guard sequence.state == .waiting || sequence.state == .preempted else {
        throw Refusal(.wrongState, sequence: request.sequence)
      }
      try checkCheaply(request, request.sequence, tokens: sequence.tokens)
      var hashes = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
      if let chains { hashes = chains.bytes(of: slot) }
      let plan = try checkAdmission(
        request, request.sequence, tokens: sequence.tokens, expected: sequence.expectedTokens,
        hashes,
        skipsLookup: chains?.chains[Int(slot)].skipsLookup ?? true)
      start(slot, request, plan, &result, outcome)
    }
  }

  /// What an admission that was let through does, beside the hits in `hits`. Its table is `nulls`
  /// null blocks, the hits and `newBlocks`.
  private struct Admission: BitwiseCopyable {
    /// Tokens that were found in the cache.
    var cached: UInt32
    var nulls: UInt32
    /// Tokens whose KV is there or comes from elsewhere, and tokens to compute now.
    var present: UInt32
    var now: UInt32
    var newBlocks: UInt32
  }

  /// What refuses an admission whatever is cached, before anything is hashed or looked up.
  private func checkCheaply(
    _ request: Admit, _ id: SequenceID, tokens: UInt32
  ) throws(Refusal) {
    if run.preempted && run.refusesAdmissionAfterPreemption {
      throw Refusal(.notAttempted, sequence: id)
    }
    // A hit leaves a token to compute; only tokens from elsewhere may leave none.
    if run.isBudgeted && run.budget == 0 && request.externalComputedTokens == 0 {
      throw Refusal(.notAttempted, sequence: id)
    }
    // A window may be past some of them.
    let whole = blocksFor(UInt64(tokens))
    if !request.allowsPartialFit && window == 0 && whole > capacity {
      throw Refusal(
        .never, needed: whole, available: available, reserved: promisedHere - promised(to: id),
        watermark: keptWatermark(request), sequence: id)
    }
    try spend(0, id)
  }

  private func keptWatermark(_ request: Admit) -> UInt32 {
    request.ignoresWatermark || sequences.counts.running == 0 ? 0 : watermarkBlocks
  }

  /// The two gates of `allocate_slots` for a sequence of `tokens` that holds no blocks: the whole
  /// known sequence without lookahead, then what is wanted now. Hits that nobody holds are charged,
  /// because they leave the queue as new blocks do.
  private func checkAdmission(
    _ request: Admit, _ id: SequenceID, tokens: UInt32, expected: UInt32,
    _ hashes: UnsafeBufferPointer<UInt8>, skipsLookup: Bool
  ) throws(Refusal) -> Admission {
    hits.removeAll()
    var nulls: UInt32 = 0
    if hashes.count > 0 && !skipsLookup { nulls = findHits(hashes, tokens: tokens, into: &hits) }
    let cached = (nulls + UInt32(hits.count)) * blockSize
    let present = cached + min(request.externalComputedTokens, tokens - cached)
    var now = tokens - present
    if request.maxTokensNow > 0 { now = min(now, request.maxTokensNow) }
    if run.isBudgeted && now > 0 {
      if run.budget == 0 { throw Refusal(.notAttempted, sequence: id) }
      now = min(now, run.budget)
    }
    var wanted = blocksFor(slots(UInt64(present) + UInt64(now) + UInt64(request.lookaheadTokens)))
    var whole = request.allowsPartialFit ? 0 : min(blocksFor(UInt64(tokens)), admissionCap())
    if blocks.needsRuns {
      wanted = max(wanted, reservation(tokens: tokens, expected: expected))
      if configuration.strategy.reservesAtAdmission { whole = wanted }
    }
    let available = self.available
    // Tokens from elsewhere move the window past what was found, and beyond.
    let skipped = skippedBlocks(present)
    if skipped > nulls {
      hits.removeFirst(min(hits.count, Int(skipped - nulls)))
      nulls = skipped
    }
    // Entries of the table before the new blocks.
    let head = nulls + UInt32(hits.count)
    let evictable = evictable(hits.elements)
    let watermark = keptWatermark(request)
    let own = promised(to: id)
    let others = promisedHere - own
    let new = max(wanted, head) - head
    let most = max(max(wanted, whole, head) - nulls, blocks.rounded(new))
    if most > capacity {
      throw Refusal(
        .never, needed: most, available: available, evictable: evictable,
        reserved: others, watermark: watermark, sequence: id)
    }
    // Null blocks are memory of the table, too.
    try checkBlocks(UInt64(max(wanted, head)), .none, id)
    // So many new blocks must be there beside others; hits that nobody holds leave the queue too. What
    // was promised has paid the watermark before.
    func check(_ new: UInt32, beside reserved: UInt32) throws(Refusal) {
      let charge = new + evictable
      let kept = charge <= own ? 0 : watermark
      if UInt64(charge) + UInt64(kept) + UInt64(reserved) > UInt64(available) {
        throw Refusal(
          .later, needed: charge, available: available, evictable: evictable, reserved: reserved,
          watermark: kept, sequence: id)
      }
    }
    if !request.allowsPartialFit { try check(max(whole, head) - head, beside: others) }
    let reserved = UInt32(clamping: UInt64(others) + UInt64(request.reservedBlocks))
    try check(blocks.rounded(new), beside: reserved)
    if tracksOwed {
      let table = max(min(blocksFor(UInt64(tokens)), admissionCap()), wanted, head)
      let rounding = blocks.rounded(new) - new
      try checkThreshold(
        table - head + rounding + evictable, whole: table - nulls + rounding, evictable: evictable,
        own: own, others: others, id)
    }
    if blocks.needsRuns && new > 0 {
      let kept = blocks.rounded(new) <= own ? 0 : watermark
      try checkRun(of: new, beside: reserved, watermark: kept, id)
    }
    return Admission(cached: cached, nulls: nulls, present: present, now: now, newBlocks: new)
  }

  /// Slots that a sequence is given at most.
  @inline(__always)
  func slots(_ wanted: UInt64) -> UInt64 {
    configuration.maxModelTokens == 0 ? wanted : min(wanted, UInt64(tokenLimit))
  }

  private func start(
    _ slot: UInt32, _ request: Admit, _ plan: Admission, _ result: inout OperationResult,
    _ outcome: Outcome
  ) {
    sequences.save(slot)
    if run.isBudgeted { charge(plan.now, to: slot) }
    if plan.nulls > 0 { startWithNulls(slot, plan.nulls) }
    result.nullBlocks = plan.nulls
    if let chains { useHits(slot, plan.cached, chains, &result, outcome) }
    let firstBlock = outcome.blocks.count
    takeBlocks(plan.newBlocks, for: slot, outcome)
    if sequences.slots[Int(slot)].state == .waiting { countFirst(slot, cached: plan.cached) }
    sequences.slots[Int(slot)].computed = plan.present + plan.now
    sequences.slots[Int(slot)].admittedRevision = revision + 1
    sequences.setState(.running, of: slot)
    sessions.appendRunning(slot, in: sequences)
    releasePromise(of: sequences.slots[Int(slot)].id)
    settle(slot)
    if !request.delaysCommit { cacheFull(slot, tokens: plan.present + plan.now) }
    result.scheduledTokens = plan.now
    result.newBlocks = Slice32(start: UInt32(firstBlock), count: plan.newBlocks)
    run.changed = true
  }

  private func countFirst(_ slot: UInt32, cached: UInt32) {
    activity.tally.admitted += 1
    activity.tally.promptTokens += UInt64(sequences.slots[Int(slot)].tokens)
    activity.tally.promptTokensCached += UInt64(cached)
  }

  /// The head of a table that a window is past.
  @inline(never)
  private func startWithNulls(_ slot: UInt32, _ count: UInt32) {
    sequences.extendTable(of: slot, by: count).update(repeating: 0, count: Int(count))
    sequences.slots[Int(slot)].nullBlocks = count
    run.blocks += count
  }

  /// Before anything is allocated: the hits leave the queue and become the head of the table.
  private func useHits(
    _ slot: UInt32, _ cached: UInt32, _ chains: HashChains, _ result: inout OperationResult,
    _ outcome: Outcome
  ) {
    let found = UInt32(hits.count)
    if found > 0 {
      run.blocks += found
      let room = sequences.extendTable(of: slot, by: found)
      room.update(from: hits.base, count: hits.count)
      let nulls = sequences.slots[Int(slot)].nullBlocks
      for (i, id) in hits.elements.enumerated() {
        blocks.touch(id, for: .sequence(slot), generation: generation)
        claim(id, at: nulls + UInt32(i), of: slot)
      }
      if blocks.logsReferences {
        log.note(.hit, by: .sequence(slot), hits.base, hits.count, of: blocks)
      }
      result.cachedBlocks = listHits(outcome)
    }
    result.cachedTokens = cached
    chains.save(slot)
    chains.chains[Int(slot)].cachedBlocks = cached / blockSize
    if chains.chains[Int(slot)].skipsLookup { return }
    let tokens = UInt64(sequences.slots[Int(slot)].tokens)
    if sequences.slots[Int(slot)].state == .preempted {
      activity.preemptedQueryTokens += tokens
      activity.preemptedHitTokens += UInt64(result.cachedTokens)
    } else {
      activity.prefixQueryTokens += tokens
      activity.prefixHitTokens += UInt64(result.cachedTokens)
    }
  }

  @inline(__always)
  func takeBlocks(_ count: UInt32, for slot: UInt32, _ outcome: Outcome) {
    run.blocks += count
    let room = sequences.extendTable(of: slot, by: count)
    blocks.take(
      count, for: .sequence(slot), generation: generation, into: room)
    outcome.blocks.extend(by: Int(count)).initialize(from: room, count: Int(count))
  }
}
