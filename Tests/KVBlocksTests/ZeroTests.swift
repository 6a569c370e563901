import KVBlocks
import Testing

@Suite("Blocks to be zeroed")
struct ZeroTests {
  private func bench(
    blocks: UInt32 = 6, host: UInt32 = 0, caches: Bool = false, zeroes: Bool = true
  ) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: 4, copyAck: .explicit, cachesPrefixes: caches, hostBlocks: host,
        zeroesOnFree: zeroes))
  }

  @Test("are those that are handed out a second time, whoever had them before")
  func secondTime() {
    let bench = bench()
    #expect(bench.run(.allocate(2)).mustZero == [])
    bench.run(.freeBlocks([1, 2]))
    // Freed without content they come first again, in the order in which they were freed.
    let again = bench.run(.allocate(3), session: 9)
    #expect(again.newBlocks == [1, 2, 3])
    #expect(again.mustZero == [1, 2])
  }

  @Test("are named in no pool that did not ask for it")
  func notAsked() {
    let bench = bench(zeroes: false)
    bench.run(.allocate(2))
    bench.run(.freeBlocks([1, 2]))
    #expect(bench.run(.allocate(2)).mustZero == [])
  }

  @Test("are targets of copies that do not fill them, and not those that they fill")
  func targets() {
    let bench = bench()
    bench.run(.allocate(6))
    bench.run(.freeBlocks([2, 3, 4, 5, 6]))
    bench.run(.forkBlocks([1]))
    // A copy of 3 of 4 slots leaves one as it was; a copy of all 4 leaves none.
    #expect(bench.run(.copyOnWrite(1, filled: 3)).mustZero == [2])
    bench.run(.forkBlocks([1]))
    let whole = bench.run(.copyOnWrite(1, filled: 4))
    #expect(whole.block == 3)
    #expect(whole.mustZero == [])
  }

  @Test("are targets of moves that do not fill them")
  func moves() {
    let bench = bench()
    bench.run(.allocate(6))
    bench.run(.freeBlocks([1, 2, 3, 4, 5, 6]))
    // 6 tokens in blocks of 4: the first is full, the second half.
    #expect(bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 6)))).mustZero == [1, 2])
    let moved = bench.run(
      .applyDefragment(
        bench.pool.revision, [.init(source: 1, target: 6), .init(source: 2, target: 5)]))
    #expect(moved.mustZero == [5])
    // What they left is handed out again.
    bench.run(.acknowledge([], upTo: 2))
    #expect(bench.run(.allocate(2)).mustZero == [1, 2])
  }

  @Test("are not hits, whose content is wanted")
  func hits() {
    let bench = bench(caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 9, hashes: [11, 12]))))
    bench.run(.free([1]))
    let again = bench.run(.admit(.init(id: 2, add: .init(id: 2, tokens: 9, hashes: [11, 12]))))
    #expect(again.cached == [1, 2])
    #expect(again.newBlocks == [3])
    #expect(again.mustZero == [3])
  }

  @Test("are what a swap brings in and does not fill, never what it takes out")
  func swaps() {
    let bench = bench(host: 4)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 6))))
    #expect(bench.run(.swapOut([1])).mustZero == [])
    bench.run(.acknowledge([], upTo: 2))
    bench.run(.allocate(6))
    bench.run(.freeBlocks([1, 2, 3, 4, 5, 6]))
    let back = bench.run(.swapIn([1]))
    // 4 tokens fill the first block, 2 the half of the second.
    #expect(back.copies.map(\.tokens) == [4, 2])
    #expect(back.mustZero == [back.copies[1].target])
  }

  @Test("are named once, also when a preemption gives back what the operation handed out")
  func once() {
    let bench = bench(blocks: 4)
    bench.run(.allocate(4))
    bench.run(.freeBlocks([1, 2, 3, 4]))
    bench.admit(1, 5)
    bench.run(.fork(1, [2]))
    bench.admit(3, 4)
    // 3 takes block 4 and is then preempted for 1, whose tail is shared: its copy goes to block 4.
    let seen = bench.apply(
      TestCommand(
        onRefusal: .preempt, operations: [.init(.decode(.init(ids: [3, 1], victims: [3])))])
    ).results[0]
    #expect((seen.newBlocks, seen.counts, seen.preempted) == ([4], [1, 0], [3]))
    #expect(seen.copies.map(\.target) == [4])
    #expect(seen.mustZero == [4])
  }

  @Test("outlast a reset, a dump and a pool that takes the place of this one")
  func outlast() throws {
    let bench = bench()
    bench.run(.allocate(2))
    bench.pool.reset()
    #expect(bench.run(.allocate(3)).mustZero == [1, 2])
    var bytes = FlatList<UInt8>()
    bench.pool.dump(into: &bytes)
    let loaded = try KVPool(loading: UnsafeRawBufferPointer(bytes.elements))
    #expect(loaded.stateDigest() == bench.pool.stateDigest())
    let configuration = PoolConfiguration(
      blocks: 4, blockSize: 4, copyAck: .explicit, zeroesOnFree: true)
    let other = Bench(configuration)
    other.run(.allocate(1))
    let noted = Bench(KVPool(configuration, replacing: other.pool))
    #expect(noted.run(.allocate(4)).mustZero == [1])
    // A dump of a new pool, in the place of one that is not new.
    let fresh = try load(dump(KVPool(configuration)))
    fresh.goOn(after: other.pool)
    #expect(Bench(fresh).run(.allocate(4)).mustZero == [1])
  }

  @Test("are all, in the place of a pool that did not note them or had other blocks")
  func replaced() {
    func marked(_ blocks: UInt32, _ size: UInt32, replacing other: KVPool) -> [BlockID] {
      let configuration = PoolConfiguration(
        blocks: blocks, blockSize: size, copyAck: .explicit, zeroesOnFree: true)
      return Bench(KVPool(configuration, replacing: other)).run(.allocate(blocks)).mustZero
    }
    let unnoted = KVPool(PoolConfiguration(blocks: 4, blockSize: 4))
    #expect(marked(4, 4, replacing: unnoted) == [1, 2, 3, 4])
    let old = bench(blocks: 4)
    old.run(.allocate(1))
    #expect(marked(4, 4, replacing: old.pool) == [1])
    // Twice as many blocks of half the size: what was block 1 is 1 and 2, or where the null block
    // took its place 2 and 3.
    #expect(marked(8, 2, replacing: old.pool) == Array(1...8))
    #expect(marked(2, 4, replacing: old.pool) == [1, 2])
  }

  @Test("are the same after a dry run and an aborted command as before")
  func undone() {
    let bench = bench()
    let before = bench.pool.stateDigest()
    _ = bench.apply(TestCommand(isDryRun: true, operations: [.init(.allocate(2))]))
    let tooMuch: [TestOperation] = [.init(.allocate(2)), .init(.allocate(9))]
    #expect(
      bench.apply(TestCommand(onRefusal: .abort, operations: tooMuch)).refusal.reason == .never)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.run(.allocate(2)).mustZero == [])
  }
}
