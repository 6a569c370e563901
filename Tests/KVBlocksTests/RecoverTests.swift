import KVBlocks
import Testing

/// The out-of-memory ladder, rung by rung. Blocks of 16 tokens.
@Suite("Recovering from a full pool")
struct RecoverTests {
  private func admit(
    _ bench: Bench, _ id: SequenceID, _ tokens: UInt32, priority: Int32 = 0, hashes: [UInt64] = []
  ) {
    let new = TestOperation.New(id: id, tokens: tokens, priority: priority, hashes: hashes)
    #expect(bench.run(.admit(.init(id: id, add: new))).refusal == .none)
  }

  private func skipped(_ rung: RecoverRung, _ isSufficient: Bool = true) -> RungReport {
    RungReport(rung, isSufficient: isSufficient, isSkipped: true)
  }

  @Test("nothing is done where there is enough, and every rung says so")
  func enough() {
    let bench = Bench(blocks: 8)
    admit(bench, 1, 64)
    let revision = bench.pool.revision
    let seen = bench.run(.recover(4))
    #expect(seen.refusal == .none)
    #expect(seen.reports == [skipped(.evict), skipped(.defragment), skipped(.preempt)])
    #expect(seen.preempted == [])
    #expect(bench.pool.revision == revision)
  }

  @Test("first the content goes of the blocks that will be handed out")
  func evicts() {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    admit(bench, 1, 64, hashes: [11, 12, 13, 14])
    bench.run(.free([1]))
    // 4 blocks that hold nothing, then the chain from its end.
    #expect(bench.queue == [5, 6, 7, 8, 4, 3, 2, 1])
    #expect(bench.run(.recover(4)).reports[0] == skipped(.evict))
    let seen = bench.run(.recover(6))
    #expect(
      seen.reports == [
        RungReport(.evict, evictedBlocks: 2, isSufficient: true, isSkipped: false),
        skipped(.defragment), skipped(.preempt),
      ])
    #expect(bench.queue == [5, 6, 7, 8, 4, 3, 2, 1])
    #expect((bench.pool.stats().cached, bench.pool.stats().free) == (2, 6))
    #expect((bench.pool.stats().evictions, bench.pool.stats().evictionsAhead) == (2, 2))
    #expect(bench.run(.allocate(6)).evicted == 0)
  }

  @Test("then the lowest priority is preempted, and only a set that is enough and no more")
  func preempts() {
    let bench = Bench(blocks: 8)
    admit(bench, 1, 32, priority: 0)
    admit(bench, 2, 32, priority: 5)
    admit(bench, 3, 16, priority: 5)
    admit(bench, 4, 32, priority: 1)
    // 1 of 8 is available. 3 came after 2 and frees 1; 2 frees 2, and then 3 is not needed.
    let seen = bench.run(.recover(3))
    #expect(seen.preempted == [2])
    #expect(
      seen.reports[2] == RungReport(.preempt, freedBlocks: 2, isSufficient: true, isSkipped: false))
    #expect(seen.reports[0] == RungReport(.evict, isSufficient: false, isSkipped: true))
    #expect(bench.state(2) == .preempted)
    #expect(seen.available == 3)
    #expect(bench.run(.recover(6)).preempted == [3, 4])
    #expect(bench.state(1) == .running)
  }

  @Test("nobody is preempted where all together would not be enough")
  func refuses() {
    let bench = Bench(blocks: 8)
    bench.run(.allocate(3))
    admit(bench, 1, 32)
    admit(bench, 2, 48)
    let before = bench.pool.stateDigest()
    let seen = bench.run(.recover(6))
    #expect(seen.refusal == Refusal(.later, needed: 6, available: 0))
    #expect(
      seen.reports == [
        skipped(.evict, false), skipped(.defragment, false),
        RungReport(.preempt, freedBlocks: 5, isSufficient: false, isSkipped: false),
      ])
    #expect(seen.preempted == [])
    #expect(bench.pool.stateDigest() == before)
    #expect(
      bench.run(.recover(9)).refusal == Refusal(.never, needed: 9, available: 0))
  }

  @Test("what is promised stays promised")
  func promises() {
    let bench = Bench(blocks: 8)
    admit(bench, 1, 32)
    admit(bench, 2, 32)
    bench.run(.reserve(Reserve(sequence: 9, blocks: 3)))
    #expect(bench.run(.recover(6)).refusal == Refusal(.later, needed: 6, available: 4, reserved: 3))
    #expect(bench.run(.recover(3)).preempted == [2])
    #expect(bench.run(.allocate(3)).refusal == .none)
  }

  @Test("only the rungs that are named are taken, in their order, and who is to stay stays")
  func choice() {
    let bench = Bench(
      PoolConfiguration(blocks: 6, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    admit(bench, 1, 32, hashes: [11, 12])
    bench.run(.free([1]))
    admit(bench, 2, 32)
    admit(bench, 3, 32)
    #expect(
      bench.run(.recover(3, rungs: [1, 2])).refusal == Refusal(.later, needed: 3, available: 2))
    #expect(
      bench.run(.recover(6, keep: [3])).refusal == Refusal(.later, needed: 6, available: 2))
    let seen = bench.run(.recover(4, rungs: [3, 1], keep: [3, 99]))
    #expect(seen.preempted == [2])
    // The blocks of 2 hold nothing and are in front; the 2 behind them are the old chain.
    #expect(
      seen.reports == [
        RungReport(.preempt, freedBlocks: 2, isSufficient: true, isSkipped: false),
        RungReport(.evict, evictedBlocks: 2, isSufficient: true, isSkipped: false),
      ])
  }

  @Test("a need of nothing, an unknown rung and one named twice are refused by name")
  func invalid() {
    let bench = Bench(blocks: 8)
    admit(bench, 1, 128)
    let before = bench.pool.stateDigest()
    #expect(bench.run(.recover(0)).refusal == Refusal(.invalid, field: .blocksNeeded, limit: 1))
    #expect(bench.run(.recover(1, rungs: [0])).refusal == Refusal(.invalid, field: .rungs))
    #expect(bench.run(.recover(1, rungs: [4])).refusal == Refusal(.invalid, field: .rungs))
    #expect(
      bench.run(.recover(1, rungs: [3, 1, 3])).refusal
        == Refusal(.invalid, field: .rungs, limit: 2))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("a dry run and an aborted command leave everybody running and all content")
  func undone() {
    let bench = Bench(
      PoolConfiguration(blocks: 6, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    admit(bench, 1, 32, hashes: [11, 12])
    bench.run(.free([1]))
    admit(bench, 2, 64)
    let before = bench.pool.stateDigest()
    let dry = bench.apply(TestCommand(isDryRun: true, operations: [.init(.recover(6))]))
    #expect(dry.results[0].preempted == [2])
    #expect(dry.results[0].reports.map(\.evictedBlocks) == [2, 0, 0])
    #expect(bench.pool.stateDigest() == before)
    let aborted = bench.apply(
      TestCommand(
        onRefusal: .abort, operations: [.init(.recover(6)), .init(.allocate(7))]))
    #expect(aborted.refusal.reason == .never)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("in a strategy's order the free blocks are filled up from the cached ones")
  func strategies() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 8, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, strategy: .firstFit))
    admit(bench, 1, 64, hashes: [11, 12, 13, 14])
    bench.run(.free([1]))
    #expect(bench.run(.recover(6)).reports[0].evictedBlocks == 2)
    // The end of the chain went first; what is left is its head.
    #expect(bench.queue == [3, 4, 5, 6, 7, 8, 2, 1])
  }
}
