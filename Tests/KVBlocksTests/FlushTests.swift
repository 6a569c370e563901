import KVBlocks
import Testing

/// Evicting ahead of need, and never within an allocation. Blocks of 16 tokens.
@Suite("Proactive eviction")
struct FlushTests {
  private func bench(_ keep: UInt32, strategy: AllocationStrategy = .freeQueue) -> Bench {
    var configuration = PoolConfiguration(
      blocks: 8, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, strategy: strategy)
    configuration.admission.proactiveFreeBlocks = keep
    let bench = Bench(configuration)
    let new = TestOperation.New(id: 1, tokens: 96, hashes: [11, 12, 13, 14, 15, 16])
    bench.run(.admit(.init(id: 1, add: new)))
    bench.run(.free([1]))
    return bench
  }

  @Test("the deficit is evicted, and no more, from the ends of the chains")
  func deficit() {
    let bench = bench(5)
    // 2 of 8 hold nothing: 3 more are to.
    #expect(bench.queue == [7, 8, 6, 5, 4, 3, 2, 1])
    #expect(bench.pool.evictionDeficit == 3)
    let revision = bench.pool.revision
    let seen = bench.run(.flush)
    #expect((seen.evicted, seen.freed, seen.available) == (3, 0, 8))
    #expect(bench.pool.revision == revision + 1)
    #expect(bench.queue == [7, 8, 6, 5, 4, 3, 2, 1])
    #expect((bench.pool.stats().free, bench.pool.stats().cached) == (5, 3))
    #expect(bench.pool.stats().evictionsAhead == 3)
    #expect(bench.pool.firstBlock(with: BlockHash(13, 0)) == 3)
    #expect(bench.pool.firstBlock(with: BlockHash(14, 0)) == 0)
    // Now nothing is left to do.
    #expect(bench.pool.evictionDeficit == 0)
    #expect(bench.run(.flush).evicted == 0)
    #expect(bench.pool.revision == revision + 1)
    #expect(bench.run(.allocate(5)).evicted == 0)
  }

  @Test("an allocation evicts what it needs and nothing for later")
  func neverInside() {
    let bench = bench(5)
    #expect(bench.run(.allocate(3)).evicted == 1)
    #expect(bench.pool.stats().evictionsAhead == 0)
    // Nothing is free now; all 5 that are left are evicted.
    #expect(bench.pool.evictionDeficit == 5)
    #expect(bench.run(.flush).evicted == 5)
    #expect(bench.pool.evictionDeficit == 0)
  }

  @Test("in a strategy's order the evicted ones join the free ones")
  func strategies() {
    let bench = bench(5, strategy: .firstFit)
    #expect(bench.run(.flush).evicted == 3)
    #expect(bench.queue == [4, 5, 6, 7, 8, 3, 2, 1])
  }

  @Test("how many are kept free can be changed, up to the pool's blocks")
  func update() {
    let bench = bench(0)
    #expect(bench.pool.evictionDeficit == 0)
    bench.run(.updatePool(PoolUpdate(proactiveFreeBlocks: 4)))
    #expect(bench.pool.evictionDeficit == 2)
    #expect(
      bench.run(.updatePool(PoolUpdate(proactiveFreeBlocks: 9))).refusal
        == Refusal(.invalid, field: .proactiveFreeBlocks, limit: 8))
    let plain = Bench(blocks: 8)
    #expect(
      plain.run(.updatePool(PoolUpdate(proactiveFreeBlocks: 1))).refusal
        == Refusal(.invalid, field: .proactiveFreeBlocks, limit: 0))
    _ = bench.apply(
      TestCommand(isDryRun: true, operations: [.init(.flush)]))
    #expect(bench.pool.evictionDeficit == 2)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
