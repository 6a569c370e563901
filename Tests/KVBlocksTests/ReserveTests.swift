import KVBlocks
import Testing

/// Blocks held back for sequences to come.
@Suite("Promises")
struct ReserveTests {
  @Test("a promise keeps blocks from everyone else, and says so")
  func keeps() {
    let bench = Bench(blocks: 8)
    let given = bench.run(.reserve(Reserve(sequence: 1, blocks: 5)))
    #expect((given.refusal, given.affected, given.available) == (.none, 5, 8))
    #expect(bench.pool.stats().reserved == 5)
    // 8 available, 5 of them promised: 3 may go.
    #expect(
      bench.run(.allocate(4)).refusal == Refusal(.later, needed: 4, available: 8, reserved: 5))
    #expect(
      bench.admit(2, 49).refusal
        == Refusal(.later, needed: 4, available: 8, reserved: 5, sequence: 2))
    #expect(bench.admit(2, 48).newBlocks.count == 3)
    #expect(
      bench.run(.extend(Extend(sequence: 2, appendTokens: 1))).refusal
        == Refusal(.later, needed: 1, available: 5, reserved: 5, sequence: 2))
    let decoded = bench.run(.decode(.init(ids: [2])))
    #expect(
      decoded.firstRefusal == Refusal(.later, needed: 1, available: 5, reserved: 5, sequence: 2))
  }

  @Test("an admission within its promise gets it, and ends it")
  func admits() {
    let bench = Bench(blocks: 8)
    bench.run(.reserve(Reserve(sequence: 1, blocks: 5)))
    bench.run(.allocate(3))
    #expect(bench.admit(1, 80).newBlocks == [4, 5, 6, 7, 8])
    #expect(bench.pool.stats().reserved == 0)
    #expect(bench.pool.promisedBlocks(session: 0, sequence: 1) == 0)
  }

  @Test("every promise is told: with its sequence, or by its name alone")
  func told() {
    let bench = Bench(blocks: 40)
    bench.run(.add(.init(id: 9, tokens: 16)))
    for (id, blocks) in [(9, 4), (30, 1), (2, 2), (.max, 3), (17, 5)] as [(SequenceID, UInt32)] {
      bench.run(.reserve(Reserve(sequence: id, blocks: blocks)))
    }
    bench.run(.reserve(Reserve(sequence: 5, blocks: 6)), session: 7)
    #expect(bench.pool.describe(session: 0, sequence: 9)?.reservedBlocks == 4)
    #expect(bench.pool.describe(session: 0, sequence: 2) == nil)
    let names = { bench.pool.reservedNames(session: $0, from: $1, limit: $2) }
    #expect(names(0, 0, 10) == [2, 17, 30, .max])
    #expect(names(0, 0, 1) == [2])
    #expect(names(0, 3, 2) == [17, 30])
    #expect(names(0, 31, 2) == [.max])
    #expect(names(7, 0, 10) == [5])
    #expect(names(8, 0, 10) == [])
    // Added, the name is a sequence; admitted, its promise is kept; freed, all is gone.
    bench.run(.add(.init(id: 17, tokens: 16)))
    #expect(names(0, 0, 10) == [2, 30, .max])
    bench.run(.admit(.init(id: 9)))
    #expect(bench.pool.describe(session: 0, sequence: 9)?.reservedBlocks == 0)
    bench.run(.free([17, 2]))
    #expect(names(0, 0, 10) == [30, .max])
    #expect(bench.pool.stats().reserved == 1 + 3 + 6)
  }

  @Test("a promise tells its size class")
  func classes() {
    let classes = [
      SizeClass(blockSize: 8, blocks: 10, maxExpectedTokens: 199),
      SizeClass(blockSize: 32, blocks: 6),
    ]
    let bench = Bench(PoolConfiguration(blocks: 16, blockSize: 8, sizeClasses: classes))
    bench.run(.reserve(Reserve(sequence: 5, blocks: 3, sizeClass: 2)))
    bench.run(.reserve(Reserve(sequence: 6, blocks: 4)))
    #expect(bench.pool.reservedNames(session: 0, from: 0, limit: 9) == [5, 6])
    let told = [5, 6, 7].map { (id: SequenceID) in
      [
        bench.pool.promisedBlocks(session: 0, sequence: id),
        bench.pool.promisedClass(session: 0, sequence: id),
      ]
    }
    #expect(told == [[3, 2], [4, 1], [0, 0]])
  }

  @Test("names come page by page in ascending order, however many there are")
  func pages() {
    let bench = Bench(blocks: 2_000)
    let names = (0..<1_000).map { SequenceID($0) &* 0x9E37_79B9_7F4A_7C15 }
    for name in names { bench.run(.reserve(Reserve(sequence: name, blocks: 2))) }
    var seen: [SequenceID] = []
    while seen.count < 1_000 {
      let first = (seen.last ?? 0) + (seen.isEmpty ? 0 : 1)
      seen += bench.pool.reservedNames(session: 0, from: first, limit: 7)
    }
    #expect(seen == names.sorted())
  }

  @Test("a smaller admission gives the rest of its promise back")
  func givesBack() {
    let bench = Bench(blocks: 8)
    bench.run(.reserve(Reserve(sequence: 1, blocks: 5)))
    bench.admit(1, 16)
    #expect(bench.pool.stats().reserved == 0)
    #expect(bench.run(.allocate(7)).refusal == .none)
  }

  @Test("promises together are never more than what is available")
  func neverOversubscribed() {
    let bench = Bench(blocks: 8)
    bench.run(.allocate(2))
    bench.run(.reserve(Reserve(sequence: 1, blocks: 4)))
    #expect(
      bench.run(.reserve(Reserve(sequence: 2, blocks: 3))).refusal
        == Refusal(.later, needed: 3, available: 6, reserved: 4, sequence: 2))
    #expect(bench.run(.reserve(Reserve(sequence: 2, blocks: 2))).affected == 6)
    #expect(
      bench.run(.reserve(Reserve(sequence: 3, blocks: 9))).refusal
        == Refusal(.never, needed: 9, available: 6, reserved: 6, sequence: 3))
  }

  @Test("reserving again replaces the promise")
  func replaces() {
    let bench = Bench(blocks: 8)
    bench.run(.reserve(Reserve(sequence: 1, blocks: 4)))
    #expect(bench.run(.reserve(Reserve(sequence: 1, blocks: 8))).affected == 8)
    #expect(bench.run(.reserve(Reserve(sequence: 1, blocks: 2))).affected == 2)
    let revision = bench.pool.revision
    bench.run(.reserve(Reserve(sequence: 1, blocks: 2)))
    #expect(bench.pool.revision == revision)
  }

  @Test("a promise ends with its release, and with the free of its sequence")
  func ends() {
    let bench = Bench(blocks: 8)
    bench.run(.reserve(Reserve(sequence: 1, blocks: 4)))
    #expect(bench.run(.reserve(Reserve(sequence: 1, releases: true))).affected == 0)
    #expect(bench.run(.reserve(Reserve(sequence: 1, releases: true))).refusal == .none)
    bench.run(.add(.init(id: 1, tokens: 16)))
    bench.run(.reserve(Reserve(sequence: 1, blocks: 4)))
    bench.run(.free([1]))
    #expect(bench.pool.stats().reserved == 0)
    // Nobody ever added 2: its name was promised something, and goes with it.
    bench.run(.reserve(Reserve(sequence: 2, blocks: 4)))
    let gone = bench.run(.free([2]))
    #expect((gone.refusal, gone.affected) == (.none, 0))
    #expect(bench.run(.free([2])).refusal.reason == .unknownSequence)
  }

  @Test("a promise belongs to its session")
  func session() {
    let bench = Bench(blocks: 8)
    bench.run(.reserve(Reserve(sequence: 1, blocks: 5)), session: 7)
    #expect(
      bench.admit(1, 64).refusal
        == Refusal(.later, needed: 4, available: 8, reserved: 5, sequence: 1))
    #expect(bench.run(.reserve(Reserve(sequence: 1, releases: true))).affected == 5)
    #expect(bench.pool.promisedBlocks(session: 7, sequence: 1) == 5)
  }

  @Test("a running sequence has no promise, not even a forked one")
  func running() {
    let bench = Bench(blocks: 8)
    bench.admit(1, 16)
    #expect(
      bench.run(.reserve(Reserve(sequence: 1, blocks: 1))).refusal
        == Refusal(.wrongState, sequence: 1))
    bench.run(.reserve(Reserve(sequence: 2, blocks: 3)))
    bench.run(.fork(1, [2]))
    #expect(bench.pool.stats().reserved == 0)
    bench.run(.preempt([1]))
    #expect(bench.run(.reserve(Reserve(sequence: 1, blocks: 1))).refusal == .none)
  }

  @Test("a hit and the target of a copy are kept from promised blocks too")
  func hitsAndCopies() {
    let bench = Bench(
      PoolConfiguration(blocks: 4, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    bench.run(.allocate(2))
    bench.run(.cacheBlocks([1], [11]))
    bench.run(.freeBlocks([1]))
    bench.run(.forkBlocks([2]))
    bench.run(.reserve(Reserve(sequence: 1, blocks: 3)))
    #expect(
      bench.run(.acquire([11], 0)).refusal
        == Refusal(.later, needed: 1, available: 3, evictable: 1, reserved: 3))
    #expect(
      bench.run(.copyOnWrite(2)).refusal == Refusal(.later, needed: 1, available: 3, reserved: 3))
    // A block that somebody holds costs nothing to hit.
    bench.run(.reserve(Reserve(sequence: 1, blocks: 2)))
    bench.run(.acquire([11], 0))
    #expect(bench.run(.acquire([11], 0)).cached == [1])
  }

  @Test("a promise is given beside the watermark, and its admission pays none")
  func watermark() {
    // int(0.25 x 9) = 2.
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 16, copyAck: .explicit, watermark: 0.25))
    bench.admit(9, 16)
    #expect(
      bench.run(.reserve(Reserve(sequence: 1, blocks: 6))).refusal
        == Refusal(.later, needed: 6, available: 7, watermark: 2, sequence: 1))
    bench.run(.reserve(Reserve(sequence: 1, blocks: 5)))
    // What runs may grow into the watermark.
    bench.run(.extend(Extend(sequence: 9, appendTokens: 32)))
    #expect(bench.admit(1, 80).newBlocks.count == 5)
  }

  @Test("nobody is preempted for blocks that are promised")
  func preemptsNobody() {
    let bench = Bench(blocks: 4)
    bench.admit(1, 16)
    bench.admit(2, 16)
    bench.run(.reserve(Reserve(sequence: 3, blocks: 2)))
    let seen = bench.apply(
      TestCommand(
        onRefusal: .preempt,
        operations: [.init(.extend(Extend(sequence: 1, appendTokens: 32)))]))
    // 3 blocks beside 2 promised ones are more than the pool's 4, whoever goes.
    #expect(
      seen.results[0].refusal
        == Refusal(.later, needed: 2, available: 2, reserved: 2, sequence: 1))
    #expect(seen.results[0].preempted.isEmpty)
  }

  @Test("a swap in leaves the promises of others alone, and ends its own")
  func swapsIn() {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 16, copyAck: .explicit, hostBlocks: 4))
    bench.admit(1, 48)
    bench.run(.swapOut([1]))
    bench.run(.acknowledge([], upTo: 3))
    bench.run(.reserve(Reserve(sequence: 2, blocks: 5)))
    // 3 blocks and a spare one beside 5 of 8.
    #expect(
      bench.run(.swapIn([1])).refusal
        == Refusal(.later, needed: 4, available: 8, reserved: 5, sequence: 1))
    bench.run(.reserve(Reserve(sequence: 2, blocks: 4)))
    bench.run(.reserve(Reserve(sequence: 1, blocks: 4)))
    #expect(bench.run(.swapIn([1])).refusal == .none)
    #expect(bench.pool.promisedBlocks(session: 0, sequence: 1) == 0)
    #expect(bench.pool.stats().reserved == 4)
  }

  @Test("a promise of nothing and a release of something are refused by name")
  func invalid() {
    let bench = Bench(blocks: 8)
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.reserve(Reserve(sequence: 1))).refusal
        == Refusal(.invalid, field: .blocks, limit: 1, sequence: 1))
    #expect(
      bench.run(.reserve(Reserve(sequence: 1, blocks: 2, releases: true))).refusal
        == Refusal(.invalid, field: .blocks, limit: 0, sequence: 1))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("a reset and a dry run leave no promise")
  func resets() {
    let bench = Bench(blocks: 8)
    let command = TestCommand(
      isDryRun: true, operations: [.init(.reserve(Reserve(sequence: 1, blocks: 4)))])
    #expect(bench.apply(command).results[0].affected == 4)
    #expect(bench.pool.stats().reserved == 0)
    bench.run(.reserve(Reserve(sequence: 1, blocks: 4)))
    bench.pool.reset()
    #expect(bench.pool.stats().reserved == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
