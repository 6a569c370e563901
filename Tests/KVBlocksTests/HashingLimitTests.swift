import KVBlocks
import Testing

/// A request brings tokens to hash, and can make that many times the work that its length says.
@Suite("what a request makes the pool hash is limited")
struct HashingLimitTests {
  private func refusals(_ kinds: [TestOperation.Kind], of bench: Bench) -> [Refusal] {
    bench.apply(TestCommand(isStep: true, operations: kinds.map { TestOperation($0) })).results
      .map(\.refusal)
  }

  /// Counts what it is asked to hash.
  private final class Counting: TokenHashing {
    let hasher: TestHasher
    var calls = 0
    var bytesOfKey: UInt64 = 1
    init(_ configuration: PoolConfiguration) { hasher = TestHasher(configuration) }
    func hash(_ job: TokenHashJob, into hashes: UnsafeMutablePointer<UInt8>) -> Int {
      calls += 1
      return hasher.hash(job, into: hashes)
    }
    func keyBytes(
      _ extraKeys: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int, sizeClass: UInt8
    ) -> UInt64 {
      hasher.keyBytes(extraKeys, from: start, to: end, sizeClass: sizeClass) * bytesOfKey
    }

    func accepts(extraKeys: UnsafeBufferPointer<UInt8>) -> Bool { true }
  }

  @Test("a prompt that is refused whatever is cached is not hashed, unless it is kept")
  func lazyHashing() {
    let configuration = PoolConfiguration(blocks: 4, blockSize: 16, cachesPrefixes: true)
    let hasher = Counting(configuration)
    let pool = KVPool(configuration, hasher: hasher)
    let outcome = Outcome()
    func admit(_ id: SequenceID, _ tokens: UInt32, keeps: Bool = false) -> TestOperation {
      TestOperation(
        .admit(
          .init(
            id: id, add: .init(id: id, tokens: tokens, tokenIDs: Array(0..<tokens)), keeps: keeps)))
    }
    func apply(_ command: TestCommand) -> [Refusal] {
      pool.apply(command, into: outcome)
      return Seen(outcome).results.map(\.refusal)
    }
    // Never: five blocks.
    #expect(
      apply(TestCommand(operations: [admit(1, 65)]))
        == [Refusal(.never, needed: 5, available: 4, sequence: 1)])
    #expect(hasher.calls == 0)
    // The budget is used up.
    #expect(
      apply(TestCommand(isStep: true, tokenBudget: 32, operations: [admit(1, 32), admit(2, 32)]))
        == [.none, Refusal(.notAttempted, sequence: 2)])
    #expect(hasher.calls == 1)
    // Something was preempted.
    #expect(
      apply(
        TestCommand(
          isStep: true, refusesAdmissionAfterPreemption: true,
          operations: [TestOperation(.preempt([1])), admit(2, 32)]))
        == [.none, Refusal(.notAttempted, sequence: 2)])
    #expect(hasher.calls == 1)
    // Whoever is kept has its hashes: the next admission hits by them.
    #expect(
      apply(TestCommand(operations: [admit(3, 65, keeps: true)]))[0].reason == .never)
    #expect(hasher.calls == 2)
    #expect(pool.describe(session: 0, sequence: 3)?.tokens == 65)
    var found = FlatList<BlockID>()
    #expect(pool.lookup(session: 0, sequence: 3, into: &found)?.cachedTokens == 32)
    #expect(hasher.calls == 2)
  }

  @Test("a long key of small blocks is hashed for 134,217,728 bytes in a command and no more")
  func longKeys() {
    // Each key is two MiB, as the hasher has it: 64 blocks of one token are the limit.
    let configuration = PoolConfiguration(blocks: 8, blockSize: 1, cachesPrefixes: true)
    let hasher = Counting(configuration)
    hasher.bytesOfKey = 1 << 21
    let bench = Bench(configuration, hasher: hasher)
    func exceeded(_ id: SequenceID) -> Refusal {
      Refusal(.quota, field: .extraKeys, limit: 134_217_728, sequence: id)
    }
    func new(_ id: SequenceID, _ tokens: UInt32) -> TestOperation.New {
      .init(id: id, tokens: tokens, tokenIDs: Array(0..<tokens), keys: [9])
    }
    #expect(bench.run(.add(new(1, 65))).refusal == exceeded(1))
    #expect(bench.pool.revision == 0)
    // Together in a command; tokens that come later count by the keys that are kept.
    #expect(
      refusals([.add(new(1, 40)), .add(new(2, 25)), .add(new(2, 4))], of: bench)
        == [.none, exceeded(2), .none])
    let ids = Array(0..<65 as Range<UInt32>)
    #expect(bench.run(.append(1, 65, ids: ids)).refusal == exceeded(1))
    #expect(bench.run(.admit(.init(id: 2))).refusal == .none)
    let before = bench.pool.stateDigest()
    #expect(
      refusals([.decode(.init(ids: [2], append: [65], tokens: ids))], of: bench) == [exceeded(2)])
    #expect(bench.pool.stateDigest() == before)
    // Without ids nothing is hashed.
    #expect(bench.run(.append(1, 65)).refusal == .none)
    #expect(bench.run(.append(1, 65, ids: ids)).refusal == .none)
  }

  @Test("a hash takes at most 64 tokens ahead of its block, in a dump as well")
  func lookahead() {
    var most = PoolConfiguration(blocks: 1, blockSize: 1, cachesPrefixes: true)
    #expect(PoolConfiguration.maximumHashLookahead == 64)
    most = PoolConfiguration(
      blocks: 1, blockSize: 1, cachesPrefixes: true, hashLookaheadTokens: 64)
    var bytes = dump(KVPool(most))
    // CONF, two numbers, four bytes, an empty seed and the flag that it was drawn.
    let place = 15 + 8 + 4 + 4 + 1
    #expect(bytes[place] == 64)
    bytes[place] = 65
    #expect(
      refusal(of: sealed(bytes))?.detail.hasSuffix("hash_lookahead_tokens is 65, must be 0...64")
        == true)
  }
}
