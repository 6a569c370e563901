import KVBlocks
import Testing

@Suite("defragment: strategies, promises, the seed's cases")
struct DefragmentCaseTests {
  @Test("what is promised to sequences to come is not moved to")
  func promises() {
    let bench = Bench.singles(10, held: [1, 3, 5, 7, 9])
    bench.run(.reserve(Reserve(sequence: 50, blocks: 4)))
    #expect(bench.plan(.longestRun).moves.count == 1)
    #expect(
      bench.run(bench.moves([(9, 2), (7, 4)])).refusal
        == Refusal(.later, needed: 2, available: 5, reserved: 4))
    bench.run(.reserve(Reserve(sequence: 50, releases: true)))
    #expect(bench.plan(.longestRun).moves.count == 2)
  }

  @Test(
    "the strategies that choose block by block: targets leave their structures, sources come back",
    arguments: [AllocationStrategy.firstFit, .bestFit])
  func strategies(strategy: AllocationStrategy) {
    let bench = Bench.singles(100, held: (0..<25).map { 2 * $0 + 1 }, strategy: strategy)
    let plan = bench.plan(.longestRun)
    #expect(plan.moves.count == 12)
    bench.order(plan)
    // 2 ... 24 are set aside, and 27 ... 49 are still held.
    let between = bench.run(.allocate(1))
    #expect(between.newBlocks == [26])
    bench.run(.freeBlocks(between.newBlocks))
    let before = bench.pool.stateDigest()
    _ = bench.apply(
      TestCommand(isDryRun: true, operations: [TestOperation(.acknowledge([], upTo: 12))]))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.checkInvariants() == nil)
    bench.run(.acknowledge([], upTo: 12))
    #expect(bench.pool.layout().largestFreeRun == 75)
    #expect(bench.pool.checkInvariants() == nil)
    #expect(bench.run(.allocate(75)).newBlocks == Array(26...100))
  }

  @Test("a reserved run does not move, for one block of it would not be in the run any more")
  func reservedRuns() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 8, blockSize: 16, copyAck: .explicit, maxModelTokens: 32, strategy: .contiguousMax))
    for id: SequenceID in 1...3 { bench.admit(id, 16) }
    bench.run(.free([2]))
    let refusal = Refusal(.wrongState, field: .strategy)
    for goal in [DefragmentGoal.contiguous(3), .longestRun, .sequence(1)] {
      #expect(bench.planRefusal(goal) == refusal)
    }
    let before = bench.pool.stateDigest()
    #expect(bench.run(bench.moves([(5, 3)])).refusal == refusal)
    #expect(bench.run(bench.moves([])).refusal == .none)
    #expect(bench.pool.stateDigest() == before)
  }

  // MARK: The seed's cases, as they are right (seeds.md, part two, 12 and 13)

  @Test("blocks that are together already do not move: 0...4 of 10")
  func together() {
    let plan = Bench.singles(10, held: [1, 2, 3, 4, 5]).plan(.longestRun)
    #expect(plan.moves == [])
    #expect((plan.largestRunBefore, plan.largestRunAfter) == (5, 5))
    #expect(plan.isSufficient)
  }

  @Test("a full pool has nothing to move, and that is no error")
  func full() {
    let plan = Bench.singles(6, held: [1, 2, 3, 4, 5, 6]).plan(.longestRun)
    #expect(plan.moves == [] && plan.isSufficient)
    #expect((plan.largestRunBefore, plan.largestRunAfter) == (0, 0))
  }

  @Test("evens of 10 move down, and there is a gain: 2 moves for a run of 5")
  func evensOfTen() {
    let plan = Bench.singles(10, held: [1, 3, 5, 7, 9]).plan(.longestRun)
    #expect(plan.moves.allSatisfy { $0.target < $0.source })
    #expect((plan.moves.count, plan.largestRunAfter) == (2, 5))
  }

  @Test("a place that is taken for a run is not handed out while the copies run")
  func targetsAreTaken() {
    let bench = Bench.singles(5, held: [1, 2, 3, 4, 5])
    bench.run(.free([4]))
    bench.run(.free([2]))
    bench.admit(9, 32)
    bench.run(.free([3]))
    #expect(bench.table(9) == [2, 4])
    bench.order(bench.plan(.sequence(9)))
    #expect(bench.run(.allocate(1)).refusal.reason == .later)
    bench.run(.acknowledge([], upTo: 1))
    #expect(bench.table(9) == [2, 3])
    #expect(bench.run(.allocate(1)).newBlocks == [4])
  }

  @Test("advised where over half is scattered and under seven tenths are used; not for the evens")
  func advice() {
    func isAdvised(_ blocks: UInt32, held: [BlockID]) -> Bool {
      let pool = Bench.singles(blocks, held: held).pool
      let stats = pool.stats()
      return pool.layout().advisesDefragment(
        available: stats.free + stats.cached, of: stats.blocks)
    }
    // 1 - 51/75 = 0.32.
    #expect(!isAdvised(100, held: (0..<25).map { 2 * $0 + 1 }))
    // 1 - 1/50 = 0.98, half used.
    #expect(isAdvised(100, held: (0..<50).map { 2 * $0 + 1 }))
    // 1 - 2/4 is not over 0.5; 1 - 1/4 is.
    #expect(!isAdvised(8, held: [1, 4, 6, 8]))
    #expect(isAdvised(8, held: [1, 3, 5, 7]))
    // 7 of 10 are used: not under 0.7. 13 of 20 are.
    #expect(!isAdvised(10, held: [1, 3, 5, 7, 8, 9, 10]))
    #expect(isAdvised(20, held: [1, 3, 5, 7, 9, 11, 13, 14, 15, 16, 17, 18, 19]))
  }
}
