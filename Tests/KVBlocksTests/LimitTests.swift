import KVBlocks
import Testing

/// One command, or many of them, must not take more memory than a server has.
@Suite("limits of a pool")
struct LimitTests {
  @Test("one command hands out 1,048,576 blocks and not one more")
  func blocksOfACommand() {
    let bench = Bench(blocks: 1_100_000)
    #expect(
      bench.run(.allocate(1_048_577)).refusal
        == Refusal(.quota, field: .count, needed: 1_048_577, limit: 1_048_576))
    #expect(bench.run(.allocate(1_048_576)).newBlocks.count == 1_048_576)
  }

  @Test("admitting and preempting by turns in one step is cut off at the limit")
  func amplification() {
    let bench = Bench(blocks: 65_536, blockSize: 1)
    bench.run(.add(.init(id: 1, tokens: 65_536)))
    var step = TestCommand(isStep: true)
    for _ in 0..<17 {
      step.operations += [TestOperation(.admit(.init(id: 1))), TestOperation(.preempt([1]))]
    }
    let seen = bench.apply(step)
    #expect(seen.results[30].newBlocks.count == 65_536)
    #expect(
      seen.results[32].refusal
        == Refusal(.quota, needed: 65_536, limit: 1_048_576, sequence: 1))
    #expect(seen.results[33].refusal == Refusal(.wrongState, sequence: 1))
    #expect(bench.state(1) == .preempted)
    #expect(bench.run(.admit(.init(id: 1))).refusal == .none)
  }

  @Test("blocks that children share count as well: a table times the children")
  func forks() {
    let bench = Bench(blocks: 4_096, blockSize: 1)
    bench.admit(1, 4_096)
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.fork(1, Array(2...258))).refusal
        == Refusal(
          .quota, field: .childIDs, needed: 1_052_672, limit: 1_048_576, sequence: 1))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.run(.fork(1, Array(2...257))).affected == 256)
    #expect(bench.pool.block(1).refCount == 257)
  }

  @Test("children of a sequence that waits count by the hashes that are copied for them")
  func forksOfWaiting() {
    let bench = Bench(PoolConfiguration(blocks: 8, blockSize: 1, cachesPrefixes: true))
    bench.run(.add(.init(id: 1, tokens: 4_096, hashes: Array(1...4_096))))
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.fork(1, Array(2...258))).refusal
        == Refusal(
          .quota, field: .childIDs, needed: 1_052_672, limit: 1_048_576, sequence: 1))
    #expect(bench.pool.stateDigest() == before)
    // Two forks of one command count together.
    let ids: [SequenceID] = Array(2...129)
    var step = TestCommand(isStep: true)
    step.operations = [
      .init(.fork(1, ids)), .init(.fork(1, ids.map { $0 + 200 })), .init(.fork(1, [1_000])),
    ]
    let seen = bench.apply(step)
    #expect(seen.results[0].affected == 128 && seen.results[1].affected == 128)
    #expect(
      seen.results[2].refusal
        == Refusal(.quota, field: .childIDs, needed: 4_096, limit: 1_048_576, sequence: 1))
  }

  @Test(
    "token ids that are kept, extra keys and labels of a parent count too, 32 bytes for a block")
  func forksOfKept() {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 16, cachesPrefixes: true, keepsTokens: true))
    // 64 hashes, 4,096 bytes of ids, 640 of keys and 960 of a label: 64 + 128 + 20 + 30.
    bench.run(
      .add(
        .init(
          id: 1, tokens: 1_024, label: Array(repeating: 76, count: 960),
          tokenIDs: Array(0..<1_024), keys: Array(repeating: 75, count: 640))))
    #expect(
      bench.run(.fork(1, Array(2...4_335))).refusal
        == Refusal(
          .quota, field: .childIDs, needed: 4_334 * 242, limit: 1_048_576, sequence: 1))
    #expect(bench.run(.fork(1, Array(2...4_333))).affected == 4_332)
    // Without a cache only the label is copied.
    let plain = Bench(blocks: 8)
    plain.run(.add(.init(id: 1, tokens: 16, label: Array(repeating: 76, count: 65_536))))
    #expect(
      plain.run(.fork(1, Array(2...514))).refusal
        == Refusal(
          .quota, field: .childIDs, needed: 513 * 2_048, limit: 1_048_576, sequence: 1))
  }

  @Test("null blocks before a window are memory as well: a table starts with at most 1,048,576")
  func nullBlocks() {
    let bench = Bench(
      PoolConfiguration(blocks: 64, blockSize: 1, cachesPrefixes: true, slidingWindow: 4))
    bench.run(.add(.init(id: 1, tokens: 2_000_000_000)))
    #expect(
      bench.run(.admit(.init(id: 1, partial: true, external: 1_999_999_990))).refusal
        == Refusal(.quota, needed: 2_000_000_000, limit: 1_048_576, sequence: 1))
    bench.run(.add(.init(id: 2, tokens: 1_048_576)))
    #expect(
      bench.run(.admit(.init(id: 2, partial: true, external: 1_048_570))).nulls == 1_048_567)
  }

  @Test("a pool has at most 1,048,576 sequences")
  func sequences() {
    let bench = Bench(blocks: 1)
    bench.run(.add(.init(id: 1, tokens: 1)))
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.fork(1, Array(2...1_048_577))).refusal
        == Refusal(.quota, field: .childIDs, limit: 1_048_576, sequence: 1))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("nobody is preempted for an extension that cannot be met")
  func reservedExtension() {
    let bench = Bench(blocks: 10)
    bench.admit(1, 16)
    bench.admit(2, 16)
    let seen = bench.apply(
      TestCommand(
        onRefusal: .preempt,
        operations: [
          TestOperation(.extend(Extend(sequence: 1, appendTokens: 1, reservedBlocks: 9)))
        ]))
    #expect(
      seen.results[0].refusal == Refusal(.later, needed: 1, available: 8, reserved: 9, sequence: 1))
    #expect(seen.results[0].preempted == [])
    #expect(bench.state(2) == .running)
  }

  /// Keys that the finalizer of MurmurHash3 alone, which anyone can invert, sends to one place.
  @Test("ids chosen to collide do not make a chain")
  func collidingIDs() {
    let inverse: UInt64 = 0x4F74_430C_22A5_4005
    #expect(inverse &* 0xFF51_AFD7_ED55_8CCD == 1)
    let bench = Bench(blocks: 1)
    bench.run(.add(.init(id: 1, tokens: 1)))
    let ids = (1...4_000).map { i -> SequenceID in
      var h = UInt64(i) << 20
      h ^= h >> 33
      h &*= inverse
      return h ^ (h >> 33)
    }
    #expect(bench.run(.fork(1, ids)).affected == 4_000)
    #expect(bench.pool.longestProbe() < 400)
  }

  @Test("a block is an end of at most 1,024 copies under way")
  func pins() {
    let bench = Bench(blocks: 1_100)
    bench.run(.allocate(1))
    bench.run(.forkBlocks(Array(repeating: 1, count: 1_025)))
    var step = TestCommand()
    step.operations = Array(repeating: TestOperation(.copyOnWrite(1)), count: 1_025)
    let seen = bench.apply(step)
    #expect(seen.results[1_023].refusal == .none)
    #expect(seen.results[1_024].refusal == Refusal(.quota, limit: 1_024, subject: 1))
  }

  @Test("a block with all the copies it may have, and pinned too, is not swapped out")
  func pinnedEnd() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 1_100, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, hostBlocks: 4,
        pinBudgetBlocks: 1))
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 16, hashes: [7]))))
    bench.run(.forkBlocks(Array(repeating: 1, count: 1_024)))
    var step = TestCommand()
    step.operations = Array(repeating: TestOperation(.copyOnWrite(1)), count: 1_024)
    #expect(bench.apply(step).results[1_023].refusal == .none)
    #expect(bench.run(.pin([7])).affected == 1)
    #expect(bench.pool.block(1).pins == 1_025)
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.swapOut([1])).refusal == Refusal(.quota, limit: 1_024, sequence: 1, subject: 1))
    #expect(bench.pool.stateDigest() == before)
    #expect(reloaded(bench.pool) != nil)
  }

  @Test("a pin says how many tokens it has up to the largest number there is")
  func tokensOfPins() {
    let bench = Bench(
      PoolConfiguration(
        blocks: 1, blockSize: 65_536, cachesPrefixes: true, pinBudgetBlocks: 1))
    bench.run(.allocate(1))
    bench.run(.cacheBlocks([1], [7]))
    let seen = bench.run(.pin(Array(repeating: 7, count: 65_536)))
    #expect(seen.affected == 1 && seen.tokens == UInt32.max)
  }

  /// Hashes that the digest, which has no secret, took for the same: its step multiplies by their
  /// second word and a constant, and with that constant as the second word by 0.
  @Test("pins of contents chosen to look alike do not make a chain")
  func collidingPins() {
    let configuration = PoolConfiguration(
      blocks: 1, blockSize: 16, cachesPrefixes: true, pinBudgetBlocks: 1)
    let pool = KVPool(configuration, secret: MapSecret(0x1234_5678_9ABC_DEF1, 7))
    let outcome = Outcome()
    pool.apply(
      TestCommand(operations: [.init(.allocate(1)), .init(.cacheBlocks([1], [7]))]), into: outcome)
    for i in 1...1_000 as ClosedRange<UInt64> {
      let words: [UInt64] = [7, 0, 0, 0, i, 0xE703_7ED1_A0B4_28DB, 0, 0]
      words.withUnsafeBytes { raw in
        let pin = PinPrefix(blockHashes: raw.assumingMemoryBound(to: UInt8.self))
        let operations = [Operation(.pin(pin))]
        operations.withUnsafeBufferPointer {
          pool.apply(Command(session: 0, operations: $0), into: outcome)
        }
      }
    }
    #expect(pool.pinnedPrefixes(session: 0).count == 1_000)
    #expect(pool.longestPinChain() <= 2)
  }

  @Test("a session is told of its own copies that are still to be acknowledged")
  func pendingCopies() {
    let bench = Bench(blocks: 8)
    for session: SessionID in [1, 2] {
      let block = bench.run(.allocate(1), session: session).newBlocks
      bench.run(.forkBlocks(block + block), session: session)
      bench.run(.copyOnWrite(block[0]), session: session)
      bench.run(.copyOnWrite(block[0]), session: session)
    }
    #expect(bench.run(.acknowledge([1]), session: 1).pendingCopies == 1)
    #expect(bench.run(.acknowledge([], upTo: 2), session: 1).pendingCopies == 0)
    #expect(bench.pool.stats().pendingCopies == 2)
  }

  @Test("a dry run over a huge pool keeps no memory, and a reset that is tried out takes none")
  func undoMemory() {
    let bench = Bench(
      PoolConfiguration(blocks: 100_000, blockSize: 1, cachesPrefixes: true, pinBudgetBlocks: 10))
    bench.run(.allocate(100_000))
    bench.run(.cacheBlocks(Array(1...100_000), Array(1...100_000)))
    bench.run(.freeBlocks(Array(1...100_000)))
    bench.run(.pin([1, 2, 3]))
    let before = bench.pool.stateDigest()
    func dryRun(_ kinds: [TestOperation.Kind]) -> [Seen.Result] {
      bench.apply(
        TestCommand(isDryRun: true, operations: kinds.map { TestOperation($0) })
      ).results
    }
    let seen = dryRun([.resetPrefixCache])
    #expect(seen[0].affected == 100_000 && seen[0].available == 100_000)
    #expect(bench.pool.undoBytes < 1 << 16)
    // Behind another operation it is done, and undone.
    let others = dryRun([.resetPrefixCache, .acquire([4], 1)])
    #expect(others[0].affected == 100_000 && others[1].cached == [])
    #expect(bench.pool.undoBytes < 16 << 20)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.run(.resetPrefixCache).affected == 100_000)
  }
}
