/// The ladder where what is needed is one run of adjacent blocks.
///
/// A rung is taken only where those before it do not suffice together. Moves change tables when their
/// copies are acknowledged, so the run that they make is there then, and not before.
extension KVPool {
  /// - Throws: `.later` or, where there are blocks enough, `.noRun`, both with the longest run there
  ///   is; `.never` where the pool is too small; `.quota` where it takes too long to find whom to spare.
  /// - Complexity: O(blocks + table entries of the session), times the logarithm of the sequences that
  ///   run for each that is preempted.
  func recoverRun(
    _ request: Recover, _ rungs: [RecoverRung], _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    let shape = blocks.shape(of: request.blocksNeeded)
    if shape.count > capacity {
      throw Refusal(
        .never, needed: UInt32(shape.count), available: self.available, reserved: promisedHere)
    }
    try spend(0, 0)
    let start = outcome.reports.count
    defer { result.reports = slice(start, outcome.reports.count) }
    let mostMoves = min(
      request.maxMoves == 0 ? Self.defaultMoves : request.maxMoves,
      Self.maximumBlocksPerCommand - min(run.blocks, Self.maximumBlocksPerCommand))
    var search = RunSearch(self, for: shape, mostMoves: mostMoves)
    let longest = UInt32(search.longest(moving: false).count)
    let isMet = search.isMet(moving: false)
    guard let victims = try victims(request, rungs, &search) else {
      report(rungs, request, &search, longest, outcome)
      let isShort = shape.count + Int(promisedHere) > Int(self.available)
      throw Refusal(
        isShort ? .later : .noRun, needed: UInt32(shape.count), available: self.available,
        evictable: isShort ? 0 : cachedBlocks, reserved: promisedHere, limit: UInt64(longest))
    }
    if blocks.flushPending() > 0 { run.changed = true }
    var ladder = Ladder(
      shape: shape, mostMoves: mostMoves, isMet: isMet, longest: longest, victims: victims)
    for rung in rungs {
      let report =
        switch rung {
        case .evict: evict(request, ladder)
        case .defragment: defragment(&ladder, &result, outcome)
        case .preempt: preempt(&ladder, &result, outcome)
        }
      outcome.reports.append(report)
    }
    // Blocks that could move before, and did not suffice, can make the run now.
    if !ladder.isMet { outcome.reports.append(defragment(&ladder, &result, outcome)) }
  }

  /// How far the ladder is climbed.
  private struct Ladder {
    let shape: RunShape
    let mostMoves: UInt32
    var isMet: Bool
    /// The longest run there is, or will be once the copies are acknowledged.
    var longest: UInt32
    /// Who is to go, and has not gone yet.
    var victims: [UInt32]
  }

  /// Who goes with the first rungs that suffice together; nil where all do not.
  private func victims(
    _ request: Recover, _ rungs: [RecoverRung], _ search: inout RunSearch
  ) throws(Refusal) -> [UInt32]? {
    var isMoving = false
    var candidates: [UInt32] = []
    for rung in rungs {
      switch rung {
      case .evict: break
      case .defragment: isMoving = true
      case .preempt: candidates = self.candidates(request)
      }
      if let victims = try search.victims(candidates, moving: isMoving) { return victims }
    }
    return nil
  }

  private func candidates(_ request: Recover) -> [UInt32] {
    run.slot == SequenceSlot.none ? [] : ranked(candidates(run.slot, request.keep), .priority)
  }

  // MARK: The rungs

  /// Where a run is there, the policy's victims go until one holds nothing, as they would for the
  /// allocation that follows. Elsewhere no content goes in vain.
  private func evict(_ request: Recover, _ ladder: Ladder) -> RungReport {
    let evicted = ladder.isMet ? blocks.evictForRun(of: request.blocksNeeded) : 0
    activity.evictionsAhead += UInt64(evicted)
    if evicted > 0 { run.changed = true }
    return RungReport(
      .evict, evictedBlocks: evicted, isSufficient: ladder.isMet, isSkipped: evicted == 0,
      largestRun: ladder.longest)
  }

