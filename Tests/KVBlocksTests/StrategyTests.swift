import KVBlocks
import Testing

/// Strategies that need runs, worked by hand.
@Suite("buddy, and runs reserved at admission")
struct StrategyTests {
  private func bench(
    _ strategy: AllocationStrategy, blocks: UInt32, blockSize: UInt32 = 4, most: UInt32 = 0
  ) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: blockSize, copyAck: .explicit, maxModelTokens: most,
        strategy: strategy))
  }

  private func new(
    _ id: SequenceID, _ tokens: UInt32, expected: UInt32 = 0
  ) -> TestOperation.Kind {
    .admit(.init(id: id, add: .init(id: id, tokens: tokens, expected: expected)))
  }

  // MARK: Buddy

  @Test("3 blocks take a run of 4: three ids are told, the fourth is waste until all are back")
  func rounding() {
    let bench = bench(.buddy, blocks: 8)
    #expect(bench.run(.allocate(3)).newBlocks == [1, 2, 3])
    #expect(bench.pool.stats().rounding == 1)
    #expect(bench.pool.stats().active == 4)
    #expect(bench.pool.stats().free == 4)
    // Single ids are free at once; 4 comes with the last of them.
    #expect(bench.run(.freeBlocks([2])).freed == 1)
    #expect(bench.queue == [2, 5, 6, 7, 8])
    #expect(bench.run(.freeBlocks([3, 1])).freed == 3)
    #expect(bench.pool.stats().rounding == 0)
    // And they merge: the pool is one run of 8 again.
    #expect(bench.run(.allocate(8)).newBlocks == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a block that is given back alone may be handed out while the rest of its run is held")
  func single() {
    let bench = bench(.buddy, blocks: 8)
    bench.run(.allocate(3))
    bench.run(.freeBlocks([2]))
    #expect(bench.run(.allocate(1)).newBlocks == [2])
    bench.run(.freeBlocks([1, 3]))
    // 4 is back, 2 belongs to another allocation.
    #expect(bench.queue == [1, 3, 4, 5, 6, 7, 8])
    #expect(bench.run(.allocate(4)).newBlocks == [5, 6, 7, 8])
  }

  @Test("the rest of a run ends where that of a run within what came back of it begins")
  func runsWithinRuns() {
    let bench = bench(.buddy, blocks: 16)
    bench.run(.allocate(12))
    bench.run(.freeBlocks([9, 10, 11, 12]))
    // 13...16 are still the rest of the twelve; 12 is now the rest of the three.
    #expect(bench.run(.allocate(3)).newBlocks == [9, 10, 11])
    #expect(bench.run(.freeBlocks([1, 2, 3, 4, 5, 6, 7, 8])).freed == 12)
    #expect(bench.pool.stats().rounding == 1)
    #expect(bench.pool.checkInvariants() == nil)
    #expect(bench.run(.freeBlocks([9, 10, 11])).freed == 4)
    #expect(bench.run(.allocate(16)).newBlocks == (1...16).map { BlockID($0) })
  }

  @Test("of the smallest runs that fit the lowest is taken, whatever came back when")
  func lowest() {
    let bench = bench(.buddy, blocks: 16)
    bench.run(.allocate(16))
    bench.run(.freeBlocks([15, 16, 9, 10, 4, 1, 2, 3]))
    // Runs of 4 at 1, of 2 at 9 and at 15.
    #expect(bench.run(.allocate(2)).newBlocks == [9, 10])
    #expect(bench.run(.allocate(1)).newBlocks == [15])
    #expect(bench.run(.allocate(1)).newBlocks == [16])
    #expect(bench.run(.allocate(1)).newBlocks == [1])
    #expect(bench.run(.allocate(2)).newBlocks == [3, 4])
  }

  @Test("neighbours merge only with their buddies")
  func unaligned() {
    let bench = bench(.buddy, blocks: 8)
    bench.run(.allocate(8))
    bench.run(.freeBlocks([2, 3, 4, 5]))
    // 3 and 4 are buddies, 2 and 5 are not theirs: four adjacent blocks and no run of 4.
    #expect(
      bench.run(.allocate(4)).refusal == Refusal(.noRun, needed: 4, available: 4, limit: 2))
    #expect(bench.pool.layout().largestFreeRun == 4)
    #expect(bench.run(.allocate(2)).newBlocks == [3, 4])
  }

  @Test("rounded up it is too much: for now, or for a pool that is no power of two")
  func tooMuch() {
    let bench = bench(.buddy, blocks: 12)
    // 12 = 8 + 4: nine would be sixteen.
    #expect(
      bench.run(.allocate(9)).refusal == Refusal(.never, needed: 16, available: 12))
    #expect(
      bench.run(.allocate(.max)).refusal == Refusal(.never, needed: .max, available: 12))
    #expect(bench.run(.allocate(0)).refusal == Refusal(.invalid, field: .count, limit: 1))
    #expect(bench.run(.allocate(5)).newBlocks == [1, 2, 3, 4, 5])
    #expect(bench.run(.allocate(5)).refusal == Refusal(.later, needed: 8, available: 4))
    #expect(bench.run(.allocate(3)).newBlocks == [9, 10, 11])
    #expect(bench.pool.stats().rounding == 4)
  }

  @Test("a double free, and a free of what the rounding took, is refused and changes nothing")
  func doubleFree() {
    let bench = bench(.buddy, blocks: 8)
    bench.run(.allocate(3))
    bench.run(.freeBlocks([1]))
    let before = bench.pool.stateDigest()
    for ids in [[1], [2, 1], [3, 3], [4]] as [[BlockID]] {
      #expect(bench.run(.freeBlocks(ids)).refusal.reason == .notHeld, "\(ids)")
    }
    #expect(bench.run(.forkBlocks([4])).refusal == Refusal(.notHeld, subject: 4))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("sequences: each allocation is a run of its own, forks share, copies take single blocks")
  func buddySequences() {
    let bench = bench(.buddy, blocks: 16)
    #expect(bench.run(new(1, 10)).newBlocks == [1, 2, 3])
    #expect(bench.run(.extend(Extend(sequence: 1, appendTokens: 3))).newBlocks == [5])
    #expect(bench.table(1) == [1, 2, 3, 5])
    #expect(bench.pool.stats().rounding == 1)
    #expect(bench.run(.fork(1, [2])).shared == 4)
    // 2 writes into the shared tail, then needs two more at once.
    let extended = bench.run(.extend(Extend(sequence: 2, appendTokens: 11)))
    #expect(extended.newBlocks == [7, 8])
    #expect(extended.copies.map(\.target) == [6])
    #expect(bench.table(2) == [1, 2, 3, 6, 7, 8])
    bench.run(.preempt([1]))
    #expect(bench.pool.stats().rounding == 1)
    bench.run(.acknowledge([1]))
    #expect(bench.run(.free([1, 2])).freed == 7)
    #expect(bench.pool.stats().free == 16)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("preempting makes a run where there are enough blocks and none is")
  func preemptsForRun() {
    let bench = bench(.buddy, blocks: 8)
    bench.admit(1, 4)  // 1
    bench.admit(2, 4)  // 2
    bench.admit(3, 8)  // 3, 4
    bench.admit(4, 4)  // 5
    // Free: 6, 7, 8; two blocks fit at 7, four nowhere until 4 and 3 are gone.
    let result = bench.apply(
      TestCommand(
        onRefusal: .preempt,
        operations: [TestOperation(.extend(Extend(sequence: 1, appendTokens: 12)))]
      )
    ).results[0]
    #expect(result.refusal == .none)
    #expect(result.preempted == [4])
    #expect(result.newBlocks == [5, 6, 7])
  }

  @Test(
    "a dry run of runs changes nothing", arguments: [AllocationStrategy.buddy, .contiguousExact])
  func dryRun(strategy: AllocationStrategy) {
    let bench = bench(strategy, blocks: 16)
    bench.run(.allocate(3))
    bench.run(new(1, 9))
    let before = bench.pool.stateDigest()
    let queue = bench.queue
    _ = bench.apply(
      TestCommand(
        isDryRun: true,
        operations: [
          TestOperation(.freeBlocks([1, 2, 3])), TestOperation(.allocate(5)),
          TestOperation(.free([1])), TestOperation(.allocate(7)), TestOperation(new(2, 4)),
        ]))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.queue == queue)
    #expect(bench.pool.checkInvariants() == nil)
  }

  // MARK: Reserved

  @Test("the longest a sequence may become is reserved: 8 of 512 tokens in 4,096 slots")
  func reserveMax() {
    let bench = bench(.contiguousMax, blocks: 256, blockSize: 16, most: 512)
    for id in 1...8 as ClosedRange<SequenceID> {
      #expect(bench.run(new(id, 33)).newBlocks.count == 32)
    }
    #expect(bench.table(2) == Array(33...64))
    #expect(bench.run(new(9, 33)).refusal == Refusal(.later, needed: 32, available: 0, sequence: 9))
    // 8 x 512 slots held, 8 x 33 used.
    let layout = bench.pool.layout()
    #expect(layout.sequenceSlotsHeld == 4_096)
    #expect(layout.sequenceSlotsUsed == 264)
  }

  @Test("it grows within its run without another block, and never past what it may have at most")
  func growsWithin() {
    let bench = bench(.contiguousMax, blocks: 16, most: 16)
    #expect(bench.run(new(1, 3)).newBlocks == [1, 2, 3, 4])
    let extended = bench.run(.extend(Extend(sequence: 1, appendTokens: 13, lookaheadTokens: 9)))
    #expect(extended.refusal == .none)
    #expect(extended.newBlocks == [])
    #expect(extended.scheduled == 13)
    #expect(
      bench.run(.append(1, 1)).refusal
        == Refusal(.invalid, field: .tokenCount, limit: 16, sequence: 1))
  }

  @Test("the next power of two of the tokens expected, or known where they are more")
  func powerOfTwo() {
    let bench = bench(.contiguousPowerOfTwo, blocks: 64)
    #expect(bench.run(new(1, 3, expected: 17)).newBlocks.count == 8)
    #expect(bench.run(new(2, 3, expected: 16)).newBlocks.count == 4)
    #expect(bench.run(new(3, 33, expected: 5)).newBlocks.count == 16)
    #expect(bench.run(new(4, 1)).newBlocks.count == 1)
    let limited = self.bench(.contiguousPowerOfTwo, blocks: 64, most: 24)
    #expect(limited.run(new(1, 3, expected: 17)).newBlocks.count == 6)
  }

  @Test("exactly the tokens expected; past them it is refused, its tokens stay recorded")
  func exact() {
    let bench = bench(.contiguousExact, blocks: 8)
    #expect(bench.run(new(1, 3, expected: 9)).newBlocks == [1, 2, 3])
    #expect(bench.run(new(2, 8)).newBlocks == [4, 5])
    #expect(bench.run(.extend(Extend(sequence: 1, appendTokens: 9))).refusal == .none)
    let refused = bench.run(.extend(Extend(sequence: 1, appendTokens: 1)))
    #expect(
      refused.refusal
        == Refusal(.quota, field: .reservation, needed: 4, available: 3, limit: 3, sequence: 1))
    #expect(bench.pool.describe(session: 0, sequence: 1)?.tokens == 13)
    #expect(bench.table(1) == [1, 2, 3])
    // Nobody is preempted for it: that would not help.
    let preempting = bench.apply(
      TestCommand(
        onRefusal: .preempt, operations: [TestOperation(.extend(Extend(sequence: 1)))]))
    #expect(preempting.results[0].refusal.reason == .quota)
    #expect(preempting.results[0].preempted == [])
    // Admitted anew it gets a run for what is known by then.
    bench.run(.preempt([1]))
    #expect(bench.run(.admit(.init(id: 1))).refusal.reason == .noRun)
    bench.run(.free([2]))
    #expect(bench.run(.admit(.init(id: 1))).newBlocks == [1, 2, 3, 4])
  }

  @Test(
    "churn: half of the pool is free in runs of 512 tokens, and 1,024 do not fit; paged they do")
  func churn() {
    let bench = bench(.contiguousExact, blocks: 256, blockSize: 16)
    for id in 1...8 as ClosedRange<SequenceID> { bench.run(new(id, 512)) }
    bench.run(.free([1, 3, 5, 7]))
    let layout = bench.pool.layout()
    #expect(UInt64(bench.pool.stats().free) * 16 == 2_048)
    #expect(layout.largestFreeRun * 16 == 512)
    #expect(layout.freeRuns == 4)
    #expect(
      bench.run(new(9, 1_024)).refusal
        == Refusal(.noRun, needed: 64, available: 128, limit: 32, sequence: 9))
    #expect(bench.pool.stats().refusals[Int(Refusal.Reason.noRun.rawValue)] == 1)
    let paged = self.bench(.freeQueue, blocks: 256, blockSize: 16)
    for id in 1...8 as ClosedRange<SequenceID> { paged.run(new(id, 512)) }
    paged.run(.free([1, 3, 5, 7]))
    #expect(paged.run(new(9, 1_024)).newBlocks.count == 64)
  }

  @Test("64 arrivals of 32 tokens: 8 into reserved runs, 64 paged; of more, 128: 16 times as many")
  func arrivals() {
    let reserved = bench(.contiguousMax, blocks: 256, blockSize: 16, most: 512)
    let paged = bench(.freeQueue, blocks: 256, blockSize: 16, most: 512)
    func waste(_ bench: Bench) -> UInt64 {
      let layout = bench.pool.layout()
      return layout.sequenceSlotsHeld - layout.sequenceSlotsUsed
    }
    for id in 1...64 as ClosedRange<SequenceID> {
      reserved.run(new(id, 32))
      paged.run(new(id, 32))
    }
    #expect(reserved.pool.stats().runningSequences == 8)
    #expect(reserved.pool.stats().refusals[Int(Refusal.Reason.later.rawValue)] == 56)
    #expect(waste(reserved) == 3_840)
    #expect(paged.pool.stats().runningSequences == 64)
    #expect(waste(paged) == 0)
    for id in 65...200 as ClosedRange<SequenceID> {
      reserved.run(new(id, 32))
      paged.run(new(id, 32))
    }
    #expect(reserved.pool.stats().runningSequences == 8)
    #expect(paged.pool.stats().runningSequences == 128)
  }

  @Test("slots wasted and table entries by block size: 64 arrivals of 33 tokens in 4,096 slots")
  func sweep() {
    let rows: [(size: UInt32, running: UInt32, waste: UInt64, entries: Int)] = [
      (1, 64, 0, 2_112), (4, 64, 192, 576), (16, 64, 960, 192), (64, 64, 1_984, 64),
      (256, 16, 3_568, 16),
    ]
    for row in rows {
      let bench = bench(.freeQueue, blocks: 4_096 / row.size, blockSize: row.size)
      for id in 1...64 as ClosedRange<SequenceID> { bench.run(new(id, 33)) }
      let layout = bench.pool.layout()
      #expect(bench.pool.stats().runningSequences == row.running)
      #expect(layout.sequenceSlotsHeld - layout.sequenceSlotsUsed == row.waste)
      let entries = (1...64 as ClosedRange<SequenceID>).map { bench.table($0).count }.reduce(0, +)
      #expect(entries == row.entries)
    }
  }

  @Test("children of a reserved run wait for runs of their own; its blocks are nobody else's")
  func reservedFork() {
    let bench = bench(.contiguousExact, blocks: 16)
    bench.run(new(1, 6, expected: 12))
    let forked = bench.run(.fork(1, [2, 3]))
    #expect(forked.affected == 2)
    #expect(forked.shared == 0)
    #expect(bench.state(2) == .waiting)
    #expect(bench.run(.admit(.init(id: 2))).newBlocks == [4, 5, 6])
    #expect(
      bench.run(.forkBlocks([1])).refusal
        == Refusal(.wrongState, field: .reservation, subject: 1))
    #expect(bench.pool.stats().shared == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a chunk gets the whole run; a rewind that releases gives the rest of it back")
  func chunked() {
    let bench = bench(.contiguousExact, blocks: 16)
    let admitted = bench.run(
      .admit(.init(id: 1, add: .init(id: 1, tokens: 20), maxTokensNow: 4, partial: true)))
    #expect(admitted.newBlocks == [1, 2, 3, 4, 5])
    #expect(admitted.scheduled == 4)
    let rewound = bench.run(.rewind(Rewind(sequence: 1, dropTokens: 12, releasesBlocks: true)))
    #expect(rewound.freed == 4)
    #expect(
      bench.run(.extend(Extend(sequence: 1, appendTokens: 1))).refusal.reason == .quota)
  }

  @Test("raw blocks of such a pool are runs, too")
  func rawRuns() {
    for strategy in [AllocationStrategy.contiguousExact, .contiguousPowerOfTwo] {
      let bench = bench(strategy, blocks: 8)
      bench.run(.allocate(8))
      bench.run(.freeBlocks([2, 4, 5, 7]))
      #expect(bench.run(.allocate(2)).newBlocks == [4, 5])
      #expect(bench.run(.acquire([], 2)).refusal.reason == .noRun)
      #expect(bench.run(.allocate(1)).newBlocks == [2])
    }
  }

  @Test("what a strategy does not go with")
  func conflicts() {
    func conflict(
      _ strategy: AllocationStrategy, caches: Bool = false, most: UInt32 = 64, host: UInt32 = 0,
      window: UInt32 = 0
    ) -> PoolConfiguration.Conflict? {
      PoolConfiguration.conflict(
        strategy, cachesPrefixes: caches, maxModelTokens: most, slots: 64, hostBlocks: host,
        slidingWindow: window)
    }
    for strategy in AllocationStrategy.allCases {
      #expect(conflict(strategy) == nil)
      #expect(conflict(strategy, caches: true) == (strategy.needsRuns ? .prefixCaching : nil))
      let reserves = strategy.reservesAtAdmission
      #expect(conflict(strategy, host: 1) == (reserves ? .hostBlocks : nil))
      #expect(conflict(strategy, window: 1) == (reserves ? .slidingWindow : nil))
      #expect(conflict(strategy, most: 0) == (strategy == .contiguousMax ? .noMaxModelTokens : nil))
      #expect(conflict(strategy, most: 65) == (strategy == .contiguousMax ? .tooFewSlots : nil))
    }
  }

  @Test("a dump of a pool with runs is loaded and goes on", arguments: AllocationStrategy.allCases)
  func dumps(strategy: AllocationStrategy) throws {
    let bench = bench(strategy, blocks: 32, most: 16)
    bench.run(.allocate(3))
    bench.run(new(1, 9))
    bench.run(.freeBlocks([2]))
    bench.run(new(2, 5))
    let loaded = try #require(reloaded(bench.pool))
    #expect(loaded.checkInvariants() == nil)
    let outcome = Outcome()
    for kind in [.free([1]), .freeBlocks([1, 3]), .allocate(7)] as [TestOperation.Kind] {
      let command = TestCommand(operations: [TestOperation(kind)])
      loaded.apply(command, into: outcome)
      let seen = Seen(outcome)
      #expect(bench.apply(command) == seen)
    }
    #expect(loaded.stateDigest() == bench.pool.stateDigest())
  }

  @Test("nobody is preempted for a run that raw blocks keep from being there")
  func vain() {
    let bench = Bench(
      PoolConfiguration(blocks: 16, blockSize: 4, copyAck: .explicit, strategy: .buddy))
    // A raw block in each four, and six sequences of a block between them.
    for _ in 0..<16 { bench.run(.allocate(1)) }
    bench.run(.freeBlocks((1...16).filter { $0 % 4 != 1 }))
    for id: SequenceID in 1...6 { bench.admit(id, 4) }
    let grow = TestOperation(.extend(Extend(sequence: 1, appendTokens: 16)), onRefusal: .preempt)
    let seen = bench.apply(TestCommand(operations: [grow])).results[0]
    #expect(seen.refusal == Refusal(.noRun, needed: 4, available: 6, limit: 2, sequence: 1))
    #expect(seen.preempted == [])
    // The tokens are recorded; a decode is told the same.
    let decode = bench.apply(
      TestCommand(
        onRefusal: .preempt, operations: [.init(.decode(.init(ids: [1], append: [0])))]))
    #expect(decode.results[0].preempted == [])
    #expect(decode.results[0].firstRefusal.reason == .noRun)
    // Without the raw block of the last four there is something to preempt for.
    bench.run(.freeBlocks([13]))
    let again = TestOperation(.extend(Extend(sequence: 1)), onRefusal: .preempt)
    let placed = bench.apply(TestCommand(operations: [again])).results[0]
    #expect(placed.refusal == .none)
    #expect(placed.preempted == [6, 5, 4])
    #expect(placed.newBlocks == [13, 14, 15, 16])
    #expect(bench.pool.checkInvariants() == nil)
  }
}
