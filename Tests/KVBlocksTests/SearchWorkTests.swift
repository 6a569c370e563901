import KVBlocks
import Testing

/// Searches for adjacent blocks and for victims: one of them is linear, and a command of many is cut off.
@Suite("work: what searches look at is counted, and is linear")
struct SearchWorkTests {
  private static let paged: [AllocationStrategy] = [.freeQueue, .firstFit, .bestFit]

  private func bench(
    _ blocks: UInt32, _ strategy: AllocationStrategy = .freeQueue, caches: Bool = false
  ) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: 1, copyAck: .explicit, cachesPrefixes: caches,
        strategy: strategy))
  }

  /// Holds all blocks but these.
  private func free(of bench: Bench, where isFree: (BlockID) -> Bool) {
    let blocks = bench.pool.configuration.blocks
    bench.run(.allocate(blocks))
    bench.run(.freeBlocks((1...blocks).filter(isFree)))
  }

  @Test("a run that every block has to be evicted for takes a few looks at each", arguments: paged)
  func evicted(strategy: AllocationStrategy) {
    for n: UInt32 in [1_000, 4_000] {
      let bench = bench(n, strategy, caches: true)
      bench.run(.allocate(n))
      bench.run(.cacheBlocks(Array(1...n), (1...n).map { UInt64($0) }))
      // Tail first: each block that is evicted makes the one run longer.
      bench.run(.freeBlocks((1...n).reversed()))
      #expect(bench.run(.place(n, contiguous: true)).newBlocks == Array(1...n))
      // Counted by eights: no free run, one with the cached ones, the queue, the ends of runs.
      #expect(bench.pool.work <= UInt64(n) * 5 / 8)
      #expect(bench.pool.checkInvariants() == nil)
    }
  }

  @Test("a run in the midst is made of evicted blocks that join what lies on both sides")
  func joined() {
    for strategy in Self.paged {
      let bench = bench(10, strategy, caches: true)
      bench.run(.allocate(10))
      bench.run(.cacheBlocks([4, 9, 6], [1, 2, 3]))
      bench.run(.freeBlocks([3, 5, 7, 8, 4, 9, 6]))
      // Free are 3, 5, 7 and 8; 4 is evicted first and makes 3-5, then 9 makes 7-9, then 6 joins them.
      let placed = bench.run(.place(6, contiguous: true)).newBlocks
      #expect(placed == [3, 4, 5, 6, 7, 8], "\(strategy)")
      #expect(bench.pool.stats().cached == 0)
      #expect(bench.pool.stats().free == 1)
    }
  }

  @Test("places that somebody would like, again and again, are looked at once", arguments: paged)
  func preferred(strategy: AllocationStrategy) {
    let n: UInt32 = 4_000
    let bench = bench(n, strategy)
    // The run that is preferred is too short by one.
    free(of: bench) { $0 != n / 2 - 1 }
    let wanted: [BlockID] = Array(repeating: 1, count: Int(n)) + [n / 2 + 1]
    #expect(
      bench.run(.place(n / 2, contiguous: true, preferred: wanted)).newBlocks.first == n / 2 + 1)
    // The list, the pool twice for it, and once for whether there is a run.
    #expect(bench.pool.work <= UInt64(n) * 6 / 8)
    let one: [BlockID] = [2, 3, n / 2, 1]
    let others = Array(repeating: one, count: 1_000).flatMap { $0 }
    #expect(
      bench.run(.place(n / 2 - 2, contiguous: true, preferred: others)).newBlocks.first == 1)
  }

  @Test("a run that is not there is looked for once, as long as nothing changes", arguments: paged)
  func refused(strategy: AllocationStrategy) {
    let n: UInt32 = 8_000
    let bench = bench(n, strategy)
    free(of: bench) { $0 % 4 < 2 }
    let placed = TestOperation(.place(4, contiguous: true))
    let seen = bench.apply(TestCommand(operations: Array(repeating: placed, count: 1_000)))
    let noRun = Refusal(.noRun, needed: 4, available: n / 2, limit: 2)
    #expect(seen.results.allSatisfy { $0.refusal == noRun })
    #expect(bench.pool.work <= UInt64(n) * 3 / 8)
    // Two blocks more between two of them: what was known is not true any more.
    let changed = bench.apply(
      TestCommand(operations: [placed, TestOperation(.freeBlocks([2, 3])), placed]))
    #expect(changed.results.map { $0.refusal.limit } == [2, 0, 0])
    #expect(changed.results[2].newBlocks == [1, 2, 3, 4])
  }

  @Test("searches between which blocks come and go are cut off", arguments: paged)
  func cutOff(strategy: AllocationStrategy) {
    let n: UInt32 = 8_000
    let bench = bench(n, strategy)
    free(of: bench) { $0 % 4 < 2 }
    bench.pool.workLimit = 10_000
    let pair = [
      TestOperation(.place(4, contiguous: true)), TestOperation(.place(1, preferred: [4])),
      TestOperation(.freeBlocks([4])),
    ]
    let seen = bench.apply(
      TestCommand(operations: Array(repeating: pair, count: 500).flatMap { $0 }))
    let quota = Refusal(.quota, field: .work, limit: 10_000)
    #expect(seen.results[0].refusal.reason == .noRun)
    #expect(seen.results.suffix(3).map(\.refusal).first == quota)
    #expect(bench.pool.work < 13_000)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("best fit takes one block after the other without looking at every run for each")
  func smallestRuns() {
    let n: UInt32 = 8_000
    let bench = bench(n, .bestFit)
    // Runs of one, two and three, in turn.
    free(of: bench) { [1, 3, 4, 6, 7, 8].contains($0 % 10) }
    let seen = bench.apply(
      TestCommand(operations: Array(repeating: TestOperation(.allocate(1)), count: 4_800)))
    // All of length 1, then all of length 2 from the lowest on, then those of length 3.
    var expected: [BlockID] = []
    for run: [BlockID] in [[1], [3, 4], [6, 7, 8]] {
      for ten in 0..<n / 10 { expected += run.map { 10 * ten + $0 } }
    }
    #expect(seen.results.flatMap(\.newBlocks) == expected)
    #expect(bench.pool.work <= 4_000)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("recoveries that do not suffice count their candidates, and the tables of these")
  func recoveries() {
    let bench = bench(1_001)
    bench.run(.allocate(1))
    for id: SequenceID in 1...100 { bench.admit(id, 10) }
    bench.pool.workLimit = 5_000
    let recover = TestOperation(.recover(1_001))
    let seen = bench.apply(TestCommand(operations: Array(repeating: recover, count: 20)))
    let quota = Refusal(.quota, field: .work, limit: 5_000)
    // 100 candidates and 1,000 entries each: the fifth passes the limit.
    #expect(seen.results.map { $0.refusal.reason == .later } == (0..<20).map { $0 < 5 })
    #expect(seen.results.suffix(15).allSatisfy { $0.refusal == quota })
  }
}
