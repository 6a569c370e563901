/// Plans: which moves would reach a goal. Nothing in here changes a pool.
///
/// `Defragmentation.md` says what may move where, and why no plan has fewer moves.
extension KVPool {
  /// Moves of a plan that does not say how many it may have.
  package static let defaultMoves: UInt32 = 256

  /// The moves that the session would have to make for a goal. A plan that cannot reach `contiguous`
  /// has none; the other goals go as far as the budget does.
  ///
  /// - Parameters:
  ///   - maxMoves: At most this many; 0 = `defaultMoves`. What is promised to sequences to come is not
  ///     moved to, so there may be fewer.
  ///   - sizeClass: The number of the size class that is looked at, from 1; 0 = that of the sequence,
  ///     or else the first.
  /// - Throws: `.invalid` for a count that the pool or class does not have and for a class that does
  ///   not exist or is not the sequence's, `.unknownSequence`, `.wrongState` for a sequence that does
  ///   not run, and in a pool where sequences keep the runs that they were admitted into.
  /// - Complexity: O(blocks + table entries of the session).
  package func planDefragment(
    session: SessionID, _ goal: DefragmentGoal, maxMoves: UInt32 = 0, sizeClass: UInt32 = 0
  ) throws(Refusal) -> DefragmentPlan {
    let owner = sessions.find(session)
    try useClass(number: sizeClass)
    let slot = try slot(of: goal, owner, sizeClass)
    try checkMovable()
    let most = maxMoves == 0 ? Self.defaultMoves : min(maxMoves, Self.maximumBlocksPerCommand)
    let budget = Int(min(most, unpromised))
    let available = Int(self.available)
    let survey = BlockSurvey(self, of: owner)
    switch goal {
    case .longestRun:
      let best = survey.longestWindow(atMost: budget, available: available)
      let longest = survey.longestWindow(atMost: .max, available: available)
      let moves = moves(clearing: best, survey)
      return plan(moves, owner, survey, isSufficient: best.count == longest.count)
    case .contiguous(let count):
      if count == 0 || count > capacity {
        throw Refusal(.invalid, field: .contiguousBlocks, limit: UInt64(capacity))
      }
      let run = blocks.shape(of: count)
      guard let window = survey.cheapestWindow(for: run, available: available),
        window.moves <= budget
      else { return plan([], owner, survey, isSufficient: false) }
      return plan(moves(clearing: window, survey), owner, survey, isSufficient: true)
    case .sequence:
      let gathering = gather(slot, survey, budget: budget)
      return plan(gathering.moves, owner, survey, isSufficient: gathering.isComplete)
    }
  }

  /// The slot of the sequence that is to be put together, whose class comes to hand; none for other
  /// goals.
  private func slot(
    of goal: DefragmentGoal, _ owner: UInt32, _ sizeClass: UInt32
  ) throws(Refusal) -> UInt32 {
    guard case .sequence(let id) = goal else { return SequenceSlot.none }
    let slot = owner == SequenceSlot.none ? owner : sequences.find(id, session: owner)
    if slot == SequenceSlot.none { throw Refusal(.unknownSequence, sequence: id) }
    if !sequences.slots[Int(slot)].isRunning { throw Refusal(.wrongState, sequence: id) }
    useClass(of: slot)
    if sizeClass != 0 && sizeClass != UInt32(run.sizeClass) + 1 {
      throw Refusal(
        .invalid, field: .sizeClass, limit: UInt64(shapes.count), sequence: id,
        subject: UInt64(run.sizeClass) + 1)
    }
    return slot
  }

  /// A table that is one run by promise would not be one, block by block.
  func checkMovable() throws(Refusal) {
    if configuration.strategy.reservesAtAdmission { throw Refusal(.wrongState, field: .strategy) }
  }

  /// The highest block of the window to the first hole, and so on.
  func moves(
    clearing window: BlockSurvey.Window, _ survey: borrowing BlockSurvey
  ) -> [BlockMove] {
    if window.moves == 0 { return [] }
    let holes = survey.holes(window.moves, outside: window.ids)
    var moves: [BlockMove] = []
    for id in window.ids.reversed() where survey.isMovable(id) {
      moves.append(BlockMove(source: BlockID(id), target: holes[moves.count]))
    }
    return moves
  }

  private func plan(
    _ moves: [BlockMove], _ owner: UInt32, _ survey: consuming BlockSurvey,
    isSufficient: Bool
  ) -> DefragmentPlan {
    var plan = DefragmentPlan(revision: revision)
    plan.moves = moves
    let before = survey.longestRuns()
    (plan.largestRunBefore, plan.largestFreeRunBefore) = before
    (plan.largestRunAfter, plan.largestFreeRunAfter) = before
    if !moves.isEmpty {
      let entries = TableEntries(of: moves.map(\.source), self, session: owner)
      for i in moves.indices {
        let entry = entries.entries[i]
        plan.moves[i].tokens = entry.filled
        plan.moves[i].sequence = sequences.slots[Int(entry.slot)].id
        plan.tokensToCopy += UInt64(entry.filled)
        survey.move(moves[i].source, to: moves[i].target)
      }
      (plan.largestRunAfter, plan.largestFreeRunAfter) = survey.longestRuns()
    }
    plan.isSufficient = isSufficient
    return plan
  }
}

extension PoolLayout {
  /// The rule of `should_defragment` (seeds.md, 001:485), exactly: what is available is scattered,
  /// 1 - longest run / available > 1/2, and there is room to move, used < 7/10 of the pool. With size
  /// classes that of any of them.
  package func advisesDefragment(available: UInt32, of capacity: UInt32) -> Bool {
    if classes.isEmpty {
      return Self.advises(longest: largestAvailableRun, available: available, of: capacity)
    }
    return classes.contains {
      Self.advises(
        longest: $0.largestAvailableRun, available: $0.available, of: $0.sizeClass.blocks)
    }
  }

  private static func advises(longest: UInt32, available: UInt32, of capacity: UInt32) -> Bool {
    2 * UInt64(longest) < UInt64(available)
      && 10 * UInt64(capacity - available) < 7 * UInt64(capacity)
  }
}
