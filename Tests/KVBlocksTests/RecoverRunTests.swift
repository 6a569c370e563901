import KVBlocks
import Testing

/// The out-of-memory ladder where adjacent blocks are needed. Blocks of 16 tokens; in a checkerboard
/// every other block is held by the sequence of its number.
@Suite("Recovering a run of adjacent blocks")
struct RecoverRunTests {
  private func report(
    _ rung: RecoverRung, _ isSufficient: Bool, longest: UInt32, moves: UInt32 = 0,
    freed: UInt32 = 0, evicted: UInt32 = 0, skipped: Bool = false
  ) -> RungReport {
    RungReport(
      rung, freedBlocks: freed, evictedBlocks: evicted, isSufficient: isSufficient,
      isSkipped: skipped, largestRun: longest, moves: moves)
  }

  private func ends(_ copies: [CopyOrder]) -> [[BlockID]] { copies.map { [$0.source, $0.target] } }

  private func run(
    _ count: UInt32, _ rungs: [UInt32] = [], keep: [SequenceID] = [], moves: UInt32 = 0
  ) -> TestOperation.Kind {
    .recover(count, rungs: rungs, keep: keep, contiguous: true, maxMoves: moves)
  }

  @Test("moves make the run, and it is there once their copies are acknowledged")
  func moves() {
    let bench = Bench.singles(8, held: [1, 3, 5, 7])
    let seen = bench.run(run(4))
    #expect(seen.refusal == .none)
    #expect(ends(seen.copies) == [[7, 2], [5, 4]])
    #expect(seen.preempted == [])
    #expect(
      seen.reports == [
        report(.evict, false, longest: 1, skipped: true),
        report(.defragment, true, longest: 4, moves: 2),
        report(.preempt, true, longest: 4, skipped: true),
      ])
    #expect(seen.available == 2)
    #expect(bench.table(7) == [7])
    #expect(bench.run(.place(4, contiguous: true)).refusal.reason == .later)
    bench.run(.acknowledge([], upTo: 2))
    #expect(bench.table(7) == [2])
    #expect(bench.run(.place(4, contiguous: true)).newBlocks == [5, 6, 7, 8])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("where a run is there nothing is done, and every rung says so")
  func enough() {
    let bench = Bench.singles(8, held: [1, 5])
    let revision = bench.pool.revision
    let seen = bench.run(run(3))
    #expect(
      seen.reports
        == RecoverRung.allCases.map { report($0, true, longest: 3, skipped: true) })
    #expect(bench.pool.revision == revision)
  }

  @Test("with too few moves for the run nothing changes, and the report says how far they lead")
  func budget() {
    let bench = Bench.singles(8, held: [1, 3, 5, 7])
    let before = bench.pool.stateDigest()
    let seen = bench.run(run(4, [2], moves: 1))
    #expect(seen.refusal == Refusal(.noRun, needed: 4, available: 4, limit: 1))
    #expect(seen.reports == [report(.defragment, false, longest: 3, moves: 1)])
    #expect(seen.copies == [])
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("where moves are too few, as few go as leave a run that they can make")
  func both() {
    let bench = Bench.singles(8, held: [1, 3, 5, 7])
    let seen = bench.run(run(4, moves: 1))
    #expect(seen.preempted == [7])
    #expect(ends(seen.copies) == [[5, 2]])
    #expect(
      seen.reports == [
        report(.evict, false, longest: 1, skipped: true),
        report(.defragment, false, longest: 3),
        report(.preempt, false, longest: 3, freed: 1),
        report(.defragment, true, longest: 5, moves: 1),
      ])
    bench.run(.acknowledge([], upTo: 1))
    #expect(bench.run(.place(5, contiguous: true)).newBlocks == [4, 5, 6, 7, 8])
  }

  @Test("who is kept can still be moved")
  func kept() {
    let bench = Bench.singles(8, held: [1, 3, 5, 7])
    let seen = bench.run(run(4, keep: [7], moves: 1))
    #expect(seen.preempted == [5])
    #expect(ends(seen.copies) == [[7, 2]])
  }

  @Test("rungs are tried in the order in which they are named")
  func order() {
    let bench = Bench.singles(8, held: [1, 3, 5, 7])
    let seen = bench.run(run(4, [3, 2]))
    #expect(seen.preempted == [7, 5])
    #expect(seen.copies == [])
    #expect(
      seen.reports == [
        report(.preempt, true, longest: 5, freed: 2),
        report(.defragment, true, longest: 5, skipped: true),
      ])
  }

  @Test("the lowest priority is spared where its blocks are in the wrong place")
  func spared() {
    let bench = Bench(blocks: 8)
    for id: SequenceID in 1...8 {
      bench.run(
        .admit(.init(id: id, add: .init(id: id, tokens: 16, priority: id == 1 ? 9 : 0))))
    }
    bench.run(.free([2, 4, 6, 8]))
    // 1 goes first and leaves a run of 2; with 7 there are 3, and then 1 is not needed.
    #expect(bench.run(run(3, [3])).preempted == [7])
    #expect(bench.state(1) == .running)
  }

  @Test("raw, pinned and moving blocks stay, and where they leave no run there is none")
  func fixed() {
    let bench = Bench.singles(6, held: [1, 3, 5])
    bench.run(.forkBlocks([3]))
    #expect(ends(bench.run(run(3, [2])).copies) == [[5, 2]])
    let before = bench.pool.stateDigest()
    // 5 is on its way to 2: there are 4 and 6, and 1.
    let seen = bench.run(run(2))
    #expect(seen.refusal == Refusal(.noRun, needed: 2, available: 2, limit: 1))
    #expect(
      seen.reports == [
        report(.evict, false, longest: 1, skipped: true),
        report(.defragment, false, longest: 1, skipped: true),
        report(.preempt, false, longest: 1, freed: 1),
        report(.defragment, false, longest: 1, skipped: true),
      ])
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("too few blocks are LATER, more than the pool has NEVER, each with what there is")
  func refuses() {
    let bench = Bench.singles(6, held: [1, 2, 3, 4, 5])
    bench.run(.forkBlocks([1, 2, 3]))
    let before = bench.pool.stateDigest()
    let seen = bench.run(run(4))
    #expect(seen.refusal == Refusal(.later, needed: 4, available: 1, limit: 1))
    #expect(
      seen.reports == [
        report(.evict, false, longest: 1, skipped: true),
        report(.defragment, false, longest: 1, skipped: true),
        report(.preempt, false, longest: 3, freed: 2),
        report(.defragment, false, longest: 3, skipped: true),
      ])
    #expect(bench.run(run(7)).refusal == Refusal(.never, needed: 7, available: 1))
    #expect(bench.run(run(0)).refusal == Refusal(.invalid, field: .blocksNeeded, limit: 1))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("what is promised is neither counted nor moved to")
  func promises() {
    let bench = Bench.singles(8, held: [1, 3, 5, 7])
    bench.run(.reserve(Reserve(sequence: 9, blocks: 2)))
    #expect(
      bench.run(run(3, [2])).refusal
        == Refusal(.later, needed: 3, available: 4, reserved: 2, limit: 1))
    bench.run(.reserve(Reserve(sequence: 9, blocks: 1)))
    // 3 beside 1 promised; the moves for 3 are 1, for which there would be 3.
    #expect(ends(bench.run(run(3, [2])).copies) == [[7, 2]])
  }

  @Test("content goes in the policy's order until free blocks are a run, and no further")
  func evicts() {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    bench.run(
      .admit(.init(id: 1, add: .init(id: 1, tokens: 64, hashes: [11, 12, 13, 14]))))
    bench.run(.free([1]))
    #expect(bench.queue == [5, 6, 7, 8, 4, 3, 2, 1])
    let seen = bench.run(run(6))
    #expect(
      seen.reports == [
        report(.evict, true, longest: 8, evicted: 2),
        report(.defragment, true, longest: 8, skipped: true),
        report(.preempt, true, longest: 8, skipped: true),
      ])
    #expect(bench.pool.stats().evictionsAhead == 2)
    #expect(bench.run(.place(6, contiguous: true)).evicted == 0)
  }

  @Test("a cached block that is moved to loses its content, and the rung says so")
  func cachedTargets() {
    let bench = Bench(
      PoolConfiguration(blocks: 4, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 16, hashes: [11]))))
    bench.admit(2, 16)
    bench.run(.admit(.init(id: 3, add: .init(id: 3, tokens: 16, hashes: [13]))))
    bench.run(.free([1, 3]))
    let seen = bench.run(run(3))
    #expect(ends(seen.copies) == [[2, 1]])
    #expect(seen.reports[1] == report(.defragment, true, longest: 3, moves: 1, evicted: 1))
    #expect(seen.evicted == 1)
  }

  @Test("buddy: the run is a power of two at a multiple of its size, as allocations take it")
  func buddy() {
    let bench = Bench.singles(8, held: [2, 5], strategy: .buddy)
    // 6, 7 and 8 are adjacent, and of no use to an allocation of 3.
    let plan = bench.plan(.contiguous(3))
    #expect(plan.moves.map { [$0.source, $0.target] } == [[5, 1]])
    let seen = bench.run(run(3))
    #expect(ends(seen.copies) == [[5, 1]])
    #expect(
      seen.reports == [
        report(.evict, false, longest: 2, skipped: true),
        report(.defragment, true, longest: 4, moves: 1),
        report(.preempt, true, longest: 4, skipped: true),
      ])
    bench.run(.acknowledge([], upTo: 1))
    #expect(bench.run(.place(3)).newBlocks == [5, 6, 7])
    let twelve = Bench(PoolConfiguration(blocks: 12, blockSize: 16, strategy: .buddy))
    #expect(twelve.run(run(9)).refusal == Refusal(.never, needed: 16, available: 12))
  }

  @Test("buddy: what was rounded up comes back with the blocks that move out of it")
  func rounded() {
    let bench = Bench(
      PoolConfiguration(blocks: 12, blockSize: 16, copyAck: .explicit, strategy: .buddy))
    bench.admit(1, 16)
    bench.admit(2, 48)
    bench.admit(3, 16)
    bench.admit(4, 64)
    bench.admit(5, 16)
    bench.admit(6, 16)
    #expect([1, 2, 3, 4, 5, 6].map { bench.table($0)[0] } == [9, 1, 10, 5, 11, 12])
    bench.run(.free([4, 3]))
    bench.admit(7, 16)
    #expect(bench.table(7) == [10])
    bench.run(.free([7]))
    bench.run(.place(1, preferred: [5]))
    bench.run(.forkBlocks([9]))
    // 5 and 9 stay; 6, 7, 8 and 10 are free; 4 is the rest of 1 to 3.
    #expect(bench.pool.stats().free == 4)
    let plan = bench.plan(.contiguous(4))
    #expect((plan.isSufficient, plan.largestRunAfter) == (true, 4))
    let seen = bench.run(run(4))
    #expect(ends(seen.copies) == [[3, 6], [2, 7], [1, 8]])
    bench.run(.acknowledge([], upTo: 3))
    #expect(bench.pool.stats().free == 5)
    #expect(bench.run(.place(4)).newBlocks == [1, 2, 3, 4])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("where runs are reserved nothing moves, and who goes is who leaves a run")
  func reserved() {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 16, copyAck: .explicit, strategy: .contiguousExact))
    for id: SequenceID in 1...4 { bench.admit(id, 32) }
    bench.run(.free([2, 4]))
    #expect(
      bench.run(run(4, [1, 2])).refusal == Refusal(.noRun, needed: 4, available: 4, limit: 2))
    let seen = bench.run(run(4))
    #expect(seen.preempted == [3])
    #expect(
      seen.reports == [
        report(.evict, false, longest: 2, skipped: true),
        report(.defragment, false, longest: 2, skipped: true),
        report(.preempt, true, longest: 6, freed: 2),
      ])
  }

  @Test("a dry run and an aborted command order nothing and leave everybody running")
  func undone() {
    let bench = Bench.singles(8, held: [1, 3, 5, 7])
    let before = bench.pool.stateDigest()
    let dry = bench.apply(
      TestCommand(isDryRun: true, operations: [.init(run(4, moves: 1))]))
    #expect(dry.results[0].preempted == [7])
    #expect(dry.results[0].copies.count == 1)
    #expect(bench.pool.stateDigest() == before)
    let aborted = bench.apply(
      TestCommand(
        onRefusal: .abort, operations: [.init(run(4, moves: 1)), .init(.allocate(9))]))
    #expect(aborted.refusal.reason == .never)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a plan finds holes among cached blocks whose free waits for its batch")
  func pendingHoles() {
    var configuration = PoolConfiguration(
      blocks: 4, blockSize: 16, copyAck: .explicit, cachesPrefixes: true)
    configuration.admission.lazyFreeBatch = 8
    let bench = Bench(configuration)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 16, hashes: [11]))))
    bench.admit(2, 16)
    bench.run(.admit(.init(id: 3, add: .init(id: 3, tokens: 16, hashes: [13]))))
    bench.run(.free([1, 3]))
    #expect(bench.plan(.longestRun).moves.map { [$0.source, $0.target] } == [[2, 1]])
    #expect(ends(bench.run(run(3)).copies) == [[2, 1]])
  }

  @Test("whom to spare of many is looked for up to the command's limit of work, and then refused")
  func work() {
    // Every other block is of a sequence: of 64 adjacent ones 32 have to go, and nobody moves.
    let bench = Bench.singles(256, held: (0..<128).map { 2 * $0 + 1 })
    let before = bench.pool.stateDigest()
    bench.pool.workLimit = 300
    let preempt = run(64, [UInt32(RecoverRung.preempt.rawValue)])
    let seen = bench.run(preempt)
    #expect(seen.refusal == Refusal(.quota, field: .work, limit: 300))
    #expect(seen.preempted == [])
    #expect(bench.pool.stateDigest() == before)
    bench.pool.workLimit = KVPool.maximumWorkPerCommand
    #expect(bench.run(preempt).preempted.count == 32)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("recoveries of a run that do not suffice count what they look at")
  func vain() {
    let bench = Bench.singles(256, held: (0..<128).map { 2 * $0 + 1 })
    bench.run(.forkBlocks((0..<128).map { 2 * $0 + 1 }))
    let vain = TestOperation(run(64))
    _ = bench.apply(TestCommand(operations: [vain]))
    let one = bench.pool.work
    #expect(one > 0)
    bench.pool.workLimit = 1_000
    let seen = bench.apply(TestCommand(operations: Array(repeating: vain, count: 40)))
    #expect(seen.results.first?.refusal.reason == .noRun)
    #expect(seen.results.last?.refusal == Refusal(.quota, field: .work, limit: 1_000))
    #expect(bench.pool.work <= 1_000 + one)
  }
}
