import KVBlocks
import Testing

@Suite("schedulers with tables of their own reach the same cache by hashes")
struct RawContentTests {
  private func bench(_ blocks: UInt32) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: 16, copyAck: .explicit, cachesPrefixes: true, hashBytes: 16))
  }

  @Test("what was cached is acquired again, with new blocks behind it, in one")
  func acquire() {
    let bench = bench(6)
    #expect(bench.run(.acquire([1, 2, 3], 3)).newBlocks == [1, 2, 3])
    #expect(bench.run(.cacheBlocks([1, 2], [1, 2])).affected == 2)
    #expect(bench.run(.cacheBlocks([1], [1])).affected == 0)
    bench.run(.freeBlocks([3, 2, 1]))
    #expect(bench.queue == [3, 4, 5, 6, 2, 1])
    let again = bench.run(.acquire([1, 2, 3], 1), session: 7)
    #expect(again.cached == [1, 2])
    #expect(again.cachedTokens == 32)
    #expect(again.newBlocks == [3])
    #expect(bench.queue == [4, 5, 6])
    #expect(bench.pool.holds(session: 7).rawBlocks == 3)
    // Held by one session, hit by another.
    #expect(bench.run(.acquire([1], 0)).cached == [1])
    #expect(bench.pool.block(1).refCount == 2)
    #expect(bench.run(.freeBlocks([1, 2]), session: 7).freed == 1)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a hit that nobody held is handed out anew, one that somebody holds keeps its generation")
  func generations() {
    let bench = bench(6)
    bench.run(.acquire([1, 2], 2))
    bench.run(.cacheBlocks([1, 2], [1, 2]))
    bench.run(.freeBlocks([2]))
    // Revision 4: block 1 is still held since revision 1.
    let hit = bench.apply(
      TestCommand(session: 7, operations: [TestOperation(.acquire([1, 2], 1))]))
    #expect(hit.revision == 4)
    #expect((hit.results[0].cached, hit.results[0].newBlocks) == ([1, 2], [3]))
    #expect([1, 2, 3].map { bench.pool.block($0).generation } == [1, 4, 4])
    #expect(
      bench.run(.freeBlocks([1, 2, 3], generations: [4]), session: 7).refusal
        == Refusal(.staleGeneration, subject: 1))
    #expect(bench.run(.freeBlocks([2, 3], generations: [4]), session: 7).freed == 2)
    #expect(bench.run(.freeBlocks([1]), session: 7).refusal == .none)
  }

  @Test("an acquisition takes all or nothing, hits charged that nobody holds")
  func atomic() {
    let bench = bench(4)
    bench.run(.allocate(2))
    bench.run(.cacheBlocks([1, 2], [1, 2]))
    bench.run(.freeBlocks([2, 1]))
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.acquire([1, 2], 3)).refusal
        == Refusal(.later, needed: 5, available: 4, evictable: 2))
    #expect(
      bench.run(.acquire([1, 2], 5)).refusal
        == Refusal(.never, needed: 5, available: 4, evictable: 2))
    #expect(bench.run(.acquire([], 0)).refusal == Refusal(.invalid, field: .count, limit: 1))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.run(.acquire([1, 2], 2)).newBlocks == [3, 4])
  }

  @Test("a lookup goes up to the first hole and changes nothing")
  func lookup() throws {
    let bench = bench(4)
    bench.run(.allocate(3))
    bench.run(.cacheBlocks([1, 2, 3], [1, 2, 3]))
    bench.run(.evictBlocks([2]))
    let before = bench.pool.stateDigest()
    var list = FlatList<BlockID>()
    var bytes = Array(repeating: UInt8(0), count: 48)
    for i in 0..<3 { bytes[i * 16] = UInt8(i + 1) }
    let found = try bytes.withUnsafeBufferPointer {
      try bench.pool.lookupBlocks($0, into: &list)
    }
    #expect(Array(list.elements) == [1])
    #expect(found.cachedTokens == 16)
    #expect(found.evictableBlocks == 0)
    #expect(bench.pool.stateDigest() == before)
    #expect(throws: Refusal(.invalid, field: .blockHashes, limit: 16)) {
      try bytes[..<47].withUnsafeBufferPointer {
        _ = try bench.pool.lookupBlocks($0, into: &list)
      }
    }
  }

  @Test("more cached tokens than 32 bits can count are found and acquired all the same")
  func manyTokens() throws {
    let bench = Bench(
      PoolConfiguration(
        blocks: 2, blockSize: 65_536, copyAck: .explicit, cachesPrefixes: true, hashBytes: 16))
    bench.run(.allocate(1))
    bench.run(.cacheBlocks([1], [1]))
    // Hashes are the client's: 65,536 equal ones are 2^32 tokens.
    let acquired = bench.run(.acquire(Array(repeating: 1, count: 65_536), 0))
    #expect(acquired.cached.count == 65_536)
    #expect(acquired.cachedTokens == .max)
    var list = FlatList<BlockID>()
    let bytes = (0..<65_536 * 16).map { UInt8($0 % 16 == 0 ? 1 : 0) }
    let found = try bytes.withUnsafeBufferPointer {
      try bench.pool.lookupBlocks($0, into: &list)
    }
    #expect(list.count == 65_536)
    #expect(found.cachedTokens == .max)
  }

  @Test("only held blocks are cached, one hash each, and never as something else")
  func cacheBlocks() {
    let bench = bench(4)
    bench.run(.allocate(2))
    bench.run(.cacheBlocks([1], [1]))
    let before = bench.pool.stateDigest()
    #expect(bench.run(.cacheBlocks([2, 3], [2, 3])).refusal == Refusal(.notHeld, subject: 3))
    #expect(bench.run(.cacheBlocks([2, 1], [2, 3])).refusal == Refusal(.wrongState, subject: 1))
    #expect(
      bench.run(.cacheBlocks([2, 1], [2])).refusal
        == Refusal(.invalid, field: .blockHashes, limit: 32))
    #expect(
      bench.run(.cacheBlocks([5], [2])).refusal
        == Refusal(.invalid, field: .blockIDs, limit: 4, subject: 5))
    #expect(
      bench.run(.cacheBlocks([], [])).refusal == Refusal(.invalid, field: .blockIDs, limit: 1))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("writing into a cached block that is held alone takes its content away")
  func writing() {
    let bench = bench(4)
    bench.run(.allocate(1))
    bench.run(.cacheBlocks([1], [1]))
    #expect(bench.run(.copyOnWrite(1, filled: 16)).block == 1)
    #expect(bench.pool.content(1) != nil)
    #expect(bench.run(.copyOnWrite(1, filled: 8)).block == 1)
    #expect(bench.pool.content(1) == nil)
  }

  @Test("a sequence hits what a raw holder cached, and the reverse")
  func layers() {
    let bench = bench(8)
    bench.run(.allocate(2))
    bench.run(.cacheBlocks([1, 2], [1, 2]))
    let new = TestOperation.New(id: 1, tokens: 50, hashes: [1, 2, 3])
    #expect(bench.run(.admit(.init(id: 1, add: new))).cached == [1, 2])
    bench.run(.freeBlocks([1, 2]))
    #expect(bench.run(.acquire([1, 2, 3], 0)).cached == [1, 2, 3])
    bench.run(.free([1]))
    #expect(bench.run(.freeBlocks([3, 2, 1])).freed == 3)
    #expect(bench.queue == [4, 5, 6, 7, 8, 3, 2, 1])
  }

  @Test("a dry run and an aborted command leave the cache as it was")
  func undo() {
    let bench = bench(6)
    bench.run(.allocate(4))
    bench.run(.cacheBlocks([1, 2, 3], [1, 1, 1]))
    bench.run(.freeBlocks([1, 2]))
    let before = bench.pool.stateDigest()
    var command = TestCommand(onRefusal: .abort)
    command.operations = [
      TestOperation(.evictBlocks([1])),
      TestOperation(.cacheBlocks([4], [1])),
      TestOperation(.evictBlocks([3])),
      TestOperation(.allocate(4)),
      TestOperation(.cacheBlocks([1, 2], [5, 1])),
      TestOperation(
        .admit(.init(id: 1, add: .init(id: 1, tokens: 17, hashes: [1]), lookahead: 99))),
    ]
    #expect(bench.apply(command).refusal.reason == .never)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.twins(of: 3) == [1, 2, 3])
    command.operations.removeLast()
    command.isDryRun = true
    #expect(bench.apply(command).results.count == 5)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.twins(of: 3) == [1, 2, 3])
    #expect(bench.pool.checkInvariants() == nil)
  }
}
