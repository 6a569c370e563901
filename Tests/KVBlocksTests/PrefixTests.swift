import KVBlocks
import Testing

/// vLLM's rules of prefix caching, with the numbers that its own code gives. Blocks have 16 tokens
/// unless said.
@Suite("the prefix cache gives vLLM's answers")
struct PrefixTests {
  private func bench(
    _ blocks: UInt32, blockSize: UInt32 = 16, eagle: Bool = false, watermark: Double = 0,
    most: UInt32 = 0
  ) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: blockSize, copyAck: .explicit, cachesPrefixes: true,
        eagle: eagle, watermark: watermark, maxModelTokens: most))
  }

  /// A sequence of the document whose block i has the hash i + 1.
  private func new(
    _ id: SequenceID, _ tokens: UInt32, from first: UInt64 = 1, size: UInt32 = 16,
    skips: Bool = false
  ) -> TestOperation.New {
    let full = UInt64(tokens / size)
    return .init(
      id: id, tokens: tokens, hashes: (0..<full).map { first + $0 }, skips: skips)
  }

  @discardableResult
  private func admit(_ bench: Bench, _ id: SequenceID, _ tokens: UInt32) -> Seen.Result {
    bench.run(.admit(.init(id: id, add: new(id, tokens))))
  }

  // MARK: Queue and hits

  @Test("50 tokens freed leave the queue 4 5 6 7 8 9 10 3 2 1, and the pool as free as it was")
  func queueOrder() {
    let bench = bench(10)
    #expect(admit(bench, 1, 50).newBlocks == [1, 2, 3, 4])
    #expect(bench.run(.free([1])).freed == 4)
    #expect(bench.queue == [4, 5, 6, 7, 8, 9, 10, 3, 2, 1])
    let stats = bench.pool.stats()
    #expect(stats.cached == 3)
    #expect(stats.free == 7)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a fully cached prompt of 48 hits 32, one of 49 hits 48: a token is left to compute")
  func lastTokenRule() {
    let bench = bench(10)
    admit(bench, 1, 48)
    bench.run(.free([1]))
    let whole = admit(bench, 2, 48)
    #expect(whole.cachedTokens == 32)
    #expect(whole.cached == [1, 2])
    #expect(whole.scheduled == 16)
    #expect(whole.newBlocks == [4])
    bench.run(.free([2]))
    let longer = admit(bench, 3, 49)
    #expect(longer.cachedTokens == 48)
    #expect(longer.scheduled == 1)
  }

  @Test("one block of tokens or fewer hits nothing")
  func oneBlock() {
    let bench = bench(4)
    admit(bench, 1, 16)
    bench.run(.free([1]))
    #expect(admit(bench, 2, 16).cachedTokens == 0)
    bench.run(.free([2]))
    #expect(admit(bench, 3, 17).cachedTokens == 16)
  }

  @Test("EAGLE drops the last block that matched")
  func eagle() {
    let bench = bench(10, eagle: true)
    admit(bench, 1, 49)
    bench.run(.free([1]))
    #expect(admit(bench, 2, 49).cachedTokens == 32)
  }

  @Test("a lookup alone changes nothing, not even the order of the queue")
  func lookup() throws {
    let bench = bench(10)
    admit(bench, 1, 48)
    bench.run(.free([1]))
    bench.run(.add(new(2, 49)))
    let before = bench.pool.stateDigest()
    var list = FlatList<BlockID>()
    let found = bench.pool.lookup(session: 0, sequence: 2, into: &list)
    #expect(found == bench.pool.lookup(session: 0, sequence: 2, into: &list))
    #expect(found?.cachedTokens == 48)
    #expect(found?.evictableBlocks == 3)
    #expect(found?.blocksNeeded == 1)
    #expect(Array(list.elements) == [1, 2, 3])
    #expect(bench.pool.lookup(session: 0, sequence: 9, into: &list) == nil)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.queue == [4, 5, 6, 7, 8, 9, 10, 3, 2, 1])
  }

  @Test("who skips the lookup hits nothing, but is cached for others and not counted")
  func skips() {
    let bench = bench(10)
    admit(bench, 1, 48)
    #expect(bench.run(.admit(.init(id: 2, add: new(2, 48, skips: true)))).cachedTokens == 0)
    #expect(bench.pool.twins(of: 1) == [1, 4])
    #expect(bench.pool.stats().prefixQueryTokens == 48)
  }

  @Test("blocks still held are shared by a hit")
  func sharedHit() {
    let bench = bench(10)
    admit(bench, 1, 48)
    #expect(admit(bench, 2, 40).cached == [1, 2])
    #expect(bench.table(2) == [1, 2, 4])
    #expect(bench.pool.block(1).refCount == 2)
    #expect(bench.pool.stats().shared == 2)
    #expect(bench.run(.free([1])).freed == 1)
    #expect(bench.queue == [5, 6, 7, 8, 9, 10, 3])
  }

  @Test("the same content twice stays twice; the first survivor answers")
  func duplicates() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 32), delays: true)))
    bench.run(.admit(.init(id: 2, add: new(2, 32), delays: true)))
    #expect(bench.table(2) == [3, 4])
    bench.run(.commit(2))
    bench.run(.commit(1))
    #expect(bench.pool.twins(of: 1) == [3, 1])
    bench.run(.free([2]))
    #expect(admit(bench, 3, 33).cached == [3, 4])
    #expect(bench.run(.evictBlocks([3])).affected == 1)
    #expect(admit(bench, 4, 33).cached == [1, 4])
  }

  @Test("behind a hole nothing is hit, and computing it again makes duplicates of the rest")
  func hole() {
    let bench = bench(10)
    admit(bench, 1, 48)
    bench.run(.free([1]))
    bench.run(.evictBlocks([1]))
    #expect(admit(bench, 2, 49).cachedTokens == 0)
    // 4, 5, 6 now hold the document, 2 and 3 still their old part of it.
    #expect(bench.table(2) == [4, 5, 6, 7])
    #expect(bench.pool.twins(of: 2) == [2, 5])
    bench.run(.free([2]))
    #expect(admit(bench, 3, 49).cached == [4, 2, 3])
  }

  @Test("eviction takes the least recently freed first, and of a chain the tail")
  func leastRecentlyUsed() {
    let bench = bench(6)
    admit(bench, 1, 48)
    bench.run(.admit(.init(id: 2, add: new(2, 48, from: 100))))
    bench.run(.free([1]))
    bench.run(.free([2]))
    #expect(bench.queue == [3, 2, 1, 6, 5, 4])
    // A hit and another free make the first chain's head the latest.
    #expect(admit(bench, 3, 17).cached == [1])
    #expect(bench.run(.free([3])).freed == 2)
    #expect(bench.queue == [3, 2, 6, 5, 4, 1])
    let taken = bench.run(.allocate(3))
    #expect(taken.newBlocks == [3, 2, 6])
    #expect(taken.evicted == 2)
    #expect(bench.pool.stats().evictions == 3)
  }

  @Test("a private full block is given back to the front when it was never cached")
  func privateFullBlock() {
    let bench = bench(10)
    // Known by its length alone, so that there is nothing to hit.
    bench.admit(1, 32)
    bench.run(.free([1]))
    #expect(bench.queue.prefix(3) == [2, 1, 3])
    bench.run(.admit(.init(id: 2, add: new(2, 32), delays: true)))
    #expect(bench.table(2) == [2, 1])
    bench.run(.free([2]))
    #expect(bench.queue.prefix(3) == [1, 2, 3])
    #expect(bench.pool.stats().cached == 0)
  }

  // MARK: The fit test

  @Test("hits that nobody holds are charged: 4 free, 2 of them hit, 3 new is 5")
  func evictableHitsAreCharged() {
    let bench = bench(6)
    admit(bench, 1, 32)
    bench.run(.free([1]))
    bench.run(.allocate(2))
    #expect(bench.queue == [5, 6, 2, 1])
    let refused = bench.run(.admit(.init(id: 2, add: new(2, 80))))
    #expect(
      refused.refusal == Refusal(.later, needed: 5, available: 4, evictable: 2, sequence: 2))
    #expect(admit(bench, 2, 64).newBlocks == [5, 6])
    #expect(bench.table(2) == [1, 2, 5, 6])
  }

  @Test("hits that somebody holds are not charged")
  func heldHitsAreFree() {
    let bench = bench(6)
    admit(bench, 1, 48)
    #expect(admit(bench, 2, 96).newBlocks == [4, 5, 6])
    #expect(bench.table(2) == [1, 2, 3, 4, 5, 6])
  }

  @Test("hits leave the queue before anything is allocated, so that none is its own victim")
  func hitsAreTouchedFirst() {
    let bench = bench(4)
    admit(bench, 1, 48)
    bench.run(.free([1]))
    #expect(bench.queue == [4, 3, 2, 1])
    let again = admit(bench, 2, 64)
    #expect(again.cached == [1, 2, 3])
    #expect(again.newBlocks == [4])
    #expect(again.evicted == 0)
  }

  @Test("the watermark is int(watermark x (N + 1)), for admissions, while anything runs")
  func watermark() {
    // int(0.1 * 10) = 1 only with the null block counted.
    let bench = bench(9, watermark: 0.1)
    #expect(bench.pool.configuration.watermarkBlocks == 1)
    // Nothing runs: all may be taken.
    #expect(admit(bench, 1, 144).newBlocks.count == 9)
    bench.run(.free([1]))
    bench.run(.resetPrefixCache)
    #expect(bench.run(.admit(.init(id: 1, add: new(1, 16)))).newBlocks.count == 1)
    let other = new(2, 128, from: 500)
    #expect(
      bench.run(.admit(.init(id: 2, add: other))).refusal
        == Refusal(.later, needed: 8, available: 8, watermark: 1, sequence: 2))
    #expect(bench.run(.admit(.init(id: 2, add: other, ignoresWatermark: true))).scheduled == 128)
    #expect(PoolConfiguration(blocks: 99, blockSize: 1, watermark: 0.019).watermarkBlocks == 1)
  }

  @Test("the watermark never holds back what runs")
  func watermarkAndRunning() {
    let bench = bench(4, watermark: 0.5)
    admit(bench, 1, 16)
    #expect(bench.run(.extend(Extend(sequence: 1, appendTokens: 48))).newBlocks == [2, 3, 4])
  }

  @Test("no sequence has more slots than the model has tokens")
  func maxModelTokens() {
    let bench = bench(10, most: 40)
    #expect(
      bench.run(.add(new(1, 41))).refusal
        == Refusal(.invalid, field: .tokenCount, limit: 40, sequence: 1))
    #expect(
      bench.run(.admit(.init(id: 1, add: new(1, 40), lookahead: 20))).newBlocks.count == 3)
    #expect(
      bench.run(.append(1, 1)).refusal
        == Refusal(.invalid, field: .tokenCount, limit: 40, sequence: 1))
  }

  @Test("external tokens get slots behind the hits and are not scheduled")
  func external() {
    let bench = bench(10)
    admit(bench, 1, 32)
    bench.run(.free([1]))
    let result = bench.run(.admit(.init(id: 2, add: new(2, 80), delays: true, external: 32)))
    #expect(result.cachedTokens == 32)
    #expect(result.scheduled == 16)
    #expect(result.newBlocks.count == 3)
    #expect(bench.pool.describe(session: 0, sequence: 2)?.computedTokens == 80)
  }

  // MARK: When blocks are cached

  @Test("lookahead gives slots and no entries: 16 tokens and 3 ahead are 2 blocks, 1 cached")
  func lookahead() {
    let bench = bench(10)
    #expect(bench.run(.admit(.init(id: 1, add: new(1, 16), lookahead: 3))).newBlocks == [1, 2])
    #expect(bench.pool.content(1) != nil)
    #expect(bench.pool.content(2) == nil)
    #expect(bench.run(.extend(Extend(sequence: 1, appendTokens: 1))).newBlocks == [])
  }

  @Test("the token that fills a block caches it as it is scheduled")
  func decodeCaches() {
    let bench = bench(10)
    admit(bench, 1, 31)
    #expect(bench.pool.content(2) == nil)
    bench.run(.decode(.init(ids: [1], hashes: [2])))
    #expect(bench.pool.content(2) == BlockHash(2, 0))
    bench.run(.extend(Extend(sequence: 1, appendTokens: 16), hashes: [3]))
    #expect(bench.pool.content(3) == BlockHash(3, 0))
  }

  @Test("a chunk caches the blocks that it fills")
  func chunks() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 64), maxTokensNow: 40)))
    #expect(bench.pool.describe(session: 0, sequence: 1)?.cachedBlocks == 2)
    bench.run(.extend(Extend(sequence: 1)))
    #expect(bench.pool.describe(session: 0, sequence: 1)?.cachedBlocks == 4)
  }

  @Test("without delay a prompt can be hit as soon as it is admitted, with it when committed")
  func commits() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 48), delays: true)))
    #expect(admit(bench, 2, 49).cachedTokens == 0)
    bench.run(.free([2]))
    bench.run(.evictBlocks([4, 5, 6]))
    let part = bench.run(.commit(1, 40))
    #expect(part.affected == 2)
    #expect(part.tokens == 40)
    #expect(admit(bench, 3, 49).cachedTokens == 32)
    #expect(bench.run(.commit(1)).affected == 1)
    #expect(bench.run(.commit(1)).affected == 0)
    #expect(
      bench.run(.commit(1, 49)).refusal
        == Refusal(.invalid, field: .tokenCount, limit: 48, sequence: 1))
  }

  @Test("a decode commits what earlier steps scheduled, if it says so")
  func commitsPrevious() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 31), delays: true)))
    bench.run(
      .decode(.init(ids: [1], hashes: [2], delays: true, commitsPrevious: true)))
    #expect(bench.pool.content(1) != nil)
    #expect(bench.pool.content(2) == nil)
    bench.run(.decode(.init(ids: [1], delays: true, commitsPrevious: true)))
    #expect(bench.pool.content(2) != nil)
  }

  @Test("preempted with 41 tokens and 2 full blocks, a sequence hits 32, takes 1, recomputes 9")
  func resume() {
    let bench = bench(10)
    admit(bench, 1, 40)
    bench.run(.decode(.init(ids: [1])))
    bench.run(.preempt([1]))
    #expect(bench.queue == [3, 4, 5, 6, 7, 8, 9, 10, 2, 1])
    let resumed = bench.run(.admit(.init(id: 1)))
    #expect(resumed.cachedTokens == 32)
    #expect(resumed.newBlocks == [3])
    #expect(resumed.scheduled == 9)
    let stats = bench.pool.stats()
    #expect(stats.prefixQueryTokens == 40)
    #expect(stats.prefixHitTokens == 0)
    #expect(stats.preemptedQueryTokens == 41)
    #expect(stats.preemptedHitTokens == 32)
  }

  @Test("lookups are counted once, at the admission that succeeds")
  func countedOnce() {
    let bench = bench(4)
    admit(bench, 1, 48)
    bench.run(.add(new(2, 80)))
    #expect(bench.run(.admit(.init(id: 2))).refusal.reason == .never)
    bench.run(.add(new(3, 64)))
    bench.run(.allocate(1))
    #expect(bench.run(.admit(.init(id: 3))).refusal.reason == .later)
    #expect(bench.pool.stats().prefixQueryTokens == 48)
  }

  // MARK: Forgetting

  @Test("a block whose content was taken away is not cached again")
  func neverCachedAgain() {
    let bench = bench(10)
    admit(bench, 1, 48)
    #expect(bench.run(.evictBlocks([2, 2, 9])).affected == 1)
    bench.run(.extend(Extend(sequence: 1, appendTokens: 16), hashes: [4]))
    #expect(bench.run(.commit(1)).affected == 0)
    #expect(bench.pool.content(2) == nil)
    #expect(bench.pool.content(4) != nil)
    bench.run(.free([1]))
    #expect(bench.queue == [2, 5, 6, 7, 8, 9, 10, 4, 3, 1])
  }

  @Test("the cache is reset only while no block is held, and the queue keeps its order")
  func reset() {
    let bench = bench(10)
    admit(bench, 1, 50)
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.resetPrefixCache).refusal == Refusal(.wrongState, needed: 10, available: 6))
    #expect(bench.pool.stateDigest() == before)
    bench.run(.free([1]))
    #expect(bench.run(.resetPrefixCache).affected == 3)
    #expect(bench.queue == [4, 5, 6, 7, 8, 9, 10, 3, 2, 1])
    #expect(bench.pool.stats().cached == 0)
    #expect(admit(bench, 2, 50).cachedTokens == 0)
  }

  @Test("rewinding into a cached block that is held alone takes its content away")
  func rewindAlone() {
    let bench = bench(10)
    admit(bench, 1, 48)
    bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 20)))
    #expect(bench.pool.content(1) != nil)
    #expect(bench.pool.content(2) == nil)
    #expect(bench.pool.content(3) == nil)
    bench.run(.extend(Extend(sequence: 1)))
    #expect(bench.pool.content(2) == BlockHash(2, 0))
    // Other tokens, another hash.
    bench.run(.rewind(Rewind(sequence: 1, dropTokens: 1)))
    bench.run(.extend(Extend(sequence: 1, appendTokens: 1), hashes: [33]))
    #expect(bench.pool.content(3) == BlockHash(33, 0))
  }

  @Test("rewinding into a shared block leaves it, and the next write is a copy without a hash")
  func rewindShared() {
    let bench = bench(10)
    admit(bench, 1, 48)
    bench.run(.fork(1, [2]))
    bench.run(.rewind(Rewind(sequence: 2, dropTokens: 4)))
    #expect(bench.pool.content(3) == BlockHash(3, 0))
    let written = bench.run(.extend(Extend(sequence: 2, appendTokens: 1)))
    #expect(written.copies.map(\.target) == [4])
    #expect(bench.pool.content(4) == nil)
    #expect(bench.pool.content(3) == BlockHash(3, 0))
    bench.run(.extend(Extend(sequence: 2, appendTokens: 3), hashes: [77]))
    #expect(bench.pool.content(4) == BlockHash(77, 0))
  }

  @Test("what was shared at the rewind and is alone at the write loses its content then")
  func rewindThenAlone() {
    let bench = bench(10)
    admit(bench, 1, 48)
    bench.run(.fork(1, [2]))
    bench.run(.rewind(Rewind(sequence: 2, dropTokens: 4)))
    bench.run(.free([1]))
    #expect(bench.pool.content(3) == BlockHash(3, 0))
    #expect(bench.run(.extend(Extend(sequence: 2, appendTokens: 1))).copies == [])
    #expect(bench.pool.content(3) == nil)
  }

  @Test("a fork knows the parent's hashes and what of them is cached")
  func forks() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 47), delays: true)))
    bench.run(.fork(1, [2]))
    bench.run(.decode(.init(ids: [1, 2], hashes: [3, 9], hashCounts: [1, 1])))
    // The shared blocks are cached once; the tails are two.
    #expect(bench.pool.content(1) == BlockHash(1, 0))
    #expect(bench.pool.twins(of: 2) == [2])
    #expect(bench.pool.firstBlock(with: BlockHash(3, 0)) == bench.table(1)[2])
    #expect(bench.pool.firstBlock(with: BlockHash(9, 0)) == bench.table(2)[2])
  }

  // MARK: Bad input

  @Test("hashes come for every block that is full, or not at all")
  func wrongHashes() {
    let bench = bench(10)
    let short = TestOperation.New(id: 1, tokens: 48, hashes: [1, 2])
    #expect(
      bench.run(.add(short)).refusal
        == Refusal(.invalid, field: .blockHashes, limit: 96, sequence: 1))
    bench.run(.add(.init(id: 1, tokens: 40)))
    #expect(
      bench.run(.append(1, 8, hashes: [3])).refusal
        == Refusal(.invalid, field: .blockHashes, limit: 96, sequence: 1))
    #expect(bench.run(.append(1, 8, hashes: [1, 2, 3])).tokens == 48)
    bench.run(.admit(.init(id: 1)))
    #expect(
      bench.run(.decode(.init(ids: [1], hashes: [4]))).refusal
        == Refusal(.invalid, field: .blockHashes, limit: 0))
    #expect(
      bench.run(.decode(.init(ids: [1], hashes: [4], hashCounts: [1]))).refusal
        == Refusal(.invalid, field: .hashCounts, limit: 0, sequence: 1))
    let plain = Bench(blocks: 10)
    #expect(
      plain.run(.add(new(1, 48))).refusal
        == Refusal(.invalid, field: .blockHashes, limit: 0, sequence: 1))
  }
}
