/// The out-of-memory ladder: evict cached blocks, defragment, preempt the lowest priority, refuse.
///
/// It is gone through as if first. So nobody is preempted where that would not be enough, and whoever
/// can be spared is.
extension KVPool {
  /// Makes `blocksNeeded` blocks available beside the promised ones, or changes nothing. One run of
  /// them is made by `recoverRun`.
  ///
  /// - Throws: `.later` where all rungs together do not suffice, with the reports of what they would
  ///   have done in `result.reports`; `.never` where the pool is too small.
  /// - Complexity: That of `adviseVictims`, and O(`blocksNeeded`) for what is evicted.
  func recover(
    _ request: Recover, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    try useClass(number: request.sizeClass)
    let needed = request.blocksNeeded
    if needed == 0 { throw Refusal(.invalid, field: .blocksNeeded, limit: 1) }
    let rungs = try rungs(of: request)
    if request.isContiguous { return try recoverRun(request, rungs, &result, outcome) }
    if needed > capacity {
      throw Refusal(
        .never, needed: needed, available: available, reserved: promisedHere)
    }
    try spend(0, 0)
    let wanted = UInt64(needed) + UInt64(promisedHere)
    var isMet = wanted <= UInt64(available)
    var victims: [UInt32] = []
    if rungs.contains(.preempt) && !isMet {
      victims = chooseVictims(run.slot, for: needed, .priority, request.keep)
    }
    let freed = countFreed(by: victims)
    let start = outcome.reports.count
    defer { result.reports = slice(start, outcome.reports.count) }
    if wanted > UInt64(available) + UInt64(freed) {
      for rung in rungs { outcome.reports.append(vainReport(of: rung, freed)) }
      throw Refusal(
        .later, needed: needed, available: available, reserved: promisedHere)
    }
    if blocks.flushPending() > 0 { run.changed = true }
    for rung in rungs {
      var report = RungReport(rung, isSufficient: true, isSkipped: true)
      switch rung {
      case .evict:
        report.evictedBlocks = evictAhead(among: min(needed, available))
        report.isSkipped = report.evictedBlocks == 0
      // No adjacent blocks are needed.
      case .defragment: break
      case .preempt:
        if isMet { break }
        report.isSkipped = false
        report.freedBlocks = preempt(victims, &result, outcome)
        blocks.flushPending()
        isMet = true
      }
      report.isSufficient = isMet
      outcome.reports.append(report)
    }
  }

  private func rungs(of request: Recover) throws(Refusal) -> [RecoverRung] {
    if request.rungs.count == 0 { return RecoverRung.allCases }
    var rungs: [RecoverRung] = []
    for i in 0..<request.rungs.count {
      guard let rung = RecoverRung(rawValue: UInt8(clamping: request.rungs[i])),
        !rungs.contains(rung)
      else { throw Refusal(.invalid, field: .rungs, limit: UInt64(i)) }
      rungs.append(rung)
    }
    return rungs
  }

  /// All that is available would be used, and all victims would go, and it would not be enough.
  private func vainReport(of rung: RecoverRung, _ freed: UInt32) -> RungReport {
    switch rung {
    case .evict:
      let cached = cachedBlocks
      return RungReport(
        rung, evictedBlocks: cached, isSufficient: false, isSkipped: cached == 0)
    case .defragment: return RungReport(rung, isSufficient: false, isSkipped: true)
    case .preempt:
      return RungReport(rung, freedBlocks: freed, isSufficient: false, isSkipped: freed == 0)
    }
  }

  private func evictAhead(among count: UInt32) -> UInt32 {
    let evicted = blocks.evictAhead(among: count)
    activity.evictionsAhead += UInt64(evicted)
    if evicted > 0 { run.changed = true }
    return evicted
  }

  func preempt(
    _ victims: [UInt32], _ result: inout OperationResult, _ outcome: Outcome
  ) -> UInt32 {
    let first = outcome.preempted.count
    var freed: UInt32 = 0
    for slot in victims {
      outcome.preempted.append(sequences.slots[Int(slot)].id)
      freed += preempt(slot)
    }
    result.preempted = slice(first, outcome.preempted.count)
    return freed
  }
}

extension BlockPool {
  /// Takes the content off those of the first `count` blocks to be handed out that have some. They
  /// keep their places in the queue; in split mode they join the free blocks.
  ///
  /// - Returns: How many they were.
  /// - Complexity: O(`count`).
  func evictAhead(among count: UInt32) -> UInt32 {
    var evicted: UInt32 = 0
    if let split {
      while (parts.isEmpty ? counters.free : freeInClass) < count
        && (parts.isEmpty ? counters.cached : cachedInClass) > 0
      {
        _ = evictNext(split, .ahead)
        evicted += 1
      }
      return evicted
    }
    if counters.cached == 0 { return 0 }
    searched += UInt64(count)
    var id = records[0].next
    for _ in 0..<count where id != 0 {
      if records[Int(id)].twin != 0 {
        evict(id, .ahead, for: .none)
        evicted += 1
      }
      id = records[Int(id)].next
    }
    return evicted
  }
}
