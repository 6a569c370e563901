import KVBlocks
import Testing

/// Victims worked out by hand. Blocks 1, 2, 3 ... have the contents 1, 2, 3 ... throughout.
@Suite("cached blocks are evicted in the order of the pool's policy")
struct EvictionTests {
  /// A pool whose blocks are all cached and free; freed in the order of their ids.
  private func full(_ policy: EvictionPolicy, _ blocks: UInt32 = 6) -> Bench {
    let bench = Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, hashBytes: 16,
        eviction: policy))
    bench.run(.allocate(blocks))
    bench.run(.cacheBlocks((1...blocks).map { $0 }, (1...UInt64(blocks)).map { $0 }))
    bench.run(.freeBlocks((1...blocks).map { $0 }))
    return bench
  }

  private func hit(_ bench: Bench, _ content: UInt64, times: Int = 1) {
    for _ in 0..<times {
      let found = bench.run(.acquire([content], 0)).cached
      bench.run(.freeBlocks(found))
    }
  }

  /// Takes a block from a pool in which all are cached, says which, and keeps it.
  private func evict(_ bench: Bench) -> BlockID {
    let taken = bench.run(.allocate(1))
    #expect(taken.evicted == 1)
    return taken.newBlocks[0]
  }

  @Test("every policy takes free blocks before it evicts, in the queue's order")
  func freeFirst() {
    for policy in [EvictionPolicy.lru, .lfu, .s3FIFO, .priority] {
      let bench = full(policy)
      bench.run(.evictBlocks([4, 2]))
      let free = policy == .lru ? [1, 2, 3, 4, 5, 6] as [BlockID] : [2, 4, 1, 3, 5, 6]
      #expect(bench.queue == free, "\(policy)")
      #expect(bench.pool.checkInvariants() == nil)
    }
  }

  @Test("lru: the longest unused goes first, and a table is evicted from its end")
  func lru() {
    let bench = full(.lru)
    hit(bench, 2)
    #expect(bench.queue == [1, 3, 4, 5, 6, 2])
    #expect((0..<6).map { _ in evict(bench) } == [1, 3, 4, 5, 6, 2])
  }

  @Test("lfu: the least hit goes first, of equals the longest unused")
  func lfu() {
    let bench = full(.lfu)
    hit(bench, 1, times: 2)
    hit(bench, 3)
    hit(bench, 2)
    // Hits: 1 twice, 2 and 3 once (3 used before 2), the others never.
    #expect(bench.queue == [4, 5, 6, 3, 2, 1])
    // A hit on a block that is held counts as well.
    bench.run(.acquire([4], 0))
    hit(bench, 4, times: 2)
    bench.run(.freeBlocks([4]))
    #expect(bench.queue == [5, 6, 3, 2, 1, 4])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("lfu: a block that was hit often once is overtaken by those that come later")
  func aging() {
    let bench = full(.lfu, 4)
    hit(bench, 1, times: 3)
    hit(bench, 2)
    // Ranks 3, 1, 0, 0. The victims are 3 and 4 at age 0, then 2, which makes the age 1.
    #expect([evict(bench), evict(bench), evict(bench)] == [3, 4, 2])
    bench.run(.cacheBlocks([3, 4], [13, 14]))
    bench.run(.freeBlocks([3, 4]))
    // They come with rank 1, and with one hit 2 and then 3: as much as block 1, which was used before.
    #expect(bench.queue == [3, 4, 1])
    hit(bench, 13)
    hit(bench, 14, times: 2)
    #expect(bench.queue == [3, 1, 4])
  }

  @Test(
    "a cached block that is moved to counts as evicted by the policy, in whose order plans take it")
  func movedTo() {
    let bench = full(.lfu, 4)
    #expect(evict(bench) == 1)
    bench.run(.freeBlocks([1]))
    bench.admit(1, 16)
    bench.run(.applyDefragment(bench.pool.revision, [.init(source: 1, target: 3)]))
    #expect(bench.pool.stats().evictionsByPolicy == [0, 0, 2, 0, 0])
    #expect(bench.run(.acquire([3], 0)).cached == [])
    #expect(bench.queue == [2, 4])
  }

  @Test("s3-fifo: what was hit twice moves to the main queue, the rest goes in order of arrival")
  func small() {
    let bench = full(.s3FIFO)
    hit(bench, 1)
    hit(bench, 2, times: 2)
    // A hit moves nothing: 1 goes first, 2 is passed over to the main queue, and goes when the small
    // one has less than a tenth: here when it is empty.
    #expect(bench.queue == [1, 3, 4, 5, 6, 2])
    #expect((0..<6).map { _ in evict(bench) } == [1, 3, 4, 5, 6, 2])
  }

  @Test("s3-fifo: while the small queue has less than a tenth, the main queue gives the victims")
  func tenth() {
    let bench = full(.s3FIFO, 20)
    for content in 1...19 as ClosedRange<UInt64> { hit(bench, content, times: 2) }
    // 1 ... 19 move to the main queue. The small one keeps 20: a tenth of ten blocks, not of eleven.
    let order = Array(1...10) + [20] + Array(11...19) as [BlockID]
    #expect(bench.queue == order)
    #expect((0..<20).map { _ in evict(bench) } == order)
    #expect(bench.pool.stats().evictionsByPolicy == [0, 0, 0, 20, 0])
  }

  @Test(
    "s3-fifo: a victim passes over 64 blocks at most, then the one of these with the fewest hits")
  func passed() {
    let bench = full(.s3FIFO, 200)
    for content in 1...200 as ClosedRange<UInt64> { hit(bench, content, times: 3) }
    hit(bench, 1)
    // All move to the main queue, 64 of them for the first victim. All had three hits there, so it is
    // the first of them; 2 ... 64 stand in the main queue without hits, and are a quarter.
    #expect(evict(bench) == 1)
    // The small one has 136 of 199. The next 64 of it pass over, then 65 goes.
    #expect(evict(bench) == 65)
    // 72 of 198 are left in the small one. 53 of them pass over, then it has less than a tenth: 2 is the
    // oldest of the main one.
    #expect(evict(bench) == 2)
    #expect(evict(bench) == 3)
    #expect(bench.pool.checkInvariants() == nil)
    // A block with fewer hits than the others before it.
    let other = full(.s3FIFO, 200)
    for content in 1...200 as ClosedRange<UInt64> {
      hit(other, content, times: content == 20 ? 2 : 3)
    }
    #expect(other.queue.first == 20)
    #expect(evict(other) == 20)
    #expect(other.queue.first == 65)
  }

  @Test("s3-fifo: a dry run passes over no more the second time, however often all were hit")
  func dry() {
    for blocks: UInt32 in [1_000, 4_000] {
      let bench = full(.s3FIFO, blocks)
      for _ in 0..<3 {
        bench.run(.acquire((1...UInt64(blocks)).map { $0 }, 0))
        bench.run(.freeBlocks((1...blocks).map { $0 }))
      }
      let before = bench.pool.stateDigest()
      for _ in 0..<2 {
        _ = bench.apply(TestCommand(isDryRun: true, operations: [.init(.allocate(1))]))
        #expect(bench.pool.work == 64)
      }
      #expect(bench.pool.stateDigest() == before)
      #expect(bench.queue.first == evict(bench))
    }
  }

  @Test("s3-fifo: ghosts are as many as nine tenths of the blocks, and the oldest goes first")
  func fewGhosts() {
    let bench = full(.s3FIFO, 10)
    #expect((0..<10).map { _ in evict(bench) } == Array(1...10))
    bench.run(.cacheBlocks([1, 2], [1, 2]))
    bench.run(.freeBlocks([2, 1]))
    // 2 is remembered and came to the main queue; of 1, evicted before nine others, nobody knows.
    #expect(bench.queue == [1, 2])
  }

  @Test("s3-fifo: content that was evicted lately comes back into the main queue")
  func ghosts() {
    let bench = full(.s3FIFO, 4)
    #expect([evict(bench), evict(bench)] == [1, 2])
    // Content 1 again, in block 2, and something new, in block 1, both younger than 3 and 4.
    bench.run(.cacheBlocks([2, 1], [1, 99]))
    bench.run(.freeBlocks([2, 1]))
    // Small: 3, 4, 1. Main: 2.
    #expect(bench.queue == [3, 4, 1, 2])
    // In the main queue each hit is one more round, behind what has none.
    hit(bench, 1)
    hit(bench, 99, times: 2)
    #expect(bench.queue == [3, 4, 1, 2])
    // 1 moves behind 2; 2 goes round once; then 1 goes before it.
    #expect((0..<4).map { _ in evict(bench) } == [3, 4, 1, 2])
    #expect(bench.pool.checkInvariants() == nil)
  }

  /// One sequence of a full block with its range, freed at once: block `id` has content `id`.
  private func keep(
    _ bench: Bench, _ id: UInt64, priority: UInt32, ttl: UInt64 = 0, now: UInt64 = 0
  ) {
    let new = TestOperation.New(
      id: id, tokens: 16, hashes: [id],
      retention: [RetentionRange(priority: priority, timeToLive: ttl)])
    _ = bench.apply(
      TestCommand(
        now: now,
        operations: [
          TestOperation(.admit(.init(id: id, add: new))), TestOperation(.free([id])),
        ]))
  }

  @Test("priority: the lowest goes first, of equals the longest unused; nobody's word is 35")
  func priority() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 5, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, eviction: .priority))
    keep(bench, 1, priority: 80)
    keep(bench, 2, priority: 10)
    keep(bench, 3, priority: 35)
    bench.run(.admit(.init(id: 4, add: .init(id: 4, tokens: 16, hashes: [4]))))
    bench.run(.free([4]))
    keep(bench, 5, priority: 10)
    #expect(bench.queue == [2, 5, 3, 4, 1])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("priority: when its time is over a block falls to the default, in its place by last use")
  func timeToLive() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 4, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, eviction: .priority))
    keep(bench, 1, priority: 90, ttl: 100, now: 1_000)
    keep(bench, 2, priority: 35, now: 1_010)
    keep(bench, 3, priority: 5, ttl: 20, now: 1_020)
    #expect(bench.queue == [4, 3, 2, 1])
    func at(_ now: UInt64) -> [BlockID] {
      _ = bench.apply(TestCommand(now: now, operations: [TestOperation(.pin([77]))]))
      return bench.queue
    }
    #expect(at(1_039) == [4, 3, 2, 1])
    // 3 is used later than 2, both at 35 now.
    #expect(at(1_040) == [4, 2, 3, 1])
    let revision = bench.pool.revision
    #expect(at(1_099) == [4, 2, 3, 1] && bench.pool.revision == revision)
    #expect(at(1_100) == [4, 1, 2, 3] && bench.pool.revision == revision + 1)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test(
    "priority: ranges go by a block's first token, the last one counts, and the last user decides")
  func ranges() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 6, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, eviction: .priority))
    let ranges = [
      RetentionRange(firstToken: 0, lastToken: 31, priority: 90),
      RetentionRange(firstToken: 17, lastToken: 40, priority: 1),
      RetentionRange(firstToken: 0, lastToken: 3, priority: 60),
    ]
    bench.run(
      .admit(.init(id: 1, add: .init(id: 1, tokens: 49, hashes: [1, 2, 3], retention: ranges))))
    bench.run(.free([1]))
    // Block 1 at 60, block 2 at 90, block 3 (token 32) at 1. 4 is the tail without content.
    #expect(bench.queue == [4, 5, 6, 3, 1, 2])
    // Another sequence hits 1 and 2 and wants less of them; a third wants nothing and changes nothing.
    let less = [RetentionRange(priority: 2)]
    bench.run(
      .admit(.init(id: 2, add: .init(id: 2, tokens: 33, hashes: [1, 2], retention: less))))
    bench.run(.free([2]))
    bench.run(.admit(.init(id: 3, add: .init(id: 3, tokens: 17, hashes: [1]))))
    bench.run(.free([3]))
    #expect(bench.queue.suffix(3) == [3, 2, 1])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("ranges that end before they begin, of more than 100, or too many are refused")
  func wrongRanges() {
    let bench = full(.priority)
    func refusal(_ ranges: [RetentionRange]) -> Refusal {
      bench.run(.add(.init(id: 9, tokens: 5, retention: ranges))).refusal
    }
    let wrong = Refusal(.invalid, field: .retention, limit: 16, sequence: 9)
    #expect(refusal([RetentionRange(priority: 101)]) == wrong)
    #expect(refusal([RetentionRange(firstToken: 4, lastToken: 3, priority: 1)]) == wrong)
    #expect(refusal(Array(repeating: RetentionRange(priority: 1), count: 17)) == wrong)
    #expect(refusal(Array(repeating: RetentionRange(priority: 1), count: 16)) == .none)
  }

  @Test("a switch begins anew from the order of last use; back at lru free blocks are in front")
  func switching() {
    let bench = full(.lru)
    bench.run(.evictBlocks([3]))
    hit(bench, 1, times: 3)
    #expect(bench.queue == [2, 3, 4, 5, 6, 1])
    #expect(bench.run(.updatePool(PoolUpdate(eviction: .lfu))).refusal == .none)
    #expect(bench.queue == [3, 2, 4, 5, 6, 1])
    hit(bench, 2)
    #expect(bench.queue == [3, 4, 5, 6, 1, 2])
    bench.run(.updatePool(PoolUpdate(eviction: .s3FIFO)))
    // The hits of before count no more.
    hit(bench, 4, times: 2)
    #expect(bench.queue == [3, 5, 6, 1, 2, 4])
    bench.run(.updatePool(PoolUpdate(eviction: .priority)))
    #expect(bench.queue == [3, 5, 6, 1, 2, 4])
    bench.run(.updatePool(PoolUpdate(eviction: .lru)))
    #expect(bench.queue == [3, 5, 6, 1, 2, 4])
    #expect(bench.pool.configuration.eviction == .lru)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("switching back and forth, undone, leaves everything as it was")
  func undone() {
    for policy in [EvictionPolicy.lru, .lfu, .s3FIFO, .priority] {
      let bench = full(policy)
      hit(bench, 2)
      let before = bench.pool.stateDigest()
      func to(_ policy: EvictionPolicy) -> TestOperation {
        TestOperation(.updatePool(PoolUpdate(eviction: policy)))
      }
      let command = TestCommand(
        isDryRun: true,
        operations: [
          TestOperation(.allocate(2)), to(.s3FIFO), TestOperation(.acquire([4, 5], 0)), to(.lfu),
          TestOperation(.allocate(1)), to(.lru), to(.priority), TestOperation(.freeBlocks([4])),
          to(.s3FIFO), TestOperation(.allocate(1)),
        ])
      let seen = bench.apply(command)
      #expect(seen.results.allSatisfy { $0.refusal.reason == .none })
      #expect(bench.pool.stateDigest() == before, "\(policy)")
      #expect(bench.pool.checkInvariants() == nil)
    }
  }

  @Test("a pool that caches nothing has nothing to evict by")
  func useless() {
    let bench = Bench(blocks: 4)
    #expect(
      bench.run(.updatePool(PoolUpdate(eviction: .lfu))).refusal
        == Refusal(.invalid, field: .eviction))
    #expect(bench.run(.updatePool(PoolUpdate(eviction: .lru))).refusal == .none)
  }
}
