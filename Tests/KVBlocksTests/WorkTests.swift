import KVBlocks
import Testing

/// A command of a few MB names long sequences very often. What it takes is limited elsewhere; here it
/// takes nothing.
@Suite("what a command looks at is limited, whatever becomes of it")
struct WorkTests {
  private func bench(_ blocks: UInt32, limit: UInt64) -> Bench {
    let bench = Bench(
      PoolConfiguration(blocks: blocks, blockSize: 1, cachesPrefixes: true, hostBlocks: 10))
    bench.pool.workLimit = limit
    return bench
  }

  private func apply(_ kinds: [TestOperation.Kind], to bench: Bench) -> [Refusal] {
    bench.apply(TestCommand(isStep: true, operations: kinds.map { TestOperation($0) })).results
      .map(\.refusal)
  }

  private func exceeded(_ limit: UInt64, _ sequence: SequenceID) -> Refusal {
    Refusal(.quota, field: .work, limit: limit, sequence: sequence)
  }

  @Test("the limit is 16,777,216 entries, far above a step that admits 256 long prompts")
  func limit() {
    #expect(KVPool.maximumWorkPerCommand == 16_777_216)
    #expect(Bench(blocks: 1).pool.workLimit == 16_777_216)
  }

  @Test("hits of admissions that are refused")
  func refusedAdmissions() {
    // 100 blocks are held and cached, 51 more are needed and none is left.
    let bench = bench(151, limit: 1_000)
    bench.run(.allocate(50))
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 101, hashes: Array(1...101)))))
    bench.run(.add(.init(id: 2, tokens: 151, hashes: Array(1...100) + Array(1_000...1_050))))
    let later = Refusal(.later, needed: 51, available: 0, sequence: 2)
    let before = bench.pool.stateDigest()
    let seen = apply(Array(repeating: .admit(.init(id: 2)), count: 13), to: bench)
    // The tenth reaches the limit, the eleventh passes it, and that shows in the next.
    #expect(seen == Array(repeating: later, count: 11) + [exceeded(1_000, 2), exceeded(1_000, 2)])
    #expect(bench.pool.stateDigest() == before)
    // A command of its own again.
    #expect(bench.run(.admit(.init(id: 2))).refusal == later)
  }

  @Test("the table that an extension walks, again and again")
  func walks() {
    let bench = bench(200, limit: 1_000)
    bench.admit(1, 1)
    #expect(bench.run(.extend(Extend(sequence: 1, lookaheadTokens: 100))).newBlocks.count == 100)
    // Lookahead computes nothing: the same 100 blocks every time.
    let again = TestOperation.Kind.extend(Extend(sequence: 1, lookaheadTokens: 100))
    let seen = apply(Array(repeating: again, count: 12), to: bench)
    #expect(
      seen == Array(repeating: .none, count: 10) + Array(repeating: exceeded(1_000, 1), count: 2))
    #expect(apply([.decode(.init(ids: [1], append: [0], lookahead: [100]))], to: bench) == [.none])
  }

  @Test("content that is forgotten and cached by turns")
  func turns() {
    let bench = bench(200, limit: 1_000)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 101, hashes: Array(1...101)))))
    let pair: [TestOperation.Kind] = [
      .rewind(Rewind(sequence: 1, uncomputeTokens: 101)), .extend(Extend(sequence: 1)),
    ]
    let seen = apply(Array(repeating: pair, count: 5).flatMap { $0 }, to: bench)
    // 101 forgotten, 101 walked, 101 cached: 303 a turn, and 101 and 101 more in the fourth.
    #expect(seen.prefix(7).allSatisfy { $0 == .none })
    #expect(seen[7] == exceeded(1_000, 1))
    // A rewind is a fact, and has nothing left to take back.
    #expect(seen[8] == Refusal(.invalid, field: .uncomputeTokens, limit: 0, sequence: 1))
    #expect(seen[9] == exceeded(1_000, 1))
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("tables of swaps that find no room")
  func swaps() {
    let bench = bench(200, limit: 1_000)
    bench.admit(1, 100)
    let seen = apply(Array(repeating: .swapOut([1]), count: 12), to: bench)
    #expect(seen[9] == Refusal(.never, needed: 100, available: 10, sequence: 1))
    #expect(seen[10] == exceeded(1_000, 1))
  }

  @Test("a window that is looked for from the end counts what it passes over")
  func windows() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 4, blockSize: 1, cachesPrefixes: true, slidingWindow: 3))
    bench.pool.workLimit = 1_000
    bench.run(.allocate(4))
    bench.run(.add(.init(id: 1, tokens: 101, hashes: Array(1...101))))
    let seen = apply(Array(repeating: .admit(.init(id: 1, partial: true)), count: 12), to: bench)
    // The whole takes more than the pool has.
    #expect(seen[10].reason == .never)
    #expect(seen[11] == exceeded(1_000, 1))
  }

  @Test("a reset of the cache counts an eighth of the pool's blocks, and is done whatever its size")
  func resets() {
    let bench = Bench(PoolConfiguration(blocks: 400, blockSize: 1, cachesPrefixes: true))
    bench.pool.workLimit = 40
    let seen = apply([.resetPrefixCache, .resetPrefixCache], to: bench)
    #expect(seen == [.none, exceeded(40, 0)])
    #expect(apply([.resetAfterPreempting], to: bench) == [.none])
  }

  @Test("victims of a size class are looked for past those of another once")
  func otherClasses() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 2_000, blockSize: 1,
        sizeClasses: [
          SizeClass(blockSize: 1, blocks: 1_000, maxExpectedTokens: 1),
          SizeClass(blockSize: 2, blocks: 1_000),
        ],
        copyAck: .explicit))
    for id in 1...1_000 as ClosedRange<SequenceID> { bench.admit(id, 2) }
    for id in 1_001...1_500 as ClosedRange<SequenceID> { bench.admit(id, 1) }
    // Of the second class nothing is left. 499 blocks more are 499 victims, all before 500 others.
    let grow = TestOperation(
      .extend(Extend(sequence: 1, appendTokens: 998)), onRefusal: .preempt)
    let seen = bench.apply(TestCommand(operations: [grow])).results[0]
    #expect(seen.refusal == .none)
    #expect(seen.preempted == (502...1_000).reversed())
    #expect(bench.pool.work == 500)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("one token more of each of 256 sequences costs nothing")
  func decode() {
    let bench = Bench(blocks: 1_024)
    for id in 1...256 as ClosedRange<SequenceID> { bench.admit(id, 16) }
    bench.pool.workLimit = 0
    #expect(apply([.decode(.init(ids: Array(1...256)))], to: bench) == [.none])
    #expect(apply([.decode(.init(ids: Array(1...256)))], to: bench) == [.none])
  }
}
