import KVBlocks
import Testing

/// What a pool does whose free blocks a strategy keeps and whose cached ones a policy keeps.
@Suite("free blocks in a strategy's order, cached ones in a policy's")
struct SplitTests {
  private func bench(_ strategy: AllocationStrategy, blocks: UInt32 = 8) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: 4, copyAck: .explicit, cachesPrefixes: true, strategy: strategy))
  }

  @Test("first-fit hands out the lowest ids, whatever came back when")
  func lowest() {
    let bench = bench(.firstFit)
    #expect(bench.run(.allocate(6)).newBlocks == [1, 2, 3, 4, 5, 6])
    bench.run(.freeBlocks([5, 2, 3]))
    #expect(bench.queue == [2, 3, 5, 7, 8])
    #expect(bench.run(.allocate(4)).newBlocks == [2, 3, 5, 7])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("best-fit takes the smallest run that holds all, the lowest on a tie, else the lowest ids")
  func smallest() {
    let bench = bench(.bestFit, blocks: 16)
    bench.run(.allocate(16))
    // Runs of 3, 2, 2 and 1.
    bench.run(.freeBlocks([1, 2, 3, 5, 6, 9, 10, 16]))
    #expect(bench.run(.allocate(2)).newBlocks == [5, 6])
    #expect(bench.run(.allocate(1)).newBlocks == [16])
    #expect(bench.run(.allocate(4)).newBlocks == [1, 2, 3, 9])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("free blocks first, then victims from the head; a hit unlinks, a free appends")
  func victims() {
    let bench = bench(.firstFit)
    #expect(bench.run(.allocate(4)).newBlocks == [1, 2, 3, 4])
    bench.run(.cacheBlocks([2, 3, 4], [20, 30, 40]))
    bench.run(.freeBlocks([4, 3, 2, 1]))
    #expect(bench.queue == [1, 5, 6, 7, 8, 4, 3, 2])
    // 4 is hit and comes back behind the others.
    #expect(bench.run(.acquire([40], 0)).cached == [4])
    #expect(bench.queue == [1, 5, 6, 7, 8, 3, 2])
    bench.run(.freeBlocks([4]))
    #expect(bench.queue == [1, 5, 6, 7, 8, 3, 2, 4])
    let taken = bench.run(.allocate(6))
    #expect(taken.newBlocks == [1, 5, 6, 7, 8, 3])
    #expect(taken.evicted == 1)
    #expect(bench.queue == [2, 4])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a cached block that is forgotten joins the free ones")
  func forgotten() {
    let bench = bench(.firstFit)
    bench.run(.allocate(3))
    bench.run(.cacheBlocks([1, 2, 3], [10, 20, 30]))
    bench.run(.freeBlocks([3, 2, 1]))
    bench.run(.evictBlocks([2]))
    #expect(bench.queue == [2, 4, 5, 6, 7, 8, 3, 1])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("the free queue and least recently used apart answer as one queue does")
  func splitDefault() {
    let one = BlockPool(capacity: 12, hashBytes: 32)
    let two = BlockPool(capacity: 12, hashBytes: 32)
    two.split(by: .freeQueue)
    var state: UInt64 = 5
    func next(_ n: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % n
    }
    var held: [BlockID] = []
    for _ in 0..<20_000 {
      switch next(4) {
      case 0:
        var a = FlatList<BlockID>()
        var b = FlatList<BlockID>()
        let count = UInt32(next(5))
        let taken = one.allocate(count, generation: 1, appendingTo: &a)
        #expect(two.allocate(count, generation: 1, appendingTo: &b) == taken)
        #expect(Array(a.elements) == Array(b.elements))
        held += Array(a.elements)
      case 1:
        if held.isEmpty { continue }
        let id = held[Int(next(UInt64(held.count)))]
        let hash = BlockHash(next(6), 0)
        #expect(one.cache(id, hash) == two.cache(id, hash))
      case 2:
        let found = one.first(BlockHash(next(6), 0))
        guard found != 0, !held.contains(found) else { continue }
        one.touch(found, for: .raw(0), generation: 2)
        two.touch(found, for: .raw(0), generation: 2)
        held.append(found)
      default:
        let back = Array(held.prefix(Int(next(4))))
        held.removeFirst(back.count)
        back.withUnsafeBufferPointer { #expect(one.free($0) == two.free($0)) }
      }
      #expect(one.freeQueue() == two.freeQueue())
      #expect(one.available == two.available)
    }
  }
}
