import KVBlocks
import Testing

@Suite("sequences and tokens that went through")
struct TallyTests {
  @Test("admissions count once, whatever becomes of the sequence; those that wait are cancelled")
  func counts() {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 4, copyAck: .explicit, cachesPrefixes: false))
    bench.run(.add(.init(id: 1, tokens: 10)))
    bench.run(.add(.init(id: 2, tokens: 5)))
    bench.run(.admit(.init(id: 1)))
    bench.run(.append(1, 3))
    // 10 of its 13 tokens had slots.
    bench.run(.preempt([1]))
    bench.run(.admit(.init(id: 1)))
    bench.run(.free([1, 2]))
    var expected = SequenceTally()
    expected.admitted = 1
    expected.promptTokens = 10
    expected.appendedTokens = 3
    expected.preemptedTokens = 10
    expected.finished = 1
    expected.cancelled = 1
    #expect(bench.pool.tally == expected)
  }

  @Test("a dry run and a refusal count nothing")
  func standsOnly() {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 4, copyAck: .explicit, cachesPrefixes: false))
    bench.run(.add(.init(id: 1, tokens: 10)))
    _ = bench.apply(
      TestCommand(
        session: 0, isDryRun: true,
        operations: [
          TestOperation(.admit(.init(id: 1))), TestOperation(.append(1, 3)),
          TestOperation(.free([1])),
        ]))
    bench.admit(2, 400)
    #expect(bench.pool.tally == SequenceTally())
  }
}
