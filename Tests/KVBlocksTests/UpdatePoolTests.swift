import KVBlocks
import Testing

@Suite("some options of a pool change while it is used")
struct UpdatePoolTests {
  @Test("a new watermark holds from the next admission on")
  func watermark() {
    let bench = Bench(blocks: 9)
    bench.admit(1, 16)
    #expect(bench.run(.updatePool(PoolUpdate(watermark: 0.2))).refusal == .none)
    #expect(bench.pool.configuration.watermark == 0.2)
    #expect(bench.pool.revision == 2)
    // 2 of 9 + 1 blocks are kept back from the 8 that are available.
    #expect(
      bench.admit(2, 16 * 7).refusal
        == Refusal(.later, needed: 7, available: 8, watermark: 2, sequence: 2))
    bench.run(.updatePool(PoolUpdate(watermark: 0)))
    #expect(bench.admit(2, 16 * 7).refusal == .none)
  }

  @Test("a share outside 0 ..< 1 is refused, and what is so already is no change")
  func refused() {
    let bench = Bench(blocks: 9)
    for wrong in [-0.1, 1, .nan, .infinity] {
      #expect(
        bench.run(.updatePool(PoolUpdate(watermark: wrong))).refusal
          == Refusal(.invalid, field: .watermark))
    }
    bench.run(.updatePool(PoolUpdate(watermark: -0.0)))
    bench.run(.updatePool(PoolUpdate()))
    #expect(bench.pool.revision == 0)
  }

  @Test("a dry run changes nothing, an aborted command is undone, another revision is refused")
  func undone() {
    let bench = Bench(blocks: 9)
    let before = bench.pool.stateDigest()
    let update = TestOperation(.updatePool(PoolUpdate(watermark: 0.5)))
    #expect(bench.apply(TestCommand(isDryRun: true, operations: [update])).refusal == .none)
    #expect(bench.pool.stateDigest() == before)
    let aborted = TestCommand(
      operations: [update, TestOperation(.allocate(10), onRefusal: .abort)])
    #expect(bench.apply(aborted).refusal.reason == .never)
    #expect(bench.pool.stateDigest() == before)
    #expect(
      bench.apply(TestCommand(ifRevision: 5, operations: [update])).refusal.reason
        == .revisionMoved)
    #expect(bench.pool.configuration.watermark == 0)
  }
}
