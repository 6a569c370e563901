import KVBlocks
import Testing

/// Frees that wait for their batch.
@Suite("Lazy frees")
struct LazyFreeTests {
  private func bench(_ blocks: UInt32, batch: UInt32, caches: Bool = false) -> Bench {
    var configuration = PoolConfiguration(
      blocks: blocks, blockSize: 4, copyAck: .explicit, cachesPrefixes: caches)
    configuration.admission.lazyFreeBatch = batch
    return Bench(configuration)
  }

  private func parts(_ bench: Bench) -> [UInt32] {
    let stats = bench.pool.stats()
    return [
      stats.free, stats.cached, stats.active, stats.shared, stats.pinned, stats.lazyPending,
    ]
  }

  @Test("pending blocks are available and have a term of their own in the sum")
  func pending() {
    let bench = bench(6, batch: 4)
    bench.run(.allocate(4))
    let seen = bench.run(.freeBlocks([2, 1]))
    #expect((seen.freed, seen.available) == (2, 4))
    #expect(bench.queue == [5, 6])
    #expect(parts(bench) == [2, 0, 2, 0, 0, 2])
    #expect(bench.pool.block(1).state == .pending)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test(
    "an allocation that needs them gets them, as if each free had happened just before, in turn")
  func flushedBeforeRefusing() {
    let bench = bench(6, batch: 4)
    bench.run(.allocate(4))
    bench.run(.freeBlocks([2, 1]))
    bench.run(.freeBlocks([3]))
    // 5 are available, of which 2 have a place.
    #expect(bench.run(.allocate(6)).refusal == Refusal(.later, needed: 6, available: 5))
    #expect(bench.pool.stats().lazyPending == 3)
    #expect(bench.run(.allocate(3)).newBlocks == [3, 2, 1])
    #expect(bench.queue == [5, 6])
  }

  @Test("a full batch is given back, and a flush gives back what there is")
  func batches() {
    let bench = bench(8, batch: 3)
    bench.run(.allocate(6))
    bench.run(.freeBlocks([1]))
    bench.run(.freeBlocks([2]))
    #expect(bench.queue == [7, 8])
    bench.run(.freeBlocks([4, 3]))
    #expect(bench.queue == [4, 3, 2, 1, 7, 8])
    bench.run(.freeBlocks([5]))
    let revision = bench.pool.revision
    #expect(bench.run(.flush).freed == 1)
    #expect(bench.queue == [5, 4, 3, 2, 1, 7, 8])
    #expect(bench.run(.flush).freed == 0)
    #expect(bench.pool.revision == revision + 1)
  }

