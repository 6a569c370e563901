import KVBlocks

/// The ladder for one run, once more: every way to clear every window is written down, in a model in
/// which the victims have really gone.
extension Model {
  /// A window, and the blocks that have to leave it.
  private struct Way {
    var first: Int
    var leaving: [BlockID]
  }

  /// What is available, and what may move.
  private struct Ground {
    var free: Set<BlockID>
    var movable: Set<BlockID>
  }

  private var ground: Ground {
    Ground(
      free: Set(line + pendingHere),
      movable: Set(ids.filter { isMovable($0) && !reserves }))
  }

  mutating func recoverRun(
    _ need: Int, _ rungs: [UInt32], _ keep: [SequenceID], _ most: Int,
    _ result: inout Seen.Result
  ) throws(Refusal) {
    let width = wholeOrMore(need)
    if width > capacity {
      throw Refusal(
        .never, needed: UInt32(width), available: UInt32(available), reserved: UInt32(promised))
    }
    let candidates = ranking(of: session, .priority, keep: keep)
    var goers: [Key]?
    for i in rungs.indices where goers == nil {
      let mayGo = rungs[...i].contains(3) ? candidates : []
      goers = fewest(of: mayGo, width, moves: rungs[...i].contains(2) ? most : 0)
    }
    guard var goers else {
      tellWhatWouldBe(rungs, candidates, most, &result)
      let isShort = width > available - promised
      let cached = (line + pendingHere).count { content($0) != nil }
      throw Refusal(
        isShort ? .later : .noRun, needed: UInt32(width), available: UInt32(available),
        evictable: UInt32(isShort ? 0 : cached), reserved: UInt32(promised),
        limit: UInt64(longest(0).count))
    }
    var isMet = suffices(width, moves: 0)
    if flushPending() > 0 { changed = true }
    var after = longest(0).count
    // Moves once more at the end, where they were not enough at their turn.
    for (i, rung) in (rungs + [2]).enumerated() where i < rungs.count || !isMet {
      var report = RungReport(
        RecoverRung(rawValue: UInt8(rung)) ?? .evict, isSufficient: isMet, isSkipped: true)
      report.largestRun = UInt32(after)
      switch rung {
      case 1 where isMet && result.copies.isEmpty:
        report.evictedBlocks = UInt32(evict(untilRunOf: need))
        report.isSkipped = report.evictedBlocks == 0
      case 2 where !isMet && !goers.isEmpty:
        let best = longest(most)
        report.isSkipped = best.moves == 0
        report.largestRun = UInt32(best.count)
      case 2 where !isMet:
        let before = state.evictions
        report.moves = UInt32(makeRun(width, &result))
        report.evictedBlocks = UInt32(state.evictions - before)
        report.isSkipped = false
        isMet = true
        after = afterMoves(result.copies)
        report.isSufficient = true
        report.largestRun = UInt32(after)
        recoveredRuns[1] += 1
        if !result.preempted.isEmpty { recoveredRuns[2] += 1 }
      case 3 where !goers.isEmpty:
        for key in goers { report.freedBlocks += UInt32(preempt(key)) }
        flushPending()
        result.preempted = goers.map(\.id)
        goers = []
        isMet = suffices(width, moves: 0)
        after = longest(0).count
        report.isSkipped = report.freedBlocks == 0
        report.isSufficient = isMet
        report.largestRun = UInt32(after)
        recoveredRuns[0] += 1
      default: break
      }
      result.reports.append(report)
    }
  }

  /// Beside a refusal: each rung with those before it.
  private func tellWhatWouldBe(
    _ rungs: [UInt32], _ candidates: [Key], _ most: Int, _ result: inout Seen.Result
  ) {
    var other = self
    var list = rungs
    if let moves = rungs.firstIndex(of: 2), let preempts = rungs.firstIndex(of: 3),
      moves < preempts, freed(candidates) > 0
    {
      list.append(2)
    }
    for rung in list {
      var report = RungReport(
        RecoverRung(rawValue: UInt8(rung)) ?? .evict, isSufficient: false, isSkipped: true)
      if rung == 3 {
        report.freedBlocks = UInt32(freed(candidates))
        report.isSkipped = report.freedBlocks == 0
        other = without(candidates)
      }
      let best = other.longest(rung == 2 ? most : 0)
      report.largestRun = UInt32(best.count)
      report.moves = UInt32(best.moves)
      if rung == 2 { report.isSkipped = best.moves == 0 }
      result.reports.append(report)
    }
  }

