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
    #expect(bench.run(.free([2])).freed == 4)
    #expect(bench.queue == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("raw blocks come back to the front in the order they are named")
  func rawFreeKeepsOrder() {
    let bench = Bench(blocks: 8)
    #expect(bench.run(.allocate(5)).newBlocks == [1, 2, 3, 4, 5])
    #expect(bench.run(.freeBlocks([2, 5, 3])).freed == 3)
    #expect(bench.queue == [2, 5, 3, 6, 7, 8])
    #expect(bench.run(.freeBlocks([4, 1])).available == 8)
    #expect(bench.queue == [4, 1, 2, 5, 3, 6, 7, 8])
  }

  @Test("two tables freed in one operation are two splices, the second in front")
  func twoTablesFreed() {
    let bench = Bench(blocks: 8)
    bench.admit(1, 32)
    bench.admit(2, 32)
    #expect(bench.run(.free([1, 2])).freed == 4)
    #expect(bench.queue == [4, 3, 2, 1, 5, 6, 7, 8])
  }

  @Test("a list that names a block twice frees it once, at its last reference")
  func sameBlockTwice() {
    let bench = Bench(blocks: 4)
    bench.run(.allocate(3))
    #expect(bench.run(.forkBlocks([2])).counts == [2])
    let freed = bench.run(.freeBlocks([2, 1, 2, 3]))
    #expect(freed.freed == 3)
    #expect(bench.queue == [1, 2, 3, 4])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("an emptied queue is refilled and handed out again")
  func emptiedQueue() {
    let bench = Bench(blocks: 3)
    #expect(bench.run(.allocate(3)).newBlocks == [1, 2, 3])
    #expect(bench.queue == [])
    bench.run(.freeBlocks([3]))
    bench.run(.freeBlocks([1, 2]))
    #expect(bench.queue == [1, 2, 3])
    #expect(bench.run(.allocate(2)).newBlocks == [1, 2])
    #expect(bench.run(.allocate(1)).newBlocks == [3])
  }

  @Test("the pool alone hands out and takes back like the whole")
  func poolAlone() {
    let pool = BlockPool(capacity: 4)
    var list = FlatList<BlockID>()
    #expect(pool.allocate(3, generation: 9, appendingTo: &list))
    let isRefused = pool.allocate(2, generation: 9, appendingTo: &list)
    #expect(!isRefused)
    let first = Array(list.elements)
    #expect(first == [1, 2, 3])
    #expect(pool.view(2).generation == 9)
    let twice: [BlockID] = [1, 2, 1]
    let free = twice.withUnsafeBufferPointer { pool.free($0) }
    #expect(!free)
    #expect(pool.freeQueue() == [4])
    let all: [BlockID] = [3, 1, 2]
    let freed = all.withUnsafeBufferPointer { pool.free($0) }
    #expect(freed)
    #expect(pool.freeQueue() == [3, 1, 2, 4])
    #expect(pool.available == 4)
  }
}