  @Test("a bad free is refused at once, also one of a block that is pending")
  func validated() {
    let bench = bench(6, batch: 4)
    bench.run(.allocate(4))
    bench.run(.freeBlocks([1]))
    let before = bench.pool.stateDigest()
    #expect(bench.run(.freeBlocks([1])).refusal == Refusal(.notHeld, subject: 1))
    #expect(bench.run(.freeBlocks([2, 3, 2])).refusal == Refusal(.notHeld, subject: 2))
    #expect(
      bench.run(.freeBlocks([2, 7])).refusal
        == Refusal(.invalid, field: .blockIDs, limit: 6, subject: 7))
    #expect(bench.run(.freeBlocks([2], generations: [9])).refusal.reason == .staleGeneration)
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("pending content is hit, and then it is not given back")
  func hit() {
    let bench = bench(6, batch: 4, caches: true)
    bench.run(.allocate(3))
    bench.run(.cacheBlocks([1, 2], [11, 12]))
    bench.run(.freeBlocks([3, 2, 1]))
    #expect(parts(bench) == [3, 0, 0, 0, 0, 3])
    #expect(bench.run(.acquire([11], 0)).cached == [1])
    #expect(parts(bench) == [3, 0, 1, 0, 0, 2])
    // The last of the free left; the rest is still one free.
    #expect(bench.run(.flush).freed == 2)
    #expect(bench.queue == [3, 4, 5, 6, 2])
    bench.run(.freeBlocks([1]))
    #expect(bench.run(.flush).freed == 1)
    #expect(bench.queue == [3, 4, 5, 6, 2, 1])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("no content is evicted while a free block waits")
  func evictsLast() {
    let bench = bench(4, batch: 4, caches: true)
    bench.run(.allocate(3))
    bench.run(.cacheBlocks([1], [11]))
    bench.run(.freeBlocks([1]))
    bench.run(.flush)
    bench.run(.freeBlocks([2]))
    #expect(bench.queue == [4, 1])
    let seen = bench.run(.allocate(2))
    #expect((seen.newBlocks, seen.evicted) == ([2, 4], 0))
  }

  @Test("content that is forgotten while it waits goes to the front with the others")
  func forgotten() {
    let bench = bench(4, batch: 4, caches: true)
    bench.run(.allocate(3))
    bench.run(.cacheBlocks([1, 2], [11, 12]))
    bench.run(.freeBlocks([2, 1]))
    bench.run(.evictBlocks([1]))
    bench.run(.flush)
    #expect(bench.queue == [1, 4, 2])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a dump has what waits apart from what the policy lines up, which keeps its place")
  func dumped() {
    for policy in [EvictionPolicy.lru, .lfu, .s3FIFO, .priority] {
      var configuration = PoolConfiguration(
        blocks: 6, blockSize: 4, copyAck: .explicit, cachesPrefixes: true, eviction: policy)
      configuration.admission.lazyFreeBatch = 4
      let bench = Bench(configuration)
      bench.run(.allocate(3))
      bench.run(.cacheBlocks([1, 2], [11, 12]))
      bench.run(.freeBlocks([1, 2]))
      bench.run(.flush)
      // Lined up before, and now on its way there again.
      bench.run(.acquire([11], 0))
      bench.run(.freeBlocks([1]))
      #expect(parts(bench) == [3, 1, 1, 0, 0, 1], "\(policy)")
      #expect(bench.pool.checkInvariants() == nil)
      guard let loaded = reloaded(bench.pool) else { continue }
      #expect(loaded.checkInvariants() == nil)
    }
  }

  @Test("a plan counts on what waits, free or cached, as on what is lined up")
  func planned() {
    func full(_ blocks: UInt32) -> Bench {
      let bench = bench(blocks, batch: 100, caches: true)
      for id in 1...SequenceID(blocks) {
        bench.run(.admit(.init(id: id, add: .init(id: id, tokens: 4, hashes: [10 + id]))))
      }
      return bench
    }
    // . 2 . 4: two moves are none of the fewest; 2 goes to 1, or 4 to 3.
    let four = full(4)
    four.run(.free([1]))
    four.run(.free([3]))
    let plan = four.plan(.contiguous(2))
    #expect(plan.moves.map { [$0.source, $0.target] } == [[4, 1]])
    #expect(four.order(plan).copies.count == 1)
    #expect(four.pool.checkInvariants() == nil)
    // Five blocks, 2 and 4 of which come to sequence 9; 5 waits.
    let five = full(5)
    five.run(.free([2, 4]))
    five.run(.flush)
    five.run(.admit(.init(id: 9, add: .init(id: 9, tokens: 8, hashes: [91, 92]))))
    five.run(.free([5]))
    let gathered = five.plan(.sequence(9)).moves.map { [$0.source, $0.target] }
    five.run(.flush)
    #expect(gathered == five.plan(.sequence(9)).moves.map { [$0.source, $0.target] })
    #expect(gathered.count == 1)
  }

  @Test("runs of what is available have what waits, so no defragmentation is advised for it")
  func runs() {
    let bench = bench(16, batch: 100)
    bench.run(.allocate(16))
    bench.run(.freeBlocks(Array(1...10)))
    let layout = bench.pool.layout()
    #expect((layout.largestAvailableRun, layout.largestFreeRun) == (10, 0))
    #expect(!layout.advisesDefragment(available: 10, of: 16))
  }

  @Test("adjacent blocks may be among those that wait")
  func adjacent() {
    let bench = bench(4, batch: 8)
    bench.run(.allocate(4))
    bench.run(.freeBlocks([1]))
    bench.run(.freeBlocks([2]))
    #expect(bench.run(.place(2, contiguous: true)).newBlocks == [1, 2])
  }

  @Test("a block that waits can be moved to; a refused move leaves pending what was pending")
  func movedTo() {
    let bench = bench(6, batch: 8)
    bench.admit(1, 8)
    bench.run(.allocate(2))
    bench.run(.freeBlocks([4]))
    bench.run(.freeBlocks([3]))
    #expect(bench.queue == [5, 6])
    let before = bench.pool.stateDigest()
    let revision = bench.pool.revision
    let twice = [BlockMove(source: 2, target: 3), BlockMove(source: 1, target: 3)]
    #expect(
      bench.run(.applyDefragment(revision, twice)).refusal
        == Refusal(.wrongState, field: .planMoves, limit: 1, subject: 3))
    #expect(bench.run(.applyDefragment(revision, [])).refusal == .none)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.stats().lazyPending == 2)
    let seen = bench.run(.applyDefragment(revision, [.init(source: 2, target: 3)]))
    #expect(seen.copies.map(\.target) == [3])
    // 4 came to the front and then 3, which left for the move.
    #expect(bench.queue == [4, 5, 6])
    #expect(parts(bench) == [3, 0, 2, 0, 1, 0])
    bench.run(.acknowledge([], upTo: 1))
    #expect(bench.table(1) == [1, 3])
    // What a copy lets go has its place at once: no free of anybody waits.
    #expect(bench.queue == [2, 4, 5, 6])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test(
    "preferred blocks may be among those that wait; too many flush nothing and say what there is")
  func preferred() {
    let bench = bench(6, batch: 8)
    bench.run(.allocate(5))
    bench.run(.freeBlocks([2]))
    bench.run(.freeBlocks([4]))
    #expect(
      bench.run(.place(4, preferred: [4])).refusal == Refusal(.later, needed: 4, available: 3))
    #expect(bench.pool.stats().lazyPending == 2)
    #expect(bench.run(.place(2, preferred: [2])).newBlocks == [2, 4])
    #expect(bench.queue == [6])
  }

