import KVBlocks
import Testing
import TestSupport

@Suite("blocks keep their content until they are handed out anew")
struct PrefixIndexTests {
  /// A pool alone with caching on, and short words for what is done to it.
  final class Cache {
    let pool: BlockPool

    init(_ blocks: UInt32, hashBytes: Int = 32) {
      pool = BlockPool(capacity: blocks, hashBytes: hashBytes)
    }

    func take(_ count: UInt32) -> [BlockID] {
      var list = FlatList<BlockID>()
      guard pool.allocate(count, generation: 1, appendingTo: &list) else { return [] }
      return Array(list.elements)
    }

    func free(_ ids: [BlockID]) {
      let isFreed = ids.withUnsafeBufferPointer { pool.free($0) }
      #expect(isFreed)
    }
  }

  private func hash(_ n: UInt64) -> BlockHash { BlockHash(n, 0) }

  @Test("50 tokens given back leave the queue 4 5 6 7 8 9 10 3 2 1")
  func cachedToTheTail() {
    let cache = Cache(10)
    #expect(cache.take(4) == [1, 2, 3, 4])
    for id: BlockID in 1...3 { #expect(cache.pool.cache(id, hash(UInt64(id)))) }
    cache.free([4, 3, 2, 1])
    #expect(cache.pool.freeQueue() == [4, 5, 6, 7, 8, 9, 10, 3, 2, 1])
    #expect(cache.pool.available == 10)
    #expect(cache.pool.view(3).state == .cached)
    #expect(cache.pool.view(4).state == .free)
  }

  @Test("handing a block out takes its content away, deepest block of a chain first")
  func evictionOnHandOut() {
    let cache = Cache(10)
    _ = cache.take(4)
    for id: BlockID in 1...3 { cache.pool.cache(id, hash(UInt64(id))) }
    cache.free([4, 3, 2, 1])
    #expect(cache.take(8) == [4, 5, 6, 7, 8, 9, 10, 3])
    #expect(cache.pool.first(hash(3)) == 0)
    #expect(cache.pool.first(hash(2)) == 2)
    #expect(cache.pool.first(hash(1)) == 1)
  }

  @Test("a hit leaves the middle of the queue, a lookup does not")
  func touch() {
    let cache = Cache(5)
    _ = cache.take(3)
    for id: BlockID in 1...3 { cache.pool.cache(id, hash(UInt64(id))) }
    cache.free([3, 2, 1])
    #expect(cache.pool.freeQueue() == [4, 5, 3, 2, 1])
    #expect(cache.pool.first(hash(2)) == 2)
    #expect(cache.pool.freeQueue() == [4, 5, 3, 2, 1])
    cache.pool.touch(2, for: .raw(0), generation: 9)
    #expect(cache.pool.freeQueue() == [4, 5, 3, 1])
    #expect(cache.pool.view(2).refCount == 1)
    #expect(cache.pool.view(2).generation == 9)
    cache.pool.touch(2, for: .raw(0), generation: 10)
    #expect(cache.pool.view(2).state == .shared)
    cache.free([2, 2])
    #expect(cache.pool.freeQueue() == [4, 5, 3, 1, 2])
  }

  @Test("the same content may be there twice, and the first survivor answers")
  func duplicates() {
    let cache = Cache(6)
    _ = cache.take(4)
    for id: BlockID in [3, 1, 4] { #expect(cache.pool.cache(id, hash(7))) }
    #expect(cache.pool.twins(of: 4) == [3, 1, 4])
    #expect(cache.pool.first(hash(7)) == 3)
    #expect(cache.pool.forget(1))
    #expect(!cache.pool.forget(1))
    #expect(cache.pool.twins(of: 4) == [3, 4])
    cache.pool.forget(3)
    #expect(cache.pool.first(hash(7)) == 4)
    // Cached again it comes last.
    #expect(cache.pool.cache(3, hash(7)))
    #expect(cache.pool.twins(of: 3) == [4, 3])
    #expect(!cache.pool.cache(4, hash(8)))
  }

  @Test("the same content in two groups is two entries")
  func groups() {
    let cache = Cache(4)
    _ = cache.take(2)
    cache.pool.cache(1, hash(7), group: 0)
    cache.pool.cache(2, hash(7), group: 1)
    #expect(cache.pool.first(hash(7)) == 1)
    #expect(cache.pool.first(hash(7), group: 1) == 2)
    #expect(cache.pool.first(hash(7), group: 2) == 0)
  }

  @Test("forgetting keeps references and places in the queue")
  func forget() {
    let cache = Cache(4)
    _ = cache.take(3)
    for id: BlockID in 1...3 { cache.pool.cache(id, hash(UInt64(id))) }
    cache.free([2, 1])
    cache.pool.forget(2)
    cache.pool.forget(3)
    #expect(cache.pool.freeQueue() == [4, 2, 1])
    #expect(cache.pool.view(2).state == .free)
    #expect(cache.pool.view(3).state == .active)
    #expect(cache.pool.content(3) == nil)
    cache.free([3])
    #expect(cache.pool.freeQueue() == [3, 4, 2, 1])
  }

  @Test("all words of a hash count, at 32 and at 16 bytes")
  func words() {
    let cache = Cache(8)
    _ = cache.take(5)
    let all = [
      BlockHash(1, 2, 3, 4), BlockHash(0, 2, 3, 4), BlockHash(1, 0, 3, 4), BlockHash(1, 2, 0, 4),
      BlockHash(1, 2, 3, 0),
    ]
    for (i, hash) in all.enumerated() { cache.pool.cache(UInt32(i + 1), hash) }
    for (i, hash) in all.enumerated() { #expect(cache.pool.first(hash) == UInt32(i + 1)) }
    let short = Cache(4, hashBytes: 16)
    _ = short.take(1)
    short.pool.cache(1, BlockHash(5, 6))
    #expect(short.pool.content(1) == BlockHash(5, 6))
    #expect(short.pool.first(BlockHash(6, 5)) == 0)
  }

  @Test("a block costs at most 112 bytes with its hash and the index, 32 without caching")
  func memory() {
    for blocks: UInt32 in [1_000, 4_096, 12_289, 100_000] {
      #expect(BlockPool(capacity: blocks, hashBytes: 32).memoryPerBlock <= 112)
    }
    #expect(BlockPool(capacity: 100_000).memoryPerBlock < 33)
  }

  @Test("a full index finds, keeps the order of and forgets whatever a dictionary does")
  func agreesWithDictionary() {
    let blocks: UInt32 = 300
    let cache = Cache(blocks)
    _ = cache.take(blocks)
    var expected: [UInt64: [BlockID]] = [:]
    var random = SplitMix64(seed: 11)
    for _ in 0..<20_000 {
      let id = UInt32(1 + random.next() % UInt64(blocks))
      if let old = cache.pool.content(id) {
        #expect(cache.pool.forget(id))
        expected[old.words.0]?.removeAll { $0 == id }
      } else {
        let content = random.next() % 150
        cache.pool.cache(id, hash(content))
        expected[content, default: []].append(id)
      }
    }
    for content: UInt64 in 0..<150 {
      let ring = expected[content] ?? []
      #expect(cache.pool.first(hash(content)) == ring.first ?? 0)
      if let first = ring.first { #expect(cache.pool.twins(of: first) == ring) }
    }
  }
}
