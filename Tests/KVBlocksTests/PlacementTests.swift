import KVBlocks
import Testing

/// Allocations that say where: adjacent blocks, or certain ones. Worked by hand.
@Suite("adjacent blocks, and certain ones")
struct PlacementTests {
  private func bench(
    _ strategy: AllocationStrategy = .freeQueue, blocks: UInt32 = 8, caches: Bool = false
  ) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: 4, copyAck: .explicit, cachesPrefixes: caches,
        strategy: strategy))
  }

  /// Holds all blocks but these.
  private func free(_ ids: [BlockID], of bench: Bench) {
    bench.run(.allocate(bench.pool.configuration.blocks))
    bench.run(.freeBlocks(ids))
  }

  @Test("a run is the lowest one, best-fit's the smallest; ids ascend", arguments: [false, true])
  func lowestRun(caches: Bool) {
    for (strategy, run) in [
      (AllocationStrategy.freeQueue, [1, 2] as [BlockID]), (.firstFit, [1, 2]),
      (.bestFit, [5, 6]),
    ] {
      let bench = bench(strategy, blocks: 16, caches: caches)
      // Runs of 3, 2, 2 and 1, given back so that the queue has them in another order.
      free([16, 10, 9, 6, 5, 3, 2, 1], of: bench)
      #expect(bench.run(.place(2, contiguous: true)).newBlocks == run, "\(strategy)")
      #expect(bench.pool.checkInvariants() == nil)
    }
  }

  @Test("the checkerboard: 2,048 of 4,096 blocks are free, and no two of them are adjacent")
  func checkerboard() {
    for strategy in [AllocationStrategy.freeQueue, .firstFit, .bestFit] {
      let bench = bench(strategy, blocks: 4_096)
      free((1...2_048).map { 2 * $0 }, of: bench)
      let layout = bench.pool.layout()
      #expect(bench.pool.stats().free == 2_048)
      #expect(layout.freeRuns == 2_048)
      #expect(layout.largestFreeRun == 1)
      #expect(layout.largestFreeRuns == Array(repeating: 1, count: 10))
      let before = bench.pool.stateDigest()
      #expect(
        bench.run(.place(2, contiguous: true)).refusal
          == Refusal(.noRun, needed: 2, available: 2_048, limit: 1))
      #expect(bench.pool.stateDigest() == before)
      #expect(bench.run(.allocate(2_048)).newBlocks.count == 2_048)
      #expect(bench.pool.stats().refusals[Int(Refusal.Reason.noRun.rawValue)] == 1)
    }
  }

  @Test("too few blocks is not a matter of runs")
  func tooFew() {
    let bench = bench()
    free([2, 4, 6], of: bench)
    #expect(
      bench.run(.place(4, contiguous: true)).refusal == Refusal(.later, needed: 4, available: 3))
    #expect(
      bench.run(.place(9, contiguous: true)).refusal == Refusal(.never, needed: 9, available: 3))
    #expect(
      bench.run(.place(3, contiguous: true)).refusal
        == Refusal(.noRun, needed: 3, available: 3, limit: 1))
    #expect(
      bench.run(.place(0, contiguous: true)).refusal == Refusal(.invalid, field: .count, limit: 1))
  }

  @Test("promised blocks are no part of a run that somebody else asks for")
  func promised() {
    let bench = bench()
    bench.run(.reserve(Reserve(sequence: 1, blocks: 6)))
    #expect(
      bench.run(.place(3, contiguous: true)).refusal
        == Refusal(.later, needed: 3, available: 8, reserved: 6))
    #expect(bench.run(.place(2, contiguous: true)).newBlocks == [1, 2])
  }

  /// Blocks 1 to 6 cached in the order 4, 1, 6, 3, 2, 5 of their eviction; 7 and 8 held.
  private func cached(_ strategy: AllocationStrategy) -> Bench {
    let bench = bench(strategy, caches: true)
    bench.run(.allocate(8))
    bench.run(.cacheBlocks([1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60]))
    bench.run(.freeBlocks([4, 1, 6, 3, 2, 5]))
    return bench
  }

  @Test(
    "cached blocks are evicted in the policy's order until there is a run, and no further",
    arguments: [AllocationStrategy.freeQueue, .firstFit, .bestFit])
  func evicted(strategy: AllocationStrategy) {
    let bench = cached(strategy)
    // 4, 1 and 6 go without making two adjacent ones; 3 makes 3, 4.
    let taken = bench.run(.place(2, contiguous: true))
    #expect(taken.newBlocks == [3, 4])
    #expect(taken.evicted == 4)
    #expect(bench.pool.content(2) != nil)
    #expect(bench.pool.content(5) != nil)
    #expect(bench.pool.stats().free == 2)
    #expect(bench.pool.stats().cached == 2)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test(
    "nothing is evicted for a run that cannot be made",
    arguments: [AllocationStrategy.freeQueue, .firstFit, .bestFit])
  func notEvicted(strategy: AllocationStrategy) {
    let bench = cached(strategy)
    bench.run(.acquire([30], 0))
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.place(4, contiguous: true)).refusal
        == Refusal(.noRun, needed: 4, available: 5, evictable: 5, limit: 3))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("a free run is preferred to evicting, wherever it is")
  func freeRunFirst() {
    let bench = bench(.firstFit, caches: true)
    bench.run(.allocate(6))
    bench.run(.cacheBlocks([1, 2, 3], [10, 20, 30]))
    bench.run(.freeBlocks([1, 2, 3]))
    let taken = bench.run(.place(2, contiguous: true))
    #expect(taken.newBlocks == [7, 8])
    #expect(taken.evicted == 0)
  }

  @Test("preferred ids come first, in their order, where they are free; the rest as ever")
  func preferred() {
    for strategy in [AllocationStrategy.freeQueue, .firstFit, .bestFit] {
      let bench = bench(strategy)
      free([8, 7, 3, 2, 1], of: bench)
      let rest: [BlockID] = strategy == .freeQueue ? [8] : strategy == .firstFit ? [1] : [8]
      let taken = bench.run(.place(4, preferred: [7, 5, 3, 7, 2])).newBlocks
      // 5 is held, 7 is taken by then. Left of 1 and 8, which are alone: the queue's head is 8.
      #expect(taken.prefix(3) == [7, 3, 2], "\(strategy)")
      #expect(taken.last == (strategy == .bestFit ? 1 : rest[0]), "\(strategy)")
      #expect(bench.pool.checkInvariants() == nil)
    }
  }

  @Test("more is preferred than asked for: the first that are free")
  func preferredTooMany() {
    let bench = bench()
    #expect(bench.run(.place(2, preferred: [6, 2, 4])).newBlocks == [6, 2])
  }

  @Test("a preferred block that holds something keeps it")
  func preferredCached() {
    let bench = cached(.firstFit)
    let taken = bench.run(.place(1, preferred: [5]))
    #expect(taken.newBlocks == [4])
    #expect(bench.pool.content(5) != nil)
  }

  @Test("a preferred id of no block is refused and named, and nothing changes")
  func preferredNobody() {
    let bench = bench()
    let before = bench.pool.stateDigest()
    for id in [0, 9] as [BlockID] {
      #expect(
        bench.run(.place(1, preferred: [3, id])).refusal
          == Refusal(.invalid, field: .preferredBlockIDs, limit: 8, subject: UInt64(id)))
    }
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("a run begins at the first preferred id that one can begin at")
  func preferredRun() {
    for strategy in [AllocationStrategy.freeQueue, .firstFit, .bestFit] {
      let bench = bench(strategy, blocks: 16)
      free([1, 2, 3, 5, 6, 9, 10, 16], of: bench)
      #expect(
        bench.run(.place(2, contiguous: true, preferred: [16, 3, 9, 5])).newBlocks == [9, 10])
      #expect(bench.run(.place(2, contiguous: true, preferred: [16])).newBlocks.count == 2)
    }
  }

  @Test("a dry run of a run changes nothing, evictions included")
  func dryRun() {
    for strategy in [AllocationStrategy.freeQueue, .firstFit, .bestFit] {
      let bench = cached(strategy)
      let before = bench.pool.stateDigest()
      let seen = bench.apply(
        TestCommand(
          isDryRun: true,
          operations: [
            TestOperation(.place(2, contiguous: true)), TestOperation(.place(1, preferred: [6])),
          ]))
      #expect(seen.results[0].newBlocks == [3, 4])
      #expect(seen.results[1].newBlocks == [6])
      #expect(bench.pool.stateDigest() == before)
      #expect(bench.pool.checkInvariants() == nil)
    }
  }

  @Test("runs of free blocks alone, and of free and cached ones")
  func runs() {
    for strategy in [AllocationStrategy.freeQueue, .firstFit, .bestFit] {
      let bench = bench(strategy, blocks: 12, caches: true)
      bench.run(.allocate(9))
      bench.run(.cacheBlocks([3, 8], [30, 80]))
      // Free 2, 10-12; cached 3, 8; held 1, 4-7, 9.
      bench.run(.freeBlocks([2, 3, 8]))
      let layout = bench.pool.layout()
      #expect(layout.freeRuns == 2)
      #expect(layout.largestFreeRuns == [3, 1])
      #expect(layout.availableRuns == 3)
      #expect(layout.largestAvailableRuns == [3, 2, 1])
    }
  }

  @Test("runs longer than a word of a bitmap are counted as one")
  func longRuns() {
    let bench = bench(.firstFit, blocks: 300)
    free(Array(10...200) + [202] + Array(250...300), of: bench)
    #expect(bench.pool.layout().largestFreeRuns == [191, 51, 1])
    #expect(bench.run(.place(191, contiguous: true)).newBlocks == Array(10...200))
  }
}
