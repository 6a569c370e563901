import KVBlocks
import Testing

@Suite("pinned prefixes are kept from eviction, within a budget")
struct PinTests {
  private func bench(_ blocks: UInt32, budget: UInt32 = 0) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, hashBytes: 16,
        pinBudgetBlocks: budget))
  }

  /// Blocks 1, 2 and 3 cached with contents 1, 2 and 3, free again, tail first.
  private func chain(_ blocks: UInt32 = 8, budget: UInt32 = 4) -> Bench {
    let bench = bench(blocks, budget: budget)
    bench.run(.allocate(3))
    bench.run(.cacheBlocks([1, 2, 3], [1, 2, 3]))
    bench.run(.freeBlocks([3, 2, 1]))
    return bench
  }

  private func parts(_ bench: Bench) -> [UInt32] {
    let stats = bench.pool.stats()
    return [stats.free, stats.cached, stats.active, stats.shared, stats.pinned]
  }

  @Test("a pinned block is in no queue, counts against what is available, and is hit as ever")
  func keeps() {
    let bench = chain()
    #expect(bench.queue == [4, 5, 6, 7, 8, 3, 2, 1])
    let pinned = bench.run(.pin([1, 2]))
    #expect(pinned.tokens == 32 && pinned.affected == 2 && pinned.budget == 2)
    #expect(bench.queue == [4, 5, 6, 7, 8, 3])
    #expect(parts(bench) == [5, 1, 0, 0, 2])
    #expect(bench.pool.block(1).state == .pinned)
    // Six are left, and the seventh is refused though nobody uses the pinned ones.
    #expect(bench.run(.allocate(7)).refusal == Refusal(.later, needed: 7, available: 6))
    #expect(bench.run(.allocate(6)).newBlocks == [4, 5, 6, 7, 8, 3])
    #expect(bench.run(.acquire([1, 2, 3], 0)).cached == [1, 2])
    #expect(bench.pool.block(1).state == .active)
    bench.run(.freeBlocks([2, 1]))
    #expect(bench.pool.block(1).state == .pinned)
    #expect(bench.queue == [])
    // Unpinned, the end of the chain is evicted first.
    let gone = bench.run(.pin([1, 2], unpins: true))
    #expect(gone.freed == 2 && gone.affected == 0 && gone.budget == 4)
    #expect(bench.queue == [2, 1])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a pin of more than is cached, or than the budget has, is partial and says so")
  func partial() {
    let bench = chain(budget: 2)
    let pinned = bench.run(.pin([1, 2, 3, 4]))
    #expect(pinned.tokens == 32 && pinned.affected == 2 && pinned.budget == 0)
    let view = bench.pool.pinnedPrefixes(session: 0)
    #expect(view.map(\.blocks) == [[1, 2]] && view.map(\.askedBlocks) == [4])
    // What is pinned already is pinned by another prefix for nothing.
    #expect(bench.run(.pin([1, 2, 3])).tokens == 32)
    #expect(bench.run(.pin([9])).tokens == 0)
    #expect(bench.pool.pinnedPrefixes(session: 0).count == 2)
    // Another session has a budget of its own.
    #expect(bench.run(.pin([1, 2, 3]), session: 7).affected == 2)
    #expect(bench.run(.pin([1, 2, 3, 4], unpins: true)).affected == 2)
    #expect(bench.run(.pin([1, 2, 3], unpins: true)).affected == 0)
    #expect(bench.pool.block(1).state == .pinned)
    #expect(bench.run(.pin([1, 2, 3], unpins: true), session: 7).freed == 2)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("the budget is a quarter of the pool where none is given")
  func budget() {
    #expect(bench(103).pool.configuration.pinBudgetBlocks == 25)
    #expect(bench(8, budget: 8).run(.pin([1])).budget == 8)
  }

  @Test("taking away a pin that is not there changes nothing")
  func unpinned() {
    let bench = chain()
    let before = (bench.pool.revision, bench.pool.stateDigest())
    #expect(bench.run(.pin([1, 2, 3], unpins: true)).refusal == .none)
    bench.run(.pin([4, 5]))
    #expect(bench.pool.revision == before.0 && bench.pool.stateDigest() == before.1)
  }

  @Test("a pin without whole hashes, or where nothing is cached, is refused and named")
  func refused() {
    let bench = bench(8)
    #expect(bench.run(.pin([])).refusal == Refusal(.invalid, field: .blockHashes, limit: 16))
    let plain = Bench(blocks: 8)
    #expect(plain.run(.pin([1])).refusal == Refusal(.invalid, field: .blockHashes, limit: 0))
  }

  @Test("a held block is pinned where it is, and stays cached when it is given back")
  func held() {
    let bench = chain()
    bench.run(.acquire([1, 2], 0), session: 7)
    #expect(bench.run(.pin([1, 2])).tokens == 32)
    #expect(parts(bench) == [5, 1, 2, 0, 0])
    #expect(bench.run(.freeBlocks([2, 1]), session: 7).freed == 0)
    #expect(parts(bench) == [5, 1, 0, 0, 2])
  }

  @Test("a pin ends when its time is over, at the next command")
  func timeToLive() {
    let bench = chain()
    func at(_ now: UInt64, _ kind: TestOperation.Kind) -> Seen.Result? {
      bench.apply(TestCommand(now: now, operations: [TestOperation(kind)])).results.first
    }
    #expect(at(1_000, .pin([1, 2, 3], ttl: 50))?.tokens == 48)
    #expect(at(1_049, .allocate(1))?.newBlocks == [4])
    #expect(bench.queue == [5, 6, 7, 8])
    // A clock that goes back is taken as the last one.
    #expect(at(7, .freeBlocks([4]))?.freed == 1)
    #expect(bench.pool.pinnedBlocks(session: 0) == 3)
    #expect(at(1_050, .allocate(1))?.newBlocks == [4])
    #expect(bench.queue == [5, 6, 7, 8, 3, 2, 1])
    #expect(bench.pool.pinnedBlocks(session: 0) == 0)
  }

  @Test("pinning again begins anew, with what is cached by then")
  func again() {
    let bench = chain()
    bench.run(.pin([1, 2, 3, 4], ttl: 10))
    #expect(bench.pool.pinnedPrefixes(session: 0).map(\.expires) == [10])
    bench.run(.acquire([1, 2, 3], 1))
    bench.run(.cacheBlocks([4], [4]))
    #expect(bench.run(.pin([1, 2, 3, 4])).tokens == 64)
    let pins = bench.pool.pinnedPrefixes(session: 0)
    #expect(pins.map(\.blocks) == [[1, 2, 3, 4]] && pins.map(\.expires) == [0])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a command undone leaves pins and their order of ending as they were")
  func undone() {
    let bench = chain()
    bench.run(.pin([1], ttl: 10))
    bench.run(.pin([1, 2], ttl: 5))
    let before = bench.pool.stateDigest()
    var command = TestCommand(operations: [
      TestOperation(.pin([1, 2], unpins: true)), TestOperation(.pin([1, 2, 3], ttl: 2)),
      TestOperation(.pin([1], ttl: 100)), TestOperation(.evictBlocks([1])),
    ])
    command.isDryRun = true
    #expect(bench.apply(command).results.map(\.affected) == [1, 3, 3, 1])
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.checkInvariants() == nil)
    command.isDryRun = false
    command.operations.append(TestOperation(.allocate(99), onRefusal: .abort))
    #expect(bench.apply(command).refusal.reason == .never)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("whoever writes into a pinned block gets another one, so that its content stays")
  func writes() {
    let bench = chain()
    bench.run(.acquire([1], 0))
    bench.run(.pin([1]))
    let copy = bench.run(.copyOnWrite(1, filled: 3))
    #expect(copy.block == 4 && copy.copies.map(\.source) == [1])
    #expect(bench.pool.content(1) != nil)
    bench.run(.acknowledge([1]))
    #expect(bench.pool.block(1).state == .pinned)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a rewind into a pinned block leaves its content, and the next write copies")
  func rewinds() {
    let bench = bench(8, budget: 4)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 32, hashes: [1, 2]))))
    bench.run(.pin([1, 2]))
    bench.run(.rewind(Rewind(sequence: 1, dropTokens: 6)))
    #expect(bench.pool.content(2) != nil)
    let grown = bench.run(.extend(Extend(sequence: 1, appendTokens: 1)))
    #expect(grown.copies.map(\.source) == [2] && grown.copies.map(\.tokens) == [10])
    #expect(bench.table(1) == [1, 3])
  }

  @Test("who forgets the content of a pinned block takes the pin away with it")
  func forgets() {
    let bench = chain()
    bench.run(.pin([1, 2, 3]))
    #expect(bench.run(.evictBlocks([2])).affected == 1)
    // Block 2 is free, in front; the others are still kept.
    #expect(bench.queue == [2, 4, 5, 6, 7, 8])
    #expect(bench.pool.pinnedPrefixes(session: 0).map(\.blocks) == [[1, 3]])
    bench.run(.evictBlocks([1, 3]))
    #expect(bench.pool.pinnedPrefixes(session: 0).isEmpty)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a reset of the prefix cache takes pins away and is refused only by what is held")
  func resets() {
    let bench = chain()
    bench.run(.pin([1, 2, 3]))
    bench.run(.allocate(1))
    #expect(bench.run(.resetPrefixCache).refusal.reason == .wrongState)
    bench.run(.freeBlocks([4]))
    #expect(bench.run(.resetPrefixCache).affected == 3)
    #expect(bench.queue == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(bench.pool.pinnedBlocks(session: 0) == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("the clock is part of the history only where it counts")
  func clocks() {
    func history(_ now: UInt64, _ kinds: [TestOperation.Kind]) -> (UInt64, UInt64) {
      let bench = chain()
      for kind in kinds {
        _ = bench.apply(TestCommand(now: now, operations: [TestOperation(kind)]))
      }
      return (bench.pool.historyDigest, bench.pool.stateDigest())
    }
    #expect(history(5, [.pin([1]), .allocate(2)]) == history(6, [.pin([1]), .allocate(2)]))
    #expect(history(5, [.pin([1], ttl: 9)]).0 != history(6, [.pin([1], ttl: 9)]).0)
  }

  @Test("a prefix is pinned by its token ids, and it is the same pin as by their hashes")
  func byTokens() {
    let configuration = PoolConfiguration(
      blocks: 8, blockSize: 4, copyAck: .explicit, cachesPrefixes: true, pinBudgetBlocks: 4)
    let bench = Bench(configuration)
    let ids = (0..<10).map { UInt32(100 + $0) }
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 10, tokenIDs: ids))))
    bench.run(.free([1]))
    #expect(bench.run(.pin([], ids: Array(ids.prefix(3)))).refusal.field == .tokenIDs)
    #expect(bench.run(.pin([1], ids: ids)).refusal.field == .blockHashes)
    // Ten tokens fill two blocks.
    let pinned = bench.run(.pin([], ids: ids))
    #expect(pinned.tokens == 8 && pinned.affected == 2)
    let first = testHash(parent: 0, start: 0, tokens: Array(ids[0..<4]), keys: [])
    let second = testHash(parent: first, start: 4, tokens: Array(ids[4..<8]), keys: [])
    let gone = bench.run(.pin([first, second], unpins: true))
    #expect(gone.affected == 0 && gone.freed == 2)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