  // MARK: As if

  private func without(_ keys: [Key]) -> Model {
    var other = self
    for key in keys { other.preempt(key) }
    other.flushPending()
    return other
  }

  /// From the end of the list whoever can be left out is; nil where all are not enough.
  private func fewest(of keys: [Key], _ width: Int, moves: Int) -> [Key]? {
    if suffices(width, moves: moves) { return [] }
    if !without(keys).suffices(width, moves: moves) { return nil }
    var left = keys
    for key in keys.reversed() {
      let fewer = left.filter { $0 != key }
      if without(fewer).suffices(width, moves: moves) { left = fewer }
    }
    return left
  }

  private func suffices(_ width: Int, moves most: Int) -> Bool {
    if width > available - promised { return false }
    return ways(width).contains { $0.leaving.count <= min(most, available - promised) }
  }

  /// Every window of the width that an allocation could have once some blocks have moved.
  private func ways(_ width: Int, _ ground: Ground? = nil) -> [Way] {
    let ground = ground ?? self.ground
    let (free, movable) = (ground.free, ground.movable)
    var list: [Way] = []
    let (lowest, highest) = (Int(ids.lowerBound), Int(ids.upperBound))
    for first in stride(
      from: lowest, through: highest - width + 1, by: strategy == .buddy ? width : 1)
    {
      let window = first...first + width - 1
      // What was taken beyond what was asked for comes back with it.
      let rests = state.rounded.filter {
        window.contains($0.place.lowerBound) && window.contains($0.place.upperBound)
      }
      .flatMap(\.rest)
      let taken = window.map { BlockID($0) }.filter { !free.contains($0) && !rests.contains($0) }
      let room = free.count { !window.contains(Int($0)) }
      if taken.allSatisfy({ movable.contains($0) }) && taken.count <= room {
        list.append(Way(first: first, leaving: taken))
      }
    }
    return list
  }

  /// The longest run with so many moves, and the fewest moves that make it.
  private func longest(_ most: Int) -> (count: Int, moves: Int) {
    let ground = ground
    for width in (1...capacity).reversed() where strategy != .buddy || width & (width - 1) == 0 {
      let moves = ways(width, ground).map(\.leaving.count).min()
      if let moves, moves <= min(most, available - promised) { return (width, moves) }
    }
    return (0, 0)
  }

  // MARK: Doing it

  /// Until the strategy has a place for the run; nothing where no eviction makes one.
  private mutating func evict(untilRunOf count: Int) -> Int {
    var evicted = 0
    while runStart(count) == nil, let victim = line.first(where: { content($0) != nil }) {
      self.evicted(victim)
      _ = forget(victim)
      evicted += 1
    }
    state.evictions += evicted
    state.evictionsAhead += evicted
    if evicted > 0 { changed = true }
    return evicted
  }

  /// The highest of the windows with the fewest moves is cleared, from its highest block: to the
  /// lowest of those that hold nothing, then to those that would be evicted first.
  private mutating func makeRun(_ width: Int, _ result: inout Seen.Result) -> Int {
    let ways = ways(width)
    let fewest = ways.map(\.leaving.count).min()
    guard let way = ways.last(where: { $0.leaving.count == fewest }) else { return 0 }
    let outside = line.filter { !(way.first..<way.first + width).contains(Int($0)) }
    let holes =
      outside.filter { content($0) == nil }.sorted() + outside.filter { content($0) != nil }
    let moves = zip(way.leaving.sorted().reversed(), holes).map {
      BlockMove(source: $0, target: $1)
    }
    order(moves, &result)
    return moves.count
  }

  /// The longest run once these copies are made.
  private func afterMoves(_ copies: [CopyOrder]) -> Int {
    var other = self
    other.finish(
      other.state.copies.filter { copy in
        copy.session == session && copies.contains { $0.id == copy.id }
      })
    return other.longest(0).count
  }
}