  private func defragment(
    _ ladder: inout Ladder, _ result: inout OperationResult, _ outcome: Outcome
  ) -> RungReport {
    if ladder.isMet {
      return RungReport(
        .defragment, isSufficient: true, isSkipped: true, largestRun: ladder.longest)
    }
    let budget = Int(min(ladder.mostMoves, unpromised))
    let available = Int(self.available)
    var survey = BlockSurvey(self, of: run.slot)
    if !ladder.victims.isEmpty {
      let best = survey.longestPlace(atMost: budget, available: available)
      return RungReport(
        .defragment, isSufficient: false, isSkipped: best.moves == 0,
        largestRun: UInt32(best.count))
    }
    guard let window = survey.cheapestWindow(for: ladder.shape, available: available),
      window.moves <= budget
    else { preconditionFailure("promised a run that no moves make") }
    let moves = moves(clearing: window, survey)
    let evictions = blocks.counters.evictions
    let entries = TableEntries(of: moves.map(\.source), self, session: run.slot)
    run.work += entries.looked
    order(moves, entries, &result, outcome)
    for move in moves { survey.move(move.source, to: move.target) }
    ladder.isMet = true
    ladder.longest = UInt32(survey.longestPlace(atMost: 0, available: available).count)
    return RungReport(
      .defragment, evictedBlocks: UInt32(blocks.counters.evictions - evictions),
      isSufficient: true, isSkipped: false, largestRun: ladder.longest,
      moves: UInt32(moves.count))
  }

  private func preempt(
    _ ladder: inout Ladder, _ result: inout OperationResult, _ outcome: Outcome
  ) -> RungReport {
    var freed: UInt32 = 0
    if !ladder.victims.isEmpty {
      freed = preempt(ladder.victims, &result, outcome)
      ladder.victims = []
      blocks.flushPending()
      let search = RunSearch(self, for: ladder.shape, mostMoves: 0)
      ladder.longest = UInt32(search.longest(moving: false).count)
      ladder.isMet = blocks.hasRun(of: UInt32(ladder.shape.count))
    }
    return RungReport(
      .preempt, freedBlocks: freed, isSufficient: ladder.isMet, isSkipped: freed == 0,
      largestRun: ladder.longest)
  }

  /// What the rungs would have made, each with those before it.
  private func report(
    _ rungs: [RecoverRung], _ request: Recover, _ search: inout RunSearch, _ longest: UInt32,
    _ outcome: Outcome
  ) {
    func moved() -> RungReport {
      let best = search.longest(moving: true)
      return RungReport(
        .defragment, isSufficient: false, isSkipped: best.moves == 0,
        largestRun: UInt32(best.count), moves: UInt32(best.moves))
    }
    var longest = longest
    var isMoved = false
    var isMovedAgain = false
    for rung in rungs {
      switch rung {
      case .evict:
        outcome.reports.append(
          RungReport(.evict, isSufficient: false, isSkipped: true, largestRun: longest))
      case .defragment:
        isMoved = true
        outcome.reports.append(moved())
      case .preempt:
        search.add(candidates(request))
        longest = UInt32(search.longest(moving: false).count)
        outcome.reports.append(
          RungReport(
            .preempt, freedBlocks: search.freed, isSufficient: false, isSkipped: search.freed == 0,
            largestRun: longest))
        isMovedAgain = isMoved && search.freed > 0
      }
    }
    if isMovedAgain { outcome.reports.append(moved()) }
  }
}

extension KVPool {
  /// Nobody is preempted in vain for a run: would there be one if nobody of the session ran but the
  /// sequence that asks for it?
  ///
  /// - Throws: `refusal` where there would not, `.quota` where the command has looked at too much.
  /// - Complexity: O(blocks + table entries of the session), counted as work.
  @inline(never)
  func checkPreemptingMakesRun(for slot: UInt32, or refusal: Refusal) throws(Refusal) {
    try spend(0, sequences.slots[Int(slot)].id)
    var search = RunSearch(self, for: blocks.shape(of: run.refusedRun), mostMoves: 0)
    var others: [UInt32] = []
    forEachRunning(of: run.slot) { if $0 != slot { others.append($0) } }
    search.add(others)
    if !search.isMet(moving: false) { throw refusal }
  }
}

extension BlockPool {
  /// Evicts whom the policy names until there is a free run of `count`, where free and cached blocks
  /// have one together. Returns how many went.
  func evictForRun(of count: UInt32) -> UInt32 {
    if freeRun(of: count) != 0 || !hasRun(of: count) { return 0 }
    let evictions = counters.evictions
    _ = makeRun(of: count, preferred: .init(start: nil, count: 0), .ahead)
    return UInt32(counters.evictions - evictions)
  }
}
