import KVBlocks
import Testing

/// One command, or many of them, must not take more memory than a server has.
@Suite("limits of a pool")
struct LimitTests {
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
