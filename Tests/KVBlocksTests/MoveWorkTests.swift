import KVBlocks
import Testing

/// What acknowledging moves, and planning them, looks at.
@Suite("defragment: moves are found without searching tables again and again")
struct MoveWorkTests {
  /// One table of blocks 1 ... n, all of them on their way to n + 1 ... 2 n.
  private func bench(_ n: UInt32, forks: [SequenceID] = []) -> Bench {
    let bench = Bench(PoolConfiguration(blocks: 2 * n, blockSize: 1, copyAck: .explicit))
    bench.admit(1, n)
    if !forks.isEmpty { bench.run(.fork(1, forks)) }
    let moves = (1...n).map { BlockMove(source: $0, target: $0 + n) }
    #expect(bench.run(.applyDefragment(bench.pool.revision, moves)).refusal == .none)
    return bench
  }

  @Test("a table that moves as a whole is acknowledged without a search")
  func whole() {
    let bench = bench(1_000)
    bench.run(.acknowledge([], upTo: 1_000))
    #expect(bench.table(1) == Array(1_001...2_000))
    #expect(bench.pool.work == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("shared blocks that are acknowledged one by one are looked for once in a command")
  func shared() {
    let n: UInt32 = 500
    let bench = bench(n, forks: [2, 3])
    let acks = (1...UInt64(n)).map { TestOperation(.acknowledge([$0])) }
    let seen = bench.apply(TestCommand(operations: acks))
    #expect(seen.results.allSatisfy { $0.refusal == .none && $0.freed == 1 })
    for id: SequenceID in 1...3 { #expect(bench.table(id) == Array(n + 1...2 * n)) }
    // 500 copies, 1,500 entries twice, the pool's words.
    #expect(bench.pool.work <= UInt64(n) * 7 + 100)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("what comes between two acknowledgements sees the tables as they are by then")
  func between() {
    let bench = bench(4, forks: [2])
    let seen = bench.apply(
      TestCommand(operations: [
        TestOperation(.acknowledge([1])), TestOperation(.acknowledge([3])),
        TestOperation(.fork(2, [3])),
        TestOperation(.rewind(Rewind(sequence: 1, uncomputeTokens: 4))),
        TestOperation(.acknowledge([2])), TestOperation(.free([2])),
        TestOperation(.acknowledge([], upTo: 4)),
      ]))
    #expect(seen.results.allSatisfy { $0.refusal == .none })
    #expect(bench.table(3) == [5, 6, 7, 8])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("acknowledgements between which tables change are cut off")
  func cutOff() {
    let n: UInt32 = 500
    let bench = bench(n, forks: [2])
    bench.pool.workLimit = 10_000
    let pairs = (1...UInt64(n)).flatMap {
      [TestOperation(.acknowledge([$0])), TestOperation(.commit(1))]
    }
    let seen = bench.apply(TestCommand(operations: pairs))
    let quota = Refusal(.quota, field: .work, limit: 10_000)
    // Up to 500 copies, 1,000 entries twice and 15 words each: the fourth search passes the limit.
    #expect(seen.results[6].refusal == .none)
    #expect(seen.results[8].refusal == quota)
    #expect(bench.pool.checkInvariants() == nil)
    bench.run(.acknowledge([], upTo: UInt64(n)))
    #expect(bench.table(2) == Array(n + 1...2 * n))
  }

  @Test("moves that cannot be made count the tables that were looked through for them")
  func refused() {
    let bench = Bench(PoolConfiguration(blocks: 1_280, blockSize: 1, copyAck: .explicit))
    bench.admit(1, 500)
    bench.run(.allocate(1))
    bench.pool.workLimit = 1_000
    // Block 501 is held raw: no target. 500 entries of one table and 1,280 / 64 words, each time.
    let bad = TestOperation(
      .applyDefragment(bench.pool.revision, [.init(source: 1, target: 501)]))
    let seen = bench.apply(TestCommand(operations: [bad, bad, bad]))
    #expect(seen.results.map(\.refusal.reason) == [.wrongState, .wrongState, .quota])
    #expect(bench.pool.work == 1_042)
  }

  @Test("a dry run, and an undone command, of acknowledgements change no table")
  func undone() {
    let bench = bench(4, forks: [2])
    let before = bench.pool.stateDigest()
    let acks = [TestOperation(.acknowledge([2])), TestOperation(.acknowledge([3]))]
    _ = bench.apply(TestCommand(isDryRun: true, operations: acks))
    #expect(bench.pool.stateDigest() == before)
    _ = bench.apply(
      TestCommand(onRefusal: .abort, operations: acks + [TestOperation(.acknowledge([2]))]))
    #expect(bench.pool.stateDigest() == before)
    bench.run(.acknowledge([], upTo: 4))
    #expect(bench.table(2) == [5, 6, 7, 8])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("after a dump the moves of a table are looked for together")
  func loaded() throws {
    let n: UInt32 = 500
    let old = bench(n)
    var bytes = FlatList<UInt8>(minimumCapacity: 1)
    old.pool.dump(into: &bytes)
    let bench = Bench(try KVPool(loading: UnsafeRawBufferPointer(bytes.elements)))
    let acks = (1...UInt64(n)).map { TestOperation(.acknowledge([$0])) }
    _ = bench.apply(TestCommand(operations: acks))
    #expect(bench.table(1) == Array(n + 1...2 * n))
    #expect(bench.pool.work <= UInt64(n) * 3 + 100)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
