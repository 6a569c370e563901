import KVBlocks
import Testing

@Suite("defragment: plans")
struct DefragmentPlanTests {
  @Test("the exercise, evens of 100: 12 moves, and the longest run is 75 afterwards")
  func evens() {
    let bench = Bench.singles(100, held: (0..<25).map { 2 * $0 + 1 })
    let plan = bench.plan(.longestRun)
    #expect(plan.moves.count == 12)
    #expect(plan.moves.map(\.source) == [49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27])
    #expect(plan.moves.map(\.target) == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24])
    #expect(plan.largestRunBefore == 51)
    #expect(plan.largestRunAfter == 75)
    #expect(plan.tokensToCopy == 12 * 16)
    #expect(plan.isSufficient)
    #expect(bench.order(plan).copies.count == 12)
    bench.run(.acknowledge([], upTo: 12))
    #expect(bench.pool.layout().largestFreeRun == 75)
    #expect(bench.table(49) == [2])
    #expect(bench.plan(.longestRun).moves == [])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test(
    "fewer moves than it takes make the longest run that they can, and say that it is not enough")
  func budget() {
    let bench = Bench.singles(10, held: [1, 3, 5, 7, 9])
    let one = bench.plan(.longestRun, maxMoves: 1)
    #expect(one.moves.map(\.source) == [9])
    #expect(one.moves.map(\.target) == [2])
    #expect((one.largestRunBefore, one.largestRunAfter) == (1, 3))
    #expect(!one.isSufficient)
    let all = bench.plan(.longestRun)
    #expect(
      all.moves == [
        BlockMove(source: 9, target: 2, tokens: 16, sequence: 9),
        BlockMove(source: 7, target: 4, tokens: 16, sequence: 7),
      ])
    #expect(all.largestRunAfter == 5)
    #expect(all.isSufficient)
  }

  @Test("n contiguous: the window with the fewest movable blocks and no immovable one")
  func contiguous() {
    // 1 2 . 4 . . 7 8 . .   a run of 4 takes one move: 4 out of 3-6. Or 7 and 8 out of 7-10.
    let bench = Bench.singles(10, held: [1, 2, 4, 7, 8])
    let four = bench.plan(.contiguous(4))
    #expect(four.moves == [BlockMove(source: 4, target: 9, tokens: 16, sequence: 4)])
    #expect(four.largestRunAfter == 4)
    #expect(four.isSufficient)
    #expect(bench.plan(.contiguous(2)).moves == [])
    #expect(bench.plan(.contiguous(2)).isSufficient)
    // A raw hold pins the block to its place: it is the client's id.
    bench.run(.forkBlocks([4]))
    #expect(bench.plan(.contiguous(4)).moves.map(\.source) == [8, 7])
    #expect(bench.plan(.contiguous(4)).moves.map(\.target) == [3, 5])
    let six = bench.plan(.contiguous(6))
    #expect(six.moves == [] && !six.isSufficient)
    #expect(!bench.plan(.contiguous(4), maxMoves: 1).isSufficient)
    #expect(
      bench.planRefusal(.contiguous(11)) == Refusal(.invalid, field: .contiguousBlocks, limit: 10))
    #expect(
      bench.planRefusal(.contiguous(0)) == Refusal(.invalid, field: .contiguousBlocks, limit: 10))
  }

  @Test("one sequence in one run, in order, by the fewest moves")
  func sequence() {
    let bench = Bench(blocks: 12)
    bench.admit(1, 16)
    bench.admit(2, 16)
    bench.run(.extend(Extend(sequence: 1, appendTokens: 32)))
    bench.admit(3, 16)
    bench.run(.extend(Extend(sequence: 1, appendTokens: 8)))
    #expect(bench.table(1) == [1, 3, 4, 6])
    bench.run(.free([2, 3]))
    // In 2-5, 3 and 4 stay: 1 goes to 2, 6 to 5.
    let plan = bench.plan(.sequence(1))
    #expect(
      plan.moves == [
        BlockMove(source: 1, target: 2, tokens: 16, sequence: 1),
        BlockMove(source: 6, target: 5, tokens: 8, sequence: 1),
      ])
    #expect(plan.tokensToCopy == 24)
    #expect(plan.isSufficient)
    bench.order(plan)
    #expect(bench.table(1) == [1, 3, 4, 6])
    bench.run(.acknowledge([], upTo: 2))
    #expect(bench.table(1) == [2, 3, 4, 5])
    #expect(bench.pool.describe(session: 0, sequence: 1)?.runs == 1)
    #expect(bench.plan(.sequence(1)).moves == [])
    #expect(bench.planRefusal(.sequence(9)) == Refusal(.unknownSequence, sequence: 9))
    bench.run(.preempt([1]))
    #expect(bench.planRefusal(.sequence(1)) == Refusal(.wrongState, sequence: 1))
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("where nothing is available nothing moves, and the plan says so")
  func noPlace() {
    let bench = Bench.singles(4, held: [1, 3, 4])
    bench.run(.extend(Extend(sequence: 3, appendTokens: 1)))
    #expect(bench.table(3) == [3, 2])
    for goal in [DefragmentGoal.sequence(3), .contiguous(1), .longestRun] {
      let plan = bench.plan(goal)
      #expect(plan.moves == [])
      #expect(plan.isSufficient == (goal == .longestRun))
    }
  }

  @Test("one sequence: what is in the way leaves first, and the next plan has the rest")
  func makesWay() {
    // 9 has 2 and 4, 6 is available; all places take 2 moves or more, 2-3 and 3-4 two.
    let bench = Bench.singles(6, held: [1, 2, 3, 4, 5, 6])
    bench.run(.free([4]))
    bench.run(.free([2]))
    bench.admit(9, 32)
    bench.run(.free([6]))
    #expect(bench.table(9) == [2, 4])
    let way = bench.plan(.sequence(9))
    #expect(way.moves == [BlockMove(source: 3, target: 6, tokens: 16, sequence: 3)])
    #expect(!way.isSufficient)
    bench.make(way)
    let rest = bench.plan(.sequence(9))
    #expect(rest.moves == [BlockMove(source: 4, target: 3, tokens: 16, sequence: 9)])
    #expect(rest.isSufficient)
    bench.make(rest)
    #expect(bench.table(9) == [2, 3])
  }

  @Test("entries in each other's place take one move more, by way of a third one")
  func cycle() {
    // 9 has 2 and 1, 3 cannot move, 4 is available: only 1-2 will do.
    let bench = Bench.singles(4, held: [1, 2, 3, 4])
    bench.run(.forkBlocks([3]))
    bench.run(.free([1]))
    bench.run(.free([2]))
    bench.admit(9, 32)
    bench.run(.free([4]))
    #expect(bench.table(9) == [2, 1])
    for (source, target) in [(1, 4), (2, 1), (4, 2)] as [(BlockID, BlockID)] {
      let plan = bench.plan(.sequence(9))
      #expect(plan.moves.map(\.source) == [source])
      #expect(plan.moves.map(\.target) == [target])
      #expect(plan.isSufficient == (target == 2))
      bench.make(plan)
    }
    #expect(bench.table(9) == [1, 2])
  }

  @Test("blocks of other sessions do not move")
  func otherSessions() {
    let bench = Bench.singles(6, held: [2, 4])
    #expect(bench.plan(.contiguous(3), session: 7).moves == [])
    #expect(
      bench.run(.applyDefragment(bench.pool.revision, [.init(source: 4, target: 1)]), session: 7)
        .refusal == Refusal(.wrongState, field: .planMoves, limit: 0, subject: 4))
    #expect(bench.plan(.contiguous(3)).isSufficient)
  }

  @Test(
    "a cached block is a hole: it does not move, and loses its content if something moves there")
  func cachedHoles() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 4, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 16, hashes: [11]))))
    bench.admit(2, 16)
    bench.run(.admit(.init(id: 3, add: .init(id: 3, tokens: 16, hashes: [13]))))
    bench.run(.free([1, 3]))
    // 1 and 3 are cached, 4 is free, 2 is held.
    let plan = bench.plan(.longestRun)
    #expect(plan.moves.map(\.source) == [2])
    #expect(plan.moves.map(\.target) == [1])
    #expect(plan.largestRunAfter == 3)
    bench.run(.applyDefragment(plan.revision, plan.moves))
    bench.run(.acknowledge([], upTo: 1))
    #expect(bench.pool.layout().largestAvailableRun == 3)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
