import KVBlocks
import Testing

@Suite("raw blocks have owners, and only owners give them back")
struct RawBlockTests {
  @Test("an allocation takes all or none and says what is missing")
  func allOrNone() {
    let bench = Bench(blocks: 10)
    bench.run(.allocate(7))
    let before = bench.pool.stateDigest()
    #expect(bench.run(.allocate(4)).refusal == Refusal(.later, needed: 4, available: 3))
    #expect(bench.run(.allocate(11)).refusal == Refusal(.never, needed: 11, available: 3))
    #expect(bench.run(.allocate(0)).refusal == Refusal(.invalid, field: .count, limit: 1))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.run(.allocate(3)).newBlocks == [8, 9, 10])
  }

  @Test("a list with one block that is not held frees none")
  func freeAllOrNone() {
    let bench = Bench(blocks: 10)
    bench.run(.allocate(3))
    bench.run(.allocate(1), session: 5)
    let before = bench.pool.stateDigest()
    #expect(bench.run(.freeBlocks([1, 2, 4])).refusal == Refusal(.notHeld, subject: 4))
    #expect(bench.run(.freeBlocks([1, 1])).refusal == Refusal(.notHeld, subject: 1))
    #expect(bench.run(.freeBlocks([3, 9])).refusal == Refusal(.notHeld, subject: 9))
    #expect(bench.run(.freeBlocks([1]), session: 6).refusal == Refusal(.notHeld, subject: 1))
    #expect(
      bench.run(.freeBlocks([2, 0])).refusal
        == Refusal(.invalid, field: .blockIDs, limit: 10, subject: 0))
    #expect(
      bench.run(.freeBlocks([2, 11])).refusal
        == Refusal(.invalid, field: .blockIDs, limit: 10, subject: 11))
    #expect(
      bench.run(.freeBlocks([])).refusal == Refusal(.invalid, field: .blockIDs, limit: 1))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.revision == 2)
    #expect(bench.run(.freeBlocks([1, 2, 3])).freed == 3)
  }

  @Test("a double free is refused, not believed")
  func doubleFree() {
    let bench = Bench(blocks: 4)
    bench.run(.allocate(1))
    #expect(bench.run(.freeBlocks([1])).freed == 1)
    #expect(bench.run(.freeBlocks([1])).refusal == Refusal(.notHeld, subject: 1))
    #expect(bench.queue == [1, 2, 3, 4])
  }

  @Test("a generation is the revision that handed the block out; a stale one is refused")
  func generations() {
    let bench = Bench(blocks: 4)
    bench.run(.allocate(2))  // revision 1
    bench.run(.freeBlocks([1]))  // 2
    #expect(bench.run(.allocate(1)).newBlocks == [1])  // 3
    #expect(bench.pool.block(1).generation == 3)
    #expect(bench.pool.block(2).generation == 1)
    let stale = bench.run(.freeBlocks([2, 1], generations: [1]))
    #expect(stale.refusal == Refusal(.staleGeneration, subject: 1))
    #expect(
      bench.run(.freeBlocks([2, 1], generations: [1, 3, 3])).refusal
        == Refusal(.invalid, field: .generations, limit: 2))
    #expect(bench.run(.freeBlocks([2, 1], generations: [1, 3])).freed == 2)
    #expect(bench.queue == [2, 1, 3, 4])
  }

  @Test("a forked block belongs to each session that holds it, as often as it holds it")
  func forks() {
    let bench = Bench(blocks: 4)
    bench.run(.allocate(2))
    #expect(bench.run(.forkBlocks([1, 1, 2]), session: 8).counts == [2, 3, 2])
    #expect(bench.pool.holds(session: 8) == (rawBlocks: 2, sequences: 0))
    #expect(bench.pool.rawReferences(session: 8, block: 1) == 2)
    #expect(bench.run(.freeBlocks([1, 1])).refusal == Refusal(.notHeld, subject: 1))
    #expect(bench.run(.freeBlocks([1])).freed == 0)
    #expect(bench.run(.freeBlocks([1])).refusal == Refusal(.notHeld, subject: 1))
    #expect(bench.run(.freeBlocks([1, 1]), session: 8).freed == 1)
    #expect(bench.run(.forkBlocks([1])).refusal == Refusal(.notHeld, subject: 1))
    #expect(bench.pool.stats().shared == 1)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a sequence's block cannot be freed raw, but it can be forked")
  func sequenceBlocks() {
    let bench = Bench(blocks: 4)
    bench.admit(1, 20)
    #expect(bench.run(.freeBlocks([1])).refusal == Refusal(.notHeld, subject: 1))
    #expect(bench.run(.forkBlocks([1])).counts == [2])
    #expect(bench.run(.free([1])).freed == 1)
    #expect(bench.queue == [2, 3, 4])
    #expect(bench.run(.freeBlocks([1])).freed == 1)
    #expect(bench.queue == [1, 2, 3, 4])
  }
}
