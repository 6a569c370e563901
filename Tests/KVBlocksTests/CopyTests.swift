import KVBlocks
import Testing

@Suite("copy on write")
struct CopyTests {
  @Test("a block held once is written in place")
  func inPlace() {
    let bench = Bench(blocks: 4)
    bench.run(.allocate(1))
    let result = bench.run(.copyOnWrite(1))
    #expect(result.block == 1)
    #expect(result.copies == [])
    #expect(bench.pool.revision == 1)
  }

  @Test("three sharers make two copies, and the last one waits for nobody once they are done")
  func sharersMakeOneCopyLess() {
    let bench = Bench(blocks: 8)
    bench.run(.allocate(1), session: 1)
    bench.run(.forkBlocks([1]), session: 2)
    bench.run(.forkBlocks([1]), session: 3)
    let first = bench.run(.copyOnWrite(1, filled: 5), session: 2)
    #expect(first.block == 2)
    #expect(
      first.copies == [
        CopyOrder(id: 1, source: 1, target: 2, tokens: 5, sequence: 0, tableIndex: 0, isRaw: true)
      ])
    #expect(bench.run(.copyOnWrite(1, filled: 5), session: 3).block == 3)
    #expect(bench.pool.block(1) == BlockView(state: .active, refCount: 1, generation: 1, pins: 2))
    // Slots from 5 on are read by no copy.
    #expect(bench.run(.copyOnWrite(1, filled: 5), session: 1).block == 1)
    // Slot 0 is: whoever rewrites it needs another block.
    #expect(bench.run(.copyOnWrite(1), session: 1).block == 4)
    #expect(bench.pool.block(1) == BlockView(state: .pinned, refCount: 0, generation: 1, pins: 3))
    #expect(bench.queue == [5, 6, 7, 8])
    for session: SessionID in [1, 2] {
      #expect(bench.run(.acknowledge([1]), session: session).freed == 0)
    }
    #expect(bench.run(.acknowledge([1]), session: 3).freed == 1)
    #expect(bench.queue == [1, 5, 6, 7, 8])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a copy on write needs a block, a valid fill and a hold")
  func refusals() {
    let bench = Bench(blocks: 2)
    bench.run(.allocate(2))
    bench.run(.forkBlocks([1]))
    let before = bench.pool.stateDigest()
    #expect(bench.run(.copyOnWrite(1)).refusal == Refusal(.later, needed: 1, available: 0))
    #expect(
      bench.run(.copyOnWrite(1, filled: 17)).refusal
        == Refusal(.invalid, field: .filledTokens, limit: 16))
    #expect(
      bench.run(.copyOnWrite(3)).refusal
        == Refusal(.invalid, field: .blockID, limit: 2, subject: 3))
    #expect(bench.run(.copyOnWrite(2), session: 4).refusal == Refusal(.notHeld, subject: 2))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("a freed target stays pinned until its copy is acknowledged")
  func freedTarget() {
    let bench = Bench(blocks: 4)
    bench.run(.allocate(1))
    bench.run(.forkBlocks([1]))
    #expect(bench.run(.copyOnWrite(1)).block == 2)
    #expect(bench.run(.freeBlocks([1, 2])).freed == 0)
    #expect(bench.pool.stats().pinned == 2)
    #expect(bench.pool.hasHeldBlocks)
    #expect(bench.queue == [3, 4])
    let result = bench.run(.acknowledge([], upTo: 1))
    #expect(result.affected == 1)
    #expect(result.freed == 2)
    #expect(bench.queue == [1, 2, 3, 4])
    #expect(!bench.pool.hasHeldBlocks)
  }

  @Test("unknown, repeated and future copies are refused as a whole")
  func acknowledgements() {
    let bench = Bench(blocks: 8)
    bench.run(.allocate(1))
    bench.run(.forkBlocks([1, 1]))
    bench.run(.copyOnWrite(1))
    bench.run(.copyOnWrite(1))
    let before = bench.pool.stateDigest()
    #expect(bench.run(.acknowledge([1, 3])).refusal == Refusal(.unknownCopy, subject: 3))
    #expect(bench.run(.acknowledge([2, 2])).refusal == Refusal(.unknownCopy, subject: 2))
    #expect(
      bench.run(.acknowledge([], upTo: 3)).refusal == Refusal(.invalid, field: .upTo, limit: 2))
    #expect(
      bench.run(.acknowledge([])).refusal == Refusal(.invalid, field: .copyIDs, limit: 1))
    #expect(bench.run(.acknowledge([1]), session: 2).refusal == Refusal(.unknownCopy, subject: 1))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.run(.acknowledge([2], upTo: 1)).affected == 2)
    #expect(bench.run(.acknowledge([1])).refusal == Refusal(.unknownCopy, subject: 1))
    #expect(bench.run(.acknowledge([], upTo: 2)).affected == 0)
  }

  @Test("in a next-step pool a step ends the copies of earlier commands, its own not")
  func nextStep() {
    let bench = Bench(blocks: 8, copyAck: .nextStep)
    bench.run(.allocate(1))
    bench.run(.forkBlocks([1]))
    bench.run(.copyOnWrite(1))
    #expect(bench.pool.stats().pendingCopies == 1)
    // A command that is no step ends nothing; nor does another session's step.
    bench.run(.allocate(1))
    _ = bench.apply(TestCommand(session: 3, isStep: true))
    #expect(bench.pool.stats().pendingCopies == 1)
    bench.run(.forkBlocks([1]))
    _ = bench.apply(
      TestCommand(isStep: true, operations: [TestOperation(.copyOnWrite(1))]))
    #expect(bench.pool.stats().pendingCopies == 1)
    #expect(bench.pool.stats().copies == 2)
  }

  @Test("an explicit pool waits for the acknowledgement, also of one inside a step")
  func explicit() {
    let bench = Bench(blocks: 8, copyAck: .explicit)
    bench.run(.allocate(1))
    bench.run(.forkBlocks([1]))
    bench.run(.copyOnWrite(1))
    _ = bench.apply(TestCommand(isStep: true))
    #expect(bench.pool.stats().pendingCopies == 1)
    let refused = bench.apply(TestCommand(isStep: true, acknowledgedCopyID: 2))
    #expect(refused.refusal == Refusal(.invalid, field: .acknowledgedCopyID, limit: 1))
    let revision = bench.pool.revision
    #expect(bench.apply(TestCommand(isStep: true, acknowledgedCopyID: 1)).revision == revision + 1)
    #expect(bench.pool.stats().pendingCopies == 0)
  }

  @Test("eight samples of a 1,000-token prompt make 7 copies and hold 166 blocks after 200 tokens")
  func parallelSampling() {
    let bench = Bench(blocks: 1_000, copyAck: .nextStep)
    #expect(bench.admit(1, 1_000).newBlocks.count == 63)
    #expect(bench.run(.fork(1, [2, 3, 4, 5, 6, 7, 8])).affected == 7)
    let ids: [SequenceID] = [1, 2, 3, 4, 5, 6, 7, 8]
    for step in 0..<200 {
      let seen = bench.apply(
        TestCommand(isStep: true, operations: [TestOperation(.decode(.init(ids: ids)))]))
      #expect(seen.results[0].refused == [])
      if step == 0 {
        // Seven leave the shared tail of 8 filled slots; the last one writes it in place.
        #expect(seen.results[0].copies.map(\.tokens) == [8, 8, 8, 8, 8, 8, 8])
        #expect(seen.results[0].copies.map(\.source) == Array(repeating: 63, count: 7))
        #expect(seen.results[0].copies.map(\.target) == [64, 65, 66, 67, 68, 69, 70])
        #expect(seen.results[0].copies.map(\.sequence) == [1, 2, 3, 4, 5, 6, 7])
      }
    }
    let stats = bench.pool.stats()
    #expect(stats.copies == 7)
    #expect(stats.blocks - stats.free == 166)
    #expect(stats.shared == 62)
    #expect(stats.active == 8 * 13)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("with a prompt of whole blocks nothing is copied: 0 copies, 168 blocks")
  func parallelSamplingOnBoundary() {
    let bench = Bench(blocks: 1_000, copyAck: .nextStep)
    #expect(bench.admit(1, 1_024).newBlocks.count == 64)
    bench.run(.fork(1, [2, 3, 4, 5, 6, 7, 8]))
    let ids: [SequenceID] = [1, 2, 3, 4, 5, 6, 7, 8]
    for _ in 0..<200 { bench.run(.decode(.init(ids: ids))) }
    let stats = bench.pool.stats()
    #expect(stats.copies == 0)
    #expect(stats.shared == 64)
    #expect(stats.blocks - stats.free == 168)
  }

  @Test("rewinding into a shared block copies only what is kept of it")
  func rewindIntoShared() {
    let bench = Bench(blocks: 8)
    bench.admit(1, 32)
    bench.run(.fork(1, [2]))
    // Back into block 2 (slots 16...31): 4 of its slots stay, then 14 tokens up to slot 33.
    bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 12, dropTokens: 12)))
    let result = bench.run(.extend(Extend(sequence: 1, appendTokens: 14)))
    #expect(result.scheduled == 14)
    #expect(
      result.copies == [
        CopyOrder(id: 1, source: 2, target: 3, tokens: 4, sequence: 1, tableIndex: 1, isRaw: false)
      ])
    #expect(result.newBlocks == [4])
    #expect(bench.table(1) == [1, 3, 4])
    #expect(bench.table(2) == [1, 2])
  }

  @Test("a shared block none of whose slots is kept is replaced, with nothing to copy")
  func nothingToCopy() {
    let bench = Bench(blocks: 8)
    bench.admit(1, 32)
    bench.run(.fork(1, [2]))
    bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 16, dropTokens: 16)))
    let result = bench.run(.extend(Extend(sequence: 1, appendTokens: 1)))
    #expect(result.copies.map(\.tokens) == [0])
    #expect(bench.table(1) == [1, 3])
    // An order of nothing stands in nobody's way.
    #expect(bench.run(.rewind(Rewind(sequence: 2, uncomputeTokens: 16))).refusal == .none)
    #expect(bench.run(.extend(Extend(sequence: 2))).copies == [])
  }
}
