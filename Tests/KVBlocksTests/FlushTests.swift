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

  @Test("where a flush stopped is forgotten when that block goes and comes back within the command")
  func cameBack() {
    var configuration = PoolConfiguration(
      blocks: 8, blockSize: 16, copyAck: .explicit, cachesPrefixes: true)
    configuration.admission.proactiveFreeBlocks = 8
    let bench = Bench(configuration)
    let kinds: [TestOperation.Kind] = [
      .place(1, preferred: [3]), .cacheBlocks([3], [1]), .freeBlocks([3]), .flush,
      .place(2, preferred: [3, 4]), .cacheBlocks([3, 4], [2, 5]), .freeBlocks([4]),
      .freeBlocks([3]), .evictBlocks([3]), .flush,
    ]
    let seen = bench.apply(TestCommand(operations: kinds.map { TestOperation($0) }))
    #expect(seen.results.allSatisfy { $0.refusal == .none })
    #expect((seen.results[3].evicted, seen.results[9].evicted) == (1, 1))
    #expect(bench.pool.stats().cached == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("what a flush is counted as does not depend on where the one before stopped")
  func counted() throws {
    var configuration = PoolConfiguration(
      blocks: 1_000, blockSize: 1, copyAck: .explicit, cachesPrefixes: true)
    configuration.admission.proactiveFreeBlocks = 1_000
    let bench = Bench(configuration)
    bench.pool.evictionsAheadLimit = 800
    bench.run(.allocate(1_000))
    bench.run(.cacheBlocks(Array(1...1_000), (1...1_000).map { UInt64($0) }))
    bench.run(.freeBlocks(Array(1...1_000)))
    bench.run(.flush)
    let other = Bench(try load(dump(bench.pool)))
    other.pool.evictionsAheadLimit = 800
    #expect(bench.run(.flush).evicted == 200)
    #expect(other.run(.flush).evicted == 200)
    #expect(bench.pool.work == other.pool.work)
    // 800 that hold nothing and 200 that are evicted, eight as one.
    #expect(bench.pool.work == 125)
  }

  @Test("the flushes of a command evict so many at most, and the next goes on where they stopped")
  func slices() {
    #expect(KVPool.maximumEvictionsAhead == 65_536)
    let n: UInt32 = 1_000
    for isSplit in [false, true] {
      var configuration = PoolConfiguration(
        blocks: n, blockSize: 1, copyAck: .explicit, cachesPrefixes: true,
        eviction: isSplit ? .lfu : .lru)
      configuration.admission.proactiveFreeBlocks = 950
      let bench = Bench(configuration)
      bench.pool.evictionsAheadLimit = 100
      bench.run(.allocate(n))
      bench.run(.cacheBlocks(Array(1...n), (1...n).map { UInt64($0) }))
      bench.run(.freeBlocks(Array(1...n)))
      var looked: UInt64 = 0
      for slice: UInt32 in 1...9 {
        // Two of a command are no more than one.
        let seen = bench.apply(TestCommand(operations: [.init(.flush), .init(.flush)]))
        #expect(seen.results.map(\.evicted) == [100, 0])
        looked += bench.pool.work
        #expect(bench.pool.evictionDeficit == 950 - 100 * slice)
      }
      #expect(bench.run(.flush).evicted == 50)
      // By eights, all that hold nothing by then and those that go: 100 / 8 + 200 / 8 + ... 900 / 8.
      #expect(isSplit ? looked <= 125 : looked == 560)
      #expect(bench.pool.firstBlock(with: BlockHash(950, 0)) == 0)
      #expect(bench.pool.firstBlock(with: BlockHash(951, 0)) == 951)
      #expect(bench.pool.checkInvariants() == nil)
    }
  }

  @Test("where a flush stopped is forgotten with an undone command, and with the block's place")
  func stopped() {
    let bench = bench(5)
    bench.pool.evictionsAheadLimit = 1
    // 7 and 8 hold nothing; a dry run takes the content off 6 and puts it back.
    _ = bench.apply(TestCommand(isDryRun: true, operations: [.init(.flush)]))
    bench.run(.flush)
    #expect(bench.pool.firstBlock(with: BlockHash(16, 0)) == 0)
    // 7, 8 and 6 are taken, and come back without content before the others, or with some behind them.
    bench.run(.allocate(3))
    bench.run(.cacheBlocks([6], [99]))
    bench.run(.freeBlocks([6, 8, 7]))
    bench.run(.evictBlocks([6]))
    #expect(bench.queue == [8, 7, 5, 4, 3, 2, 1, 6])
    bench.run(.flush)
    bench.run(.flush)
    #expect(bench.pool.firstBlock(with: BlockHash(15, 0)) == 0)
    #expect(bench.pool.firstBlock(with: BlockHash(14, 0)) == 0)
    #expect(bench.pool.firstBlock(with: BlockHash(13, 0)) == 3)
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
