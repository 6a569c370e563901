import KVBlocks
import Testing

/// Frees that wait for their batch, and blocks that move, class by class.
extension SizeClassTests {
  // MARK: Lazy frees

  private func pending(_ bench: Bench) -> [UInt32] { bench.pool.classes().map(\.pending) }

  @Test("frees of all classes wait in one batch, and are available in their own")
  func lazyFrees() {
    let bench = bench(batch: 4)
    bench.run(.allocate(10))
    bench.run(.place(6, sizeClass: 2))
    // A free of both classes, then one of each.
    bench.run(.freeBlocks([9, 16, 8]))
    #expect(bench.queue == [])
    #expect(pending(bench) == [2, 1])
    #expect(bench.pool.classes().map(\.available) == [2, 1])
    var refused = Refusal(.later, needed: 2, available: 1)
    refused.sizeClass = 2
    #expect(bench.run(.place(2, sizeClass: 2)).refusal == refused)
    bench.run(.freeBlocks([15]))
    #expect(bench.queue == [9, 8, 15, 16])
    #expect(pending(bench) == [0, 0])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("an allocation gives back what waits where its own class is short, and not where it is not")
  func lazyFreesByNeed() {
    let bench = bench(batch: 8)
    bench.run(.place(6, sizeClass: 2))
    bench.run(.freeBlocks([13, 12]))
    #expect(bench.run(.allocate(10)).newBlocks.count == 10)
    #expect(pending(bench) == [0, 2])
    #expect(bench.run(new(1, 40, 2)).newBlocks == [13, 12])
    #expect(pending(bench) == [0, 0])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a batch is switched on and off, and is part of a dump, with what waits of each class")
  func lazyDump() {
    let bench = bench(caches: true)
    bench.run(.updatePool(PoolUpdate(lazyFreeBatch: 9)))
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 64, hashes: [1, 2], sizeClass: 2))))
    bench.run(new(2, 8))
    bench.run(.free([1, 2]))
    #expect(pending(bench) == [1, 2])
    guard let loaded = reloaded(bench.pool) else { return }
    #expect(loaded.classes() == bench.pool.classes())
    // A hit takes a block from among those that wait.
    let hit = TestOperation.New(id: 3, tokens: 33, hashes: [1], sizeClass: 2)
    #expect(bench.run(.admit(.init(id: 3, add: hit))).cached == [11])
    #expect(pending(bench) == [1, 1])
    bench.run(.evictBlocks([12]))
    #expect(bench.pool.checkInvariants() == nil)
    bench.run(.updatePool(PoolUpdate(lazyFreeBatch: 0)))
    #expect(pending(bench) == [0, 0])
    #expect(bench.queue == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16])
    #expect(bench.pool.checkInvariants() == nil)
  }

  // MARK: Moving

  /// A full block of a sequence of its own in each of the blocks that are held.
  private func scattered(_ held: [BlockID]) -> Bench {
    let bench = bench()
    for id in 1...16 {
      bench.run(new(SequenceID(id), id <= 10 ? 8 : 32, id <= 10 ? 1 : 2))
    }
    bench.run(.free((1...16).filter { !held.contains(BlockID($0)) }.map { SequenceID($0) }))
    return bench
  }

  private func plan(
    _ bench: Bench, _ goal: DefragmentGoal, sizeClass: UInt32
  ) throws -> DefragmentPlan {
    try bench.pool.planDefragment(session: 0, goal, sizeClass: sizeClass)
  }

  @Test("a plan is of one class: runs, moves and what may be asked for")
  func plans() throws {
    // 1 . 3 . 5 . 7 . 9 . | 11 . 13 . . .
    let bench = scattered([1, 3, 5, 7, 9, 11, 13])
    let small = try plan(bench, .longestRun, sizeClass: 0)
    #expect(small.moves.map(\.source) == [9, 7])
    #expect(small.moves.map(\.target) == [2, 4])
    #expect((small.largestRunBefore, small.largestRunAfter) == (1, 5))
    #expect(small.tokensToCopy == 16)
    let large = try plan(bench, .longestRun, sizeClass: 2)
    #expect(large.moves == [BlockMove(source: 13, target: 12, tokens: 32, sequence: 13)])
    #expect((large.largestRunBefore, large.largestRunAfter) == (3, 4))
    // Adjacent ids of two classes are no run.
    #expect(throws: Refusal(.invalid, field: .contiguousBlocks, limit: 6)) {
      try plan(bench, .contiguous(7), sizeClass: 2)
    }
    #expect(try !plan(bench, .contiguous(6), sizeClass: 1).isSufficient)
    #expect(throws: Refusal(.invalid, field: .sizeClass, limit: 2)) {
      try plan(bench, .longestRun, sizeClass: 3)
    }
    bench.make(large)
    #expect(bench.table(13) == [12])
    #expect(bench.pool.layout().classes.map(\.largestFreeRun) == [1, 4])
  }

  @Test("a sequence is put together in its class, and a plan that names another is refused")
  func gathering() throws {
    let bench = bench()
    bench.run(new(1, 32, 2))
    bench.run(new(2, 32, 2))
    bench.run(.extend(Extend(sequence: 1, appendTokens: 32)))
    #expect(bench.table(1) == [11, 13])
    bench.run(.free([2]))
    #expect(
      throws: Refusal(.invalid, field: .sizeClass, limit: 2, sequence: 1, subject: 2)
    ) { try plan(bench, .sequence(1), sizeClass: 1) }
    let made = try plan(bench, .sequence(1), sizeClass: 0)
    #expect(made.moves.map(\.source) == [13])
    #expect(made.moves.map(\.target) == [12])
    bench.make(made)
    #expect(bench.table(1) == [11, 12])
  }

  @Test("a block does not move to one of another size, nor to what is promised of its class")
  func moves() {
    let bench = scattered([1, 11])
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(bench.moves([(1, 2), (11, 3)])).refusal
        == Refusal(.wrongState, field: .planMoves, limit: 1, subject: 3))
    #expect(bench.pool.stateDigest() == before)
    bench.run(.reserve(Reserve(sequence: 99, blocks: 5, sizeClass: 2)))
    var refused = Refusal(.later, needed: 1, available: 5, reserved: 5)
    refused.sizeClass = 2
    #expect(bench.run(bench.moves([(1, 2), (11, 12)])).refusal == refused)
    let moved = bench.run(bench.moves([(1, 2)]))
    #expect(moved.refusal == .none)
    #expect(bench.pool.classes().map(\.pinned) == [1, 0])
    bench.run(.acknowledge([], upTo: moved.copies[0].id))
    #expect(bench.table(1) == [2])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("moving is advised where a class is scattered and half empty, not because there are three")
  func advice() {
    let three = [
      SizeClass(blockSize: 1, blocks: 8, maxExpectedTokens: 5),
      SizeClass(blockSize: 4, blocks: 8, maxExpectedTokens: 20),
      SizeClass(blockSize: 16, blocks: 8),
    ]
    let empty = bench(three).pool
    #expect(!empty.layout().advisesDefragment(available: 24, of: 24))
    // 1 . 3 . 5 . 7 . 9 . : 5 of 10 available, one by one; the other class is one run of 6.
    let scattered = scattered([1, 3, 5, 7, 9]).pool
    #expect(scattered.layout().advisesDefragment(available: 11, of: 16))
  }

  @Test("a run is made in the class that is named, by its own moves and victims")
  func recovery() {
    // 1 . 3 . 5 . 7 . 9 . | 11 . 13 . 15 .
    let bench = scattered([1, 3, 5, 7, 9, 11, 13, 15])
    let moved = bench.run(.recover(3, contiguous: true, sizeClass: 2))
    #expect(moved.copies.map(\.source) == [15])
    #expect(moved.copies.map(\.target) == [12])
    #expect(moved.reports.map(\.largestRun) == [1, 3, 3])
    bench.run(.acknowledge([], upTo: moved.copies[0].id))
    #expect(bench.run(.place(3, contiguous: true, sizeClass: 2)).newBlocks == [14, 15, 16])
    // Nobody of the other class would be of help: 11, 12 and 13 are all that can go.
    var never = Refusal(.never, needed: 7, available: 0)
    never.sizeClass = 2
    #expect(bench.run(.recover(7, contiguous: true, sizeClass: 2)).refusal == never)
    let gone = bench.run(.recover(3, rungs: [3], contiguous: true, sizeClass: 2))
    #expect(Set(gone.preempted) == [11, 13, 15])
    #expect(bench.run(.recover(6, contiguous: true)).refusal == .none)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
