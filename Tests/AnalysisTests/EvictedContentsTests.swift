import Analysis
import KVBlocks
import Testing

private func hash(_ byte: UInt8) -> BlockHash {
  let word = UInt64(byte) &* 0x0101_0101_0101_0101
  return BlockHash(word, word, word, word)
}

@Suite("evicted contents")
struct EvictedContentsTests {
  @Test("are known with revision, time and for whom, until they are pushed out")
  func known() throws {
    let followed = Followed(blocks: 2)
    let evicted = EvictedContents(capacity: 2, secret: MapSecret(3, 4))
    followed.onChange = { evicted.note($0, at: $1, $2) }
    func fill(_ hashes: [UInt8]) {
      followed.allocate(2, session: UInt64(hashes[0]))
      followed.cache([1, 2], hashes, session: UInt64(hashes[0]))
      followed.free([1, 2], session: UInt64(hashes[0]))
    }
    fill([5, 6])  // Revisions 1, 2, 3.
    #expect(evicted.last(of: hash(5)) == nil)
    followed.now = 40
    followed.allocate(1, session: 9)  // Revision 4 takes block 1.
    let first = try #require(evicted.last(of: hash(5)))
    #expect(first.block == 1)
    #expect(evicted.last(of: hash(6)) == nil)
    #expect(first.revision == 4)
    #expect(first.milliseconds == 40)
    #expect(first.cause == .handOut)
    #expect(first.owner == BlockOwner(.raw, session: 9))
    #expect(evicted.count == 1)
    #expect(evicted.forgotten == 0)
    followed.free([1], session: 9)
    fill([7, 8])
    followed.allocate(2)
    // 5 and 6 were the first two of four, and two are kept.
    #expect(evicted.count == 4)
    #expect(evicted.forgotten == 2)
    #expect(evicted.last(of: hash(5)) == nil)
    #expect(evicted.last(of: hash(6)) == nil)
    #expect(evicted.last(of: hash(7))?.cause == .handOut)
    #expect(evicted.last(of: hash(8)) != nil)
  }

  @Test("are none of them while another block has the same")
  func twins() {
    let followed = Followed(blocks: 2)
    let evicted = EvictedContents(secret: MapSecret(3, 4))
    followed.onChange = { evicted.note($0, at: $1, $2) }
    followed.allocate(2)
    followed.cache([1], [5])
    followed.cache([2], [5])
    followed.free([1])
    followed.allocate(1)
    #expect(evicted.count == 0)
    followed.free([2])
    followed.allocate(1)
    #expect(evicted.last(of: hash(5))?.block == 2)
  }

  @Test("are forgotten when the pool begins anew, which is known")
  func cleared() {
    let followed = Followed(blocks: 1)
    let evicted = EvictedContents(secret: MapSecret(3, 4))
    followed.onChange = { evicted.note($0, at: $1, $2) }
    followed.allocate(1)
    followed.cache([1], [5])
    followed.free([1])
    followed.allocate(1)
    #expect(evicted.last(of: hash(5))?.revision == 4)
    followed.pool.reset()
    evicted.note(followed.log, at: followed.pool.revision, 0)
    #expect(evicted.last(of: hash(5)) == nil)
    #expect(evicted.clearedAt == 5)
  }
}
