import KVBlocks
import Testing

/// One command, or many of them, must not take more memory than a server has.
@Suite("limits of a pool")
struct LimitTests {
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
      seen.results[0].refusal == Refusal(.later, needed: 1, available: 0, sequence: 1))
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
}
