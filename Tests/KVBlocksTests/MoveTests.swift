import KVBlocks
import Testing

@Suite("defragment: moves under way, and tables")
struct MoveTests {
  @Test(
    "until the acknowledgement the table names the source; then all tables, the index and the refs")
  func whenTablesChange() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 10, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 40, hashes: [11, 12]))))
    bench.run(.fork(1, [2]))
    let result = bench.run(
      .applyDefragment(bench.pool.revision, [.init(source: 1, target: 9)]))
    #expect(
      result.copies == [
        CopyOrder(
          id: 1, source: 1, target: 9, tokens: 16, sequence: 1, tableIndex: 0, isRaw: false,
          kind: .move)
      ])
    #expect(bench.table(1) == [1, 2, 3])
    #expect(bench.pool.block(9).state == .pinned)
    #expect(bench.pool.twins(of: 1) == [1])
    // Forked and hit while it is under way, the new tables change with the others.
    bench.run(.fork(2, [3]))
    bench.run(.admit(.init(id: 4, add: .init(id: 4, tokens: 17, hashes: [11]))))
    #expect(bench.table(4)[0] == 1)
    let done = bench.apply(TestCommand(operations: [TestOperation(.acknowledge([1]))]))
    #expect(done.abandoned == [])
    #expect([1, 2, 3, 4].map { bench.table($0)[0] } == [9, 9, 9, 9])
    #expect(bench.pool.block(9).refCount == 4)
    #expect(bench.pool.block(1).state == .free)
    #expect(bench.pool.twins(of: 9) == [9])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("content moves at its place among its twins: the first still answers")
  func twins() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 10, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    for id: SequenceID in 1...3 {
      bench.run(
        .admit(.init(id: id, add: .init(id: id, tokens: 16, hashes: [11], skips: true))))
    }
    #expect(bench.pool.twins(of: 2) == [1, 2, 3])
    bench.run(
      .applyDefragment(
        bench.pool.revision,
        [
          .init(source: 1, target: 8), .init(source: 2, target: 9),
        ]))
    let before = bench.pool.stateDigest()
    _ = bench.apply(
      TestCommand(isDryRun: true, operations: [TestOperation(.acknowledge([], upTo: 2))]))
    #expect(bench.pool.stateDigest() == before)
    bench.run(.acknowledge([], upTo: 2))
    #expect(bench.pool.twins(of: 3) == [8, 9, 3])
    #expect(bench.pool.checkInvariants() == nil)
  }

  /// The moves that a block in use makes impossible once they are ordered.
  @Test(
    "written, freed, preempted, swapped or taken raw while it moves: the move is given up",
    arguments: 0..<5)
  func abandoned(what: Int) {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 16, copyAck: .explicit, hostBlocks: 4))
    bench.admit(1, 20)
    bench.run(.applyDefragment(bench.pool.revision, [.init(source: 2, target: 8)]))
    switch what {
    case 0: #expect(bench.run(.extend(Extend(sequence: 1, appendTokens: 1))).copies == [])
    case 1: bench.run(.free([1]))
    case 2: bench.run(.preempt([1]))
    case 3: bench.run(.swapOut([1]))
    default: bench.run(.forkBlocks([2]))
    }
    let table = bench.table(1)
    let done = bench.apply(TestCommand(operations: [TestOperation(.acknowledge([1]))]))
    #expect(done.abandoned == [1])
    #expect(bench.table(1) == table)
    #expect(bench.pool.block(8).state == .free)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("rewritten slots of a block that moves are written to another block")
  func rewritten() {
    let bench = Bench(blocks: 8)
    bench.admit(1, 20)
    bench.run(.applyDefragment(bench.pool.revision, [.init(source: 2, target: 8)]))
    bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 2, dropTokens: 2)))
    let written = bench.run(.extend(Extend(sequence: 1, appendTokens: 2)))
    #expect(written.copies.map(\.source) == [2])
    let done = bench.apply(TestCommand(operations: [TestOperation(.acknowledge([1]))]))
    #expect(done.abandoned == [1])
    #expect(bench.table(1) == [1, 3])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a plan of another revision is refused, and so is one that is not valid: nothing changed")
  func refusals() {
    let bench = Bench.singles(8, held: [1, 3, 5])
    bench.run(.forkBlocks([5]))
    let old = bench.plan(.longestRun)
    bench.admit(20, 16)
    let before = bench.pool.stateDigest()
    let revision = bench.pool.revision
    #expect(
      bench.run(.applyDefragment(old.revision, old.moves)).refusal
        == Refusal(.revisionMoved, field: .planRevision, subject: revision))
    func wrong(_ moves: [BlockMove]) -> Refusal {
      bench.run(.applyDefragment(revision, moves)).refusal
    }
    let good = BlockMove(source: 1, target: 7)
    func state(_ index: UInt64, _ block: UInt64) -> Refusal {
      Refusal(.wrongState, field: .planMoves, limit: index, subject: block)
    }
    #expect(wrong([good, .init(source: 5, target: 6)]) == state(1, 5))
    #expect(wrong([.init(source: 7, target: 6)]) == state(0, 7))
    #expect(wrong([.init(source: 1, target: 3)]) == state(0, 3))
    #expect(wrong([good, .init(source: 1, target: 6)]) == state(1, 1))
    #expect(wrong([good, .init(source: 3, target: 7)]) == state(1, 7))
    #expect(
      wrong([good, .init(source: 9, target: 7)])
        == Refusal(.invalid, field: .planMoves, limit: 1, subject: 9))
    #expect(
      wrong([.init(source: 1, target: 0)])
        == Refusal(.invalid, field: .planMoves, limit: 0, subject: 0))
    #expect(bench.pool.stateDigest() == before)
    #expect(wrong([]) == .none)
    #expect(bench.pool.stateDigest() == before)
    #expect(wrong([good]) == .none)
    // In flight it does not move again, nor is anything moved onto it.
    let next = bench.pool.revision
    #expect(
      bench.run(.applyDefragment(next, [.init(source: 1, target: 6)])).refusal == state(0, 1))
    #expect(
      bench.run(.applyDefragment(next, [.init(source: 3, target: 7)])).refusal == state(0, 7))
  }

  @Test("a next-step pool changes its tables when the session steps again")
  func nextStep() {
    let bench = Bench.singles(6, held: [2, 4], ack: .nextStep)
    bench.run(.applyDefragment(bench.pool.revision, [.init(source: 4, target: 1)]))
    _ = bench.apply(TestCommand(session: 3, isStep: true))
    #expect(bench.table(4) == [4])
    _ = bench.apply(TestCommand(isStep: true))
    #expect(bench.table(4) == [1])
  }
}
