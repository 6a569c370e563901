import KVBlocks
import Testing

@Suite("the order in which blocks are handed out and come back")
struct QueueTests {
  @Test("a freed table comes back to the front, tail first, so the next one descends")
  func freedTableDescends() {
    let bench = Bench(blocks: 10)
    #expect(bench.admit(1, 50).newBlocks == [1, 2, 3, 4])
    #expect(bench.run(.free([1])).freed == 4)
    #expect(bench.queue == [4, 3, 2, 1, 5, 6, 7, 8, 9, 10])
    #expect(bench.admit(2, 50).newBlocks == [4, 3, 2, 1])
    #expect(bench.pool.checkInvariants() == nil)
  }
}
