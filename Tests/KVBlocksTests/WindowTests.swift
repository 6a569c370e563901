import KVBlocks
import Testing

/// vLLM's rules of a sliding window, worked out by hand. A window of 32 tokens and blocks of 16
/// unless said.
@Suite("a sliding window")
struct WindowTests {
  private func bench(
    _ blocks: UInt32, size: UInt32 = 16, window: UInt32 = 32, inFlight: UInt32 = 0,
    caches: Bool = true, eagle: Bool = false
  ) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: size, copyAck: .explicit, cachesPrefixes: caches, eagle: eagle,
        slidingWindow: window, maxInFlightTokens: inFlight))
  }

  /// A sequence of the document whose block i has the hash i + 1.
  private func new(_ id: SequenceID, _ tokens: UInt32) -> TestOperation.New {
    .init(id: id, tokens: tokens, hashes: (0..<UInt64(tokens / 16)).map { $0 + 1 })
  }

  @discardableResult
  private func admit(_ bench: Bench, _ id: SequenceID, _ tokens: UInt32) -> Seen.Result {
    bench.run(.admit(.init(id: id, add: new(id, tokens))))
  }

  private func grow(_ id: SequenceID, _ tokens: UInt32, inFlight: UInt32 = 0) -> TestOperation.Kind
  {
    .extend(Extend(sequence: id, appendTokens: tokens, inFlightTokens: inFlight))
  }

  // MARK: Dropping

  @Test("100 tokens computed: at the next allocation the table is 0 0 0 0 5 6 7")
  func drop() {
    let bench = bench(10)
    admit(bench, 1, 100)
    #expect(bench.table(1) == [1, 2, 3, 4, 5, 6, 7])
    let extended = bench.run(grow(1, 1))
    #expect(bench.table(1) == [0, 0, 0, 0, 5, 6, 7])
    #expect(extended.nulls == 4)
    #expect(extended.newBlocks == [])
    // The last one dropped is the first to be evicted.
    #expect(bench.queue == [8, 9, 10, 4, 3, 2, 1])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("without caching what is dropped is the first to be used again, the last of it first")
  func dropWithoutCaching() {
    let bench = bench(10, caches: false)
    bench.admit(1, 100)
    bench.run(grow(1, 1))
    #expect(bench.queue == [4, 3, 2, 1, 8, 9, 10])
    #expect(bench.run(grow(1, 12)).newBlocks == [4])
    #expect(bench.table(1) == [0, 0, 0, 0, 5, 6, 7, 4])
  }

  @Test("46 computed tokens drop nothing, 47 drop a block: the next token attends to 31 before it")
  func boundary() {
    let bench = bench(10)
    admit(bench, 1, 46)
    #expect(bench.run(grow(1, 1)).nulls == 0)
    #expect(bench.run(grow(1, 1)).nulls == 1)
  }

  @Test("tokens in flight hold the window back")
  func inFlight() {
    let bench = bench(10)
    admit(bench, 1, 100)
    #expect(bench.run(grow(1, 1, inFlight: 6)).nulls == 3)
    #expect(bench.run(grow(1, 1, inFlight: 101)).nulls == 3)
    #expect(bench.run(grow(1, 1)).nulls == 4)
  }

  @Test("a window drops even when the slots are then refused, and the refusal counts what it freed")
  func dropBeforeRefusal() {
    let bench = bench(8)
    admit(bench, 1, 100)
    bench.run(.allocate(1))
    let revision = bench.pool.revision
    // 12 slots are left in the table; 5 blocks more, and the window frees 4.
    let refused = bench.run(grow(1, 77))
    #expect(refused.refusal == Refusal(.later, needed: 5, available: 4, sequence: 1))
    #expect(bench.table(1) == [0, 0, 0, 0, 5, 6, 7])
    #expect(bench.pool.stats().cached == 4)
    #expect(bench.pool.revision == revision + 1)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("what is undone did not drop: a dry run and an aborted command leave the table")
  func undone() {
    let bench = bench(8)
    admit(bench, 1, 100)
    let before = bench.pool.stateDigest()
    let dry = bench.apply(TestCommand(isDryRun: true, operations: [TestOperation(grow(1, 1))]))
    #expect(dry.results[0].nulls == 4)
    #expect(dry.available == 5)
    #expect(bench.pool.stateDigest() == before)
    let aborted = bench.apply(
      TestCommand(
        onRefusal: .abort, operations: [TestOperation(grow(1, 1)), TestOperation(.allocate(9))]))
    #expect(aborted.refusal.reason == .never)
    #expect(bench.table(1) == [1, 2, 3, 4, 5, 6, 7])
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("a sequence of any length runs in a pool that holds its window")
  func longSequence() {
    let bench = bench(4)
    admit(bench, 1, 16)
    for token in 17...1_000 {
      #expect(bench.run(grow(1, 1)).refusal == .none, "token \(token)")
      let held = bench.table(1).count { $0 != 0 }
      #expect(held <= 3, "token \(token)")
    }
    #expect(bench.table(1).count == 63)
    #expect(bench.pool.stats().free + bench.pool.stats().cached >= 1)
  }

  @Test("a chunk that even the pool alone cannot hold beside the window is never given")
  func never() {
    let bench = bench(4)
    admit(bench, 1, 48)
    // The window keeps 2 of the 3 blocks; 3 more are needed.
    #expect(
      bench.run(grow(1, 48)).refusal == Refusal(.never, needed: 5, available: 2, sequence: 1))
    #expect(bench.run(.extend(Extend(sequence: 1, maxTokensNow: 32))).refusal == .none)
  }

  // MARK: Hits

  @Test("a hit needs the last window alone: what is before it may be gone")
  func hits() {
    let bench = bench(20)
    admit(bench, 1, 97)
    bench.run(.free([1]))
    bench.run(.evictBlocks([1]))
    let whole = admit(bench, 2, 97)
    #expect(whole.cachedTokens == 96)
    #expect(whole.nulls == 4)
    #expect(whole.cached == [5, 6])
    #expect(bench.table(2).prefix(6) == [0, 0, 0, 0, 5, 6])
    bench.run(.free([2]))
    bench.run(.evictBlocks([6]))
    let shorter = admit(bench, 3, 97)
    #expect(shorter.cachedTokens == 80)
    #expect(shorter.cached == [4, 5])
    bench.run(.free([3]))
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("one cached block of a window that reaches into two is a hit at the very beginning only")
  func shortRun() {
    let bench = bench(20)
    admit(bench, 1, 49)
    bench.run(.free([1]))
    bench.run(.evictBlocks([2]))
    // Blocks 1 and 3 are left; 3 alone does not cover the window.
    let first = admit(bench, 2, 49)
    #expect(first.cachedTokens == 16)
    #expect(first.cached == [1])
    #expect(first.nulls == 0)
  }

  @Test("a window's lookup tells what it is past, and changes nothing")
  func lookup() {
    let bench = bench(20)
    admit(bench, 1, 97)
    bench.run(.free([1]))
    bench.run(.add(new(2, 97)))
    let before = bench.pool.stateDigest()
    var list = FlatList<BlockID>()
    let found = bench.pool.lookup(session: 0, sequence: 2, into: &list)
    #expect(found?.cachedTokens == 96)
    #expect(found?.nullBlocks == 4)
    #expect(found?.evictableBlocks == 2)
    #expect(found?.blocksNeeded == 1)
    #expect(Array(list.elements) == [5, 6])
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("EAGLE needs one block more and drops the last")
  func eagle() {
    let bench = bench(20, eagle: true)
    admit(bench, 1, 97)
    bench.run(.free([1]))
    let whole = admit(bench, 2, 97)
    #expect(whole.cachedTokens == 80)
    #expect(whole.nulls == 3)
    #expect(whole.cached == [4, 5])
    bench.run(.free([2]))
    // 5 and 6 are two blocks, and three are needed; of 1 to 3 the last is dropped.
    bench.run(.evictBlocks([4]))
    let start = admit(bench, 3, 97)
    #expect(start.cachedTokens == 32)
    #expect(start.cached == [1, 2])
    #expect(start.nulls == 0)
  }

  @Test("with a window of one token nothing is cached")
  func windowOfOne() {
    let bench = bench(20, window: 1)
    admit(bench, 1, 97)
    #expect(bench.run(grow(1, 1)).nulls == 6)
    bench.run(.free([1]))
    #expect(bench.pool.stats().cached == 0)
    #expect(bench.queue.prefix(7) == [7, 6, 5, 4, 3, 2, 1])
  }

  @Test("with a window of one token and EAGLE a hit holds no block")
  func windowOfOneWithEagle() {
    let bench = bench(20, window: 1, eagle: true)
    admit(bench, 1, 97)
    bench.run(.free([1]))
    let next = admit(bench, 2, 97)
    #expect(next.cachedTokens == 80)
    #expect(next.cached == [])
    #expect(next.nulls == 5)
    #expect(bench.table(2).prefix(6).count { $0 == 0 } == 5)
  }

  @Test("tokens from elsewhere move the window past hits and get blocks only within it")
  func external() {
    let bench = bench(20)
    admit(bench, 1, 33)
    bench.run(.free([1]))
    // 32 hit, 64 from elsewhere: 96 - 31 = 65 are passed, which is 4 blocks; 7 - 4 are new.
    let admitted = bench.run(.admit(.init(id: 2, add: new(2, 112), external: 64)))
    #expect(admitted.cachedTokens == 32)
    #expect(admitted.cached == [])
    #expect(admitted.nulls == 4)
    #expect(admitted.newBlocks == [3, 4, 5])
    #expect(admitted.scheduled == 16)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("hits before the window are not charged: 4 free, 2 of them hit, 2 new is 4")
  func charge() {
    let bench = bench(8)
    admit(bench, 1, 97)
    bench.run(.free([1]))
    bench.run(.allocate(4))
    #expect(bench.queue == [4, 3, 2, 1])
    let admitted = admit(bench, 2, 96)
    #expect(admitted.cachedTokens == 64)
    #expect(admitted.cached == [3, 4])
    #expect(admitted.newBlocks == [2, 1])
    #expect(bench.pool.stats().free + bench.pool.stats().cached == 0)
  }

  // MARK: The gate for whole sequences

  @Test("the gate counts the window, what is in flight and a block: ceil((31 + 16) / 16) + 1 = 4")
  func cap() {
    let bench = bench(5, inFlight: 16)
    let long = TestOperation.New(id: 1, tokens: 1_000)
    #expect(bench.run(.admit(.init(id: 1, add: long, maxTokensNow: 16))).newBlocks == [1])
    bench.run(.allocate(1))
    let second = TestOperation.New(id: 2, tokens: 1_000)
    #expect(
      bench.run(.admit(.init(id: 2, add: second, maxTokensNow: 16))).refusal
        == Refusal(.later, needed: 4, available: 3, sequence: 2))
    #expect(
      bench.run(.admit(.init(id: 2, add: second, maxTokensNow: 16, partial: true))).newBlocks
        == [3])
  }

  @Test("what is scheduled now is not capped")
  func noCapForTheStep() {
    let bench = bench(5, inFlight: 16)
    let long = TestOperation.New(id: 1, tokens: 1_000)
    #expect(
      bench.run(.admit(.init(id: 1, add: long, maxTokensNow: 100))).refusal
        == Refusal(.never, needed: 7, available: 5, sequence: 1))
  }

  @Test("without a bound for what is in flight a whole sequence must fit, window or not")
  func noBound() {
    let bench = bench(5)
    let long = TestOperation.New(id: 1, tokens: 1_000)
    #expect(
      bench.run(.admit(.init(id: 1, add: long, maxTokensNow: 16))).refusal
        == Refusal(.never, needed: 63, available: 5, sequence: 1))
  }

  // MARK: Everyone who walks a table

  @Test("a fork shares the blocks that are left, and each copies what it writes")
  func fork() {
    let bench = bench(10)
    admit(bench, 1, 100)
    bench.run(grow(1, 1))
    #expect(bench.run(.fork(1, [2])).shared == 3)
    #expect(bench.table(2) == [0, 0, 0, 0, 5, 6, 7])
    let view = bench.pool.describe(session: 0, sequence: 2)
    #expect(view?.sharedBlocks == 3)
    #expect(view?.exclusiveBlocks == 0)
    #expect(view?.runs == 1)
    let copy = bench.run(grow(2, 1)).copies.first
    #expect(copy?.source == 7)
    #expect(copy?.tableIndex == 6)
    #expect(bench.table(2) == [0, 0, 0, 0, 5, 6, 8])
    #expect(bench.run(.free([1])).freed == 0)
    bench.run(.acknowledge([1]))
    #expect(bench.run(.free([2])).freed == 3)
    #expect(bench.pool.stats().free + bench.pool.stats().cached == 10)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("preempting gives back what is left; an admission starts from the window's hits")
  func preempt() {
    let bench = bench(10)
    admit(bench, 1, 100)
    bench.run(grow(1, 1))
    #expect(bench.run(.preempt([1])).freed == 3)
    let again = bench.run(.admit(.init(id: 1)))
    #expect(again.cachedTokens == 96)
    #expect(again.nulls == 4)
    #expect(again.scheduled == 5)
  }

  @Test("rewinding stops where the next token would attend to a dropped block")
  func rewind() {
    let bench = bench(10)
    admit(bench, 1, 100)
    bench.run(grow(1, 1))
    let before = bench.pool.stateDigest()
    // Blocks 0 to 3 are gone: the next token's window may begin at token 64, so 95 are computed.
    #expect(
      bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 7))).refusal
        == Refusal(.invalid, field: .uncomputeTokens, limit: 6, sequence: 1))
    #expect(
      bench.run(.rewind(Rewind(sequence: 1, dropTokens: 7))).refusal
        == Refusal(.invalid, field: .dropTokens, limit: 6, sequence: 1))
    #expect(bench.pool.stateDigest() == before)
    let rewound = bench.run(.rewind(Rewind(sequence: 1, dropTokens: 6, releasesBlocks: true)))
    #expect(rewound.computed == 95)
    #expect(rewound.freed == 1)
    #expect(bench.table(1) == [0, 0, 0, 0, 5, 6])
    #expect(bench.run(grow(1, 1)).nulls == 4)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("what was dropped before its commit is not cached")
  func commit() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 100), delays: true)))
    bench.run(.extend(Extend(sequence: 1, appendTokens: 1, delaysCommit: true)))
    #expect(bench.run(.commit(1)).affected == 2)
    #expect(bench.pool.content(5)?.words.0 == 5)
    #expect(bench.pool.content(4) == nil)
  }

  @Test("a decode tells the null blocks of each sequence when a window moved, of refused ones too")
  func decode() {
    let bench = bench(17)
    admit(bench, 1, 100)
    bench.run(.admit(.init(id: 2, add: .init(id: 2, tokens: 110))))
    bench.run(.admit(.init(id: 3, add: .init(id: 3, tokens: 40))))
    let first = bench.run(.decode(.init(ids: [1, 3, 9, 2], append: [1, 1, 1, 200])))
    #expect(first.refused == [2, 3])
    #expect(first.nullCounts == [4, 0, 0, 4])
    #expect(bench.table(2).prefix(5) == [0, 0, 0, 0, 12])
    let second = bench.run(.decode(.init(ids: [1, 3])))
    #expect(second.nullCounts == [])
  }

  @Test("a decode tells the null blocks of a swapped sequence as well")
  func decodeSwapped() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 20, blockSize: 16, copyAck: .explicit, hostBlocks: 8, slidingWindow: 32))
    bench.admit(1, 100)
    bench.admit(2, 100)
    bench.run(grow(1, 1))
    bench.run(.swapOut([1]))
    let seen = bench.run(.decode(.init(ids: [1, 2])))
    #expect(seen.refused == [0])
    #expect(seen.nullCounts == [4, 4])
  }

  @Test("slots of dropped blocks are neither held nor used")
  func layout() {
    let bench = bench(10)
    admit(bench, 1, 100)
    bench.run(grow(1, 1))
    let layout = bench.pool.layout()
    #expect(layout.sequenceSlotsHeld == 48)
    #expect(layout.sequenceSlotsUsed == 37)
  }

  @Test("columns of tokens in flight have one length or another, or are refused")
  func columns() {
    let bench = bench(10)
    admit(bench, 1, 100)
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.decode(.init(ids: [1], inFlight: [1, 2]))).refusal
        == Refusal(.invalid, field: .inFlightTokens, limit: 1))
    #expect(bench.pool.stateDigest() == before)
  }
}