  @Test("no run, even of what waited: refused, and what waited is in its place now")
  func noRun() {
    let bench = bench(6, batch: 8)
    bench.run(.allocate(6))
    bench.run(.freeBlocks([2]))
    bench.run(.freeBlocks([4]))
    let revision = bench.pool.revision
    #expect(
      bench.run(.place(2, contiguous: true)).refusal
        == Refusal(.noRun, needed: 2, available: 2, limit: 1))
    #expect(bench.queue == [4, 2])
    #expect(bench.pool.revision == revision + 1)
  }

  @Test(
    "a reset of the cache that is refused or tried out counts what waits, and leaves it waiting")
  func resetCache() {
    let bench = bench(6, batch: 8, caches: true)
    bench.run(.allocate(4))
    bench.run(.cacheBlocks([1, 2], [11, 12]))
    bench.run(.freeBlocks([2, 1]))
    let held = bench.pool.stateDigest()
    #expect(
      bench.run(.resetPrefixCache).refusal == Refusal(.wrongState, needed: 6, available: 4))
    #expect(bench.pool.stateDigest() == held)
    bench.run(.freeBlocks([3, 4]))
    let before = bench.pool.stateDigest()
    let tried = bench.apply(
      TestCommand(isDryRun: true, operations: [TestOperation(.resetPrefixCache)]))
    #expect((tried.results[0].affected, tried.available) == (2, 6))
    #expect(bench.pool.stateDigest() == before)
    #expect(parts(bench) == [2, 0, 0, 0, 0, 4])
    #expect(bench.run(.resetPrefixCache).affected == 2)
    #expect(parts(bench) == [2, 0, 0, 0, 0, 4])
    #expect(bench.run(.acquire([11], 0)).cached == [])
    bench.run(.flush)
    #expect(bench.queue == [3, 4, 2, 1, 5, 6])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a sequence's blocks wait too, and its content is hit when it comes back")
  func sequences() {
    let bench = bench(8, batch: 8, caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 9, hashes: [11, 12]))))
    bench.run(.preempt([1]))
    #expect(bench.pool.stats().lazyPending == 3)
    let again = bench.run(.admit(.init(id: 1)))
    #expect((again.cached, again.cachedTokens, again.newBlocks) == ([1, 2], 8, [4]))
    #expect(bench.pool.stats().lazyPending == 1)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("the batch can be changed; without one nothing is left pending")
  func update() {
    let bench = Bench(blocks: 6)
    bench.run(.allocate(4))
    bench.run(.updatePool(PoolUpdate(lazyFreeBatch: 3)))
    bench.run(.freeBlocks([1]))
    bench.run(.freeBlocks([2]))
    #expect(bench.pool.stats().lazyPending == 2)
    bench.run(.updatePool(PoolUpdate(lazyFreeBatch: 2)))
    #expect(bench.pool.stats().lazyPending == 0)
    #expect(bench.queue == [2, 1, 5, 6])
    bench.run(.freeBlocks([3]))
    bench.run(.updatePool(PoolUpdate(lazyFreeBatch: 0)))
    #expect(bench.queue == [3, 2, 1, 5, 6])
    #expect(
      bench.run(.updatePool(PoolUpdate(lazyFreeBatch: 65_537))).refusal
        == Refusal(.invalid, field: .lazyFreeBatch, limit: 65_536))
  }

  @Test("dry runs and aborted commands leave pending what was pending")
  func undone() {
    let bench = bench(6, batch: 4, caches: true)
    bench.run(.allocate(4))
    bench.run(.cacheBlocks([1], [11]))
    bench.run(.freeBlocks([2, 1]))
    let before = bench.pool.stateDigest()
    for operations in [
      [TestOperation(.flush)], [.init(.allocate(4))], [.init(.acquire([11], 1))],
      [.init(.freeBlocks([4, 3]))], [.init(.updatePool(PoolUpdate(lazyFreeBatch: 0)))],
    ] {
      _ = bench.apply(TestCommand(isDryRun: true, operations: operations))
      #expect(bench.pool.stateDigest() == before)
      #expect(bench.pool.checkInvariants() == nil)
      _ = bench.apply(
        TestCommand(onRefusal: .abort, operations: operations + [.init(.allocate(7))]))
      #expect(bench.pool.stateDigest() == before)
    }
    guard let loaded = reloaded(bench.pool) else { return }
    #expect(loaded.stats().lazyPending == 2)
    bench.pool.reset()
    #expect(bench.pool.stats().lazyPending == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
