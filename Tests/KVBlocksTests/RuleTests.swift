import KVBlocks
import Testing

/// Rules of vLLM's block manager that have no better place. `RULES.md` lists all rules with their
/// tests.
@Suite("vLLM's rules, one by one")
struct RuleTests {
  private func bench(_ blocks: UInt32, caches: Bool = true) -> Bench {
    Bench(
      PoolConfiguration(blocks: blocks, blockSize: 16, copyAck: .explicit, cachesPrefixes: caches))
  }

  private func new(_ id: SequenceID, _ tokens: UInt32) -> TestOperation.New {
    .init(id: id, tokens: tokens, hashes: (0..<UInt64(tokens / 16)).map { $0 + 1 })
  }

  @Test("block 0 is the null block: nobody is given it, and nobody gives it back")
  func nullBlock() {
    let bench = bench(3)
    #expect(bench.run(.allocate(3)).newBlocks == [1, 2, 3])
    #expect(bench.run(.allocate(1)).refusal == Refusal(.later, needed: 1, available: 0))
    #expect(
      bench.run(.freeBlocks([0])).refusal
        == Refusal(.invalid, field: .blockIDs, limit: 3, subject: 0))
    #expect(
      bench.run(.evictBlocks([0])).refusal
        == Refusal(.invalid, field: .blockIDs, limit: 3, subject: 0))
  }

  @Test("a pool full of reusable prefixes is used by nobody")
  func usage() {
    let bench = bench(4)
    bench.run(.admit(.init(id: 1, add: new(1, 64))))
    bench.run(.free([1]))
    let stats = bench.pool.stats()
    #expect(stats.cached == 4)
    #expect(stats.free == 0)
    #expect(stats.active + stats.shared + stats.pinned == 0)
    #expect(!bench.pool.hasHeldBlocks)
    #expect(bench.run(.allocate(4)).newBlocks == [4, 3, 2, 1])
  }

  @Test("a preempted sequence hits the blocks that it generated")
  func ownGeneratedBlocks() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 16))))
    bench.run(.extend(Extend(sequence: 1, appendTokens: 17), hashes: [50]))
    bench.run(.preempt([1]))
    let resumed = bench.run(.admit(.init(id: 1)))
    #expect(resumed.cached == [1, 2])
    #expect(resumed.cachedTokens == 32)
    #expect(resumed.scheduled == 1)
  }

  @Test("a prompt is hit by the next admission of the same step")
  func sameStep() {
    let bench = bench(10)
    let seen = bench.apply(
      TestCommand(
        isStep: true,
        operations: [
          TestOperation(.admit(.init(id: 1, add: new(1, 48)))),
          TestOperation(.admit(.init(id: 2, add: new(2, 49)))),
        ]))
    #expect(seen.results[1].cached == [1, 2, 3])
    #expect(seen.results[1].newBlocks == [4])
  }

  @Test("preempted before its KV is computed a prompt of 48 is hit all the same, unless delayed")
  func neverComputed() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 48))))
    bench.run(.preempt([1]))
    #expect(bench.run(.admit(.init(id: 2, add: new(2, 49)))).cachedTokens == 48)
    let careful = self.bench(10)
    careful.run(.admit(.init(id: 1, add: new(1, 48), delays: true)))
    careful.run(.preempt([1]))
    #expect(careful.run(.admit(.init(id: 2, add: new(2, 49)))).cachedTokens == 0)
  }

  @Test("the last token sampled is never scheduled, so the block it fills stays without content")
  func lastSampledToken() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 31))))
    bench.run(.append(1, 1, hashes: [2]))
    bench.run(.free([1]))
    #expect(bench.pool.content(1) == BlockHash(1, 0))
    #expect(bench.pool.content(2) == nil)
    #expect(bench.queue == [2, 3, 4, 5, 6, 7, 8, 9, 10, 1])
  }

  @Test("an extension that needs no block is a success with none")
  func emptyIsSuccess() {
    let bench = bench(1)
    bench.run(.admit(.init(id: 1, add: new(1, 5))))
    let result = bench.run(.extend(Extend(sequence: 1, appendTokens: 1)))
    #expect(result.refusal == .none)
    #expect(result.newBlocks == [])
    #expect(result.scheduled == 1)
  }

  @Test("a fork takes no block: it succeeds in a full pool, tail and lookahead included")
  func forkInFullPool() {
    let bench = bench(3, caches: false)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 20), lookahead: 20)))
    #expect(bench.pool.stats().free == 0)
    #expect(bench.run(.fork(1, [2])).affected == 1)
    #expect(bench.table(2) == [1, 2, 3])
    #expect(bench.pool.block(3).refCount == 2)
  }

  @Test("who leaves before it was given anything frees nothing")
  func freedBeforeAllocation() {
    let bench = bench(4)
    bench.run(.add(new(1, 48)))
    let freed = bench.run(.free([1]))
    #expect(freed.affected == 1)
    #expect(freed.freed == 0)
    #expect(bench.queue == [1, 2, 3, 4])
  }

  @Test("rejected drafts keep their slots, and the next tokens need no block")
  func rejectedDrafts() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 16))))
    // One sampled token and three drafts behind it: slots for 20, content of 16.
    #expect(
      bench.run(.extend(Extend(sequence: 1, appendTokens: 1, lookaheadTokens: 3))).newBlocks == [2])
    // All three are rejected; one more is sampled.
    let next = bench.run(.extend(Extend(sequence: 1, appendTokens: 1, lookaheadTokens: 3)))
    #expect(next.newBlocks == [])
    #expect(bench.pool.stats().cached == 0)
    #expect(bench.pool.content(1) != nil)
    #expect(bench.pool.content(2) == nil)
  }

  @Test("what the hit of a fork's writer was copied into has no content until it is full itself")
  func copiedTail() {
    let bench = bench(10)
    bench.run(.admit(.init(id: 1, add: new(1, 31))))
    bench.run(.fork(1, [2]))
    let written = bench.run(.extend(Extend(sequence: 2, appendTokens: 1), hashes: [9]))
    #expect(written.copies.map(\.source) == [2])
    #expect(written.copies.map(\.tokens) == [15])
    // Full with the token it was copied for: it has its own content now.
    #expect(bench.pool.content(3) == BlockHash(9, 0))
    #expect(bench.pool.content(2) == nil)
  }
}
