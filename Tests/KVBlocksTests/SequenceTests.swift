import KVBlocks
import Testing

@Suite("sequences come, grow, branch and go")
struct SequenceTests {
  @Test("vLLM's smallest case: two prompts fit exactly, the next token preempts the second")
  func smallestPreemption() {
    let bench = Bench(blocks: 10)
    #expect(bench.admit(1, 80).newBlocks == [1, 2, 3, 4, 5])
    #expect(bench.admit(2, 80).newBlocks == [6, 7, 8, 9, 10])
    let seen = bench.apply(
      TestCommand(
        onRefusal: .preempt, operations: [TestOperation(.decode(.init(ids: [1, 2])))]))
    let result = seen.results[0]
    #expect(result.preempted == [2])
    #expect(result.refused == [])
    #expect(result.counts == [1, 0])
    #expect(result.newBlocks == [10])
    #expect(bench.table(1) == [1, 2, 3, 4, 5, 10])
    #expect(bench.state(2) == .preempted)
    // Its sampled token is a fact all the same.
    #expect(bench.pool.describe(session: 0, sequence: 2)?.tokens == 81)
    #expect(bench.queue == [9, 8, 7, 6])
    #expect(bench.pool.stats().preemptions == 1)
    // 81 tokens need 6 blocks; 4 are there.
    #expect(
      bench.run(.admit(.init(id: 2))).refusal
        == Refusal(.later, needed: 6, available: 4, sequence: 2)
    )
    bench.run(.free([1]))
    #expect(bench.run(.admit(.init(id: 2))).newBlocks == [10, 5, 4, 3, 2, 1])
  }

  @Test("an admission must fit whole, unless it says otherwise, and a chunk takes what it needs")
  func gates() {
    let bench = Bench(blocks: 10)
    bench.run(.allocate(4))
    let new = TestOperation.New(id: 1, tokens: 100)
    #expect(
      bench.run(.admit(.init(id: 1, add: new, maxTokensNow: 32))).refusal
        == Refusal(.later, needed: 7, available: 6, sequence: 1))
    #expect(bench.state(1) == nil)
    let partial = bench.run(.admit(.init(id: 1, add: new, maxTokensNow: 32, partial: true)))
    #expect(partial.newBlocks == [5, 6])
    #expect(partial.scheduled == 32)
    let chunk = bench.run(.extend(Extend(sequence: 1, maxTokensNow: 40)))
    #expect(chunk.scheduled == 40)
    #expect(chunk.newBlocks == [7, 8, 9])
    // 100 tokens: 7 blocks in all, 2 more, 1 left.
    #expect(
      bench.run(.extend(Extend(sequence: 1))).refusal
        == Refusal(.later, needed: 2, available: 1, sequence: 1))
    #expect(
      bench.run(.admit(.init(id: 2, add: .init(id: 2, tokens: 161)))).refusal
        == Refusal(.never, needed: 11, available: 1, sequence: 2))
  }

  @Test("reserved blocks count against what is wanted now, not against the gate of the whole")
  func reserved() {
    let bench = Bench(blocks: 4)
    let new = TestOperation.New(id: 1, tokens: 64)
    #expect(
      bench.run(.admit(.init(id: 1, add: new, maxTokensNow: 32, reserved: 3))).refusal
        == Refusal(.later, needed: 2, available: 4, reserved: 3, sequence: 1))
    #expect(
      bench.run(.admit(.init(id: 1, add: new, maxTokensNow: 32, reserved: 2))).scheduled == 32)
  }

  @Test("blocks to be left alone are left, or the answer is no, even where none is needed")
  func reservedBeyondAvailable() {
    let bench = Bench(blocks: 4)
    bench.admit(1, 17)
    bench.run(.allocate(2))
    // Token 18 has its slot in block 2 already; no block is available, and one is to stay.
    #expect(
      bench.run(.extend(Extend(sequence: 1, appendTokens: 1, reservedBlocks: 1))).refusal
        == Refusal(.later, needed: 0, available: 0, reserved: 1, sequence: 1))
    #expect(bench.run(.extend(Extend(sequence: 1))).scheduled == 1)
  }

  @Test("lookahead gives slots that the next tokens use: 16 tokens and 3 ahead take 2 blocks")
  func lookahead() {
    let bench = Bench(blocks: 10)
    let new = TestOperation.New(id: 1, tokens: 16)
    #expect(bench.run(.admit(.init(id: 1, add: new, lookahead: 3))).newBlocks == [1, 2])
    let next = bench.run(.extend(Extend(sequence: 1, appendTokens: 1)))
    #expect(next.scheduled == 1)
    #expect(next.newBlocks == [])
    #expect(next.refusal == .none)
  }

  @Test("a refused admission leaves no trace unless it is to be kept waiting")
  func keepsOnRefusal() {
    let bench = Bench(blocks: 2)
    let new = TestOperation.New(id: 9, tokens: 40, label: Array("a".utf8))
    let before = bench.pool.stateDigest()
    #expect(bench.run(.admit(.init(id: 9, add: new))).refusal.reason == .never)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.run(.admit(.init(id: 9, add: new, keeps: true))).refusal.reason == .never)
    #expect(bench.state(9) == .waiting)
    #expect(bench.pool.revision == 1)
    #expect(
      bench.run(.admit(.init(id: 9, add: new))).refusal == Refusal(.sequenceExists, sequence: 9))
  }

  @Test("appended tokens stay when their slots are refused")
  func appendedIsAFact() {
    let bench = Bench(blocks: 2)
    bench.admit(1, 32)
    let refused = bench.run(.extend(Extend(sequence: 1, appendTokens: 1)))
    #expect(refused.refusal == Refusal(.never, needed: 3, available: 0, sequence: 1))
    #expect(bench.pool.describe(session: 0, sequence: 1)?.tokens == 33)
    #expect(bench.pool.describe(session: 0, sequence: 1)?.computedTokens == 32)
    #expect(bench.pool.revision == 2)
    #expect(bench.run(.extend(Extend(sequence: 1))).refusal.reason == .never)
    #expect(bench.pool.revision == 2)
  }

  @Test("an extension that must preempt takes the latest admitted first, at last itself")
  func extendPreempts() {
    let bench = Bench(blocks: 4)
    for id: SequenceID in [1, 2, 3, 4] { bench.admit(id, 16) }
    var step = TestCommand(onRefusal: .preempt)
    step.operations = [TestOperation(.extend(Extend(sequence: 2, appendTokens: 1)))]
    #expect(bench.apply(step).results[0].preempted == [4])
    #expect(bench.table(2) == [2, 4])
    // Only the third is left behind the second; then the second itself.
    bench.run(.preempt([3]))
    bench.run(.allocate(1))
    step.operations = [TestOperation(.extend(Extend(sequence: 2, appendTokens: 16)))]
    let last = bench.apply(step).results[0]
    #expect(last.preempted == [2])
    #expect(last.refusal == Refusal(.later, needed: 1, available: 0, sequence: 2))
    #expect(bench.state(1) == .running)
  }

  @Test("children of a running sequence run and share; children of a waiting one wait")
  func forkStates() {
    let bench = Bench(blocks: 10)
    bench.admit(1, 40)
    bench.run(.add(.init(id: 2, tokens: 5, priority: -1, label: Array("b".utf8))))
    #expect(bench.run(.fork(1, [3, 4])).affected == 2)
    #expect(bench.table(3) == [1, 2, 3])
    #expect(bench.state(4) == .running)
    #expect(bench.pool.block(1).refCount == 3)
    bench.run(.fork(2, [5]))
    #expect(bench.state(5) == .waiting)
    #expect(bench.pool.describe(session: 0, sequence: 5)?.priority == -1)
    let before = bench.pool.stateDigest()
    #expect(bench.run(.fork(1, [6, 6])).refusal == Refusal(.sequenceExists, sequence: 6))
    #expect(bench.run(.fork(1, [6, 2])).refusal == Refusal(.sequenceExists, sequence: 2))
    #expect(bench.run(.fork(7, [8])).refusal == Refusal(.unknownSequence, sequence: 7))
    #expect(bench.run(.fork(1, [])).refusal == Refusal(.invalid, field: .childIDs, limit: 1))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.run(.free([1, 3])).freed == 0)
    #expect(bench.run(.free([4])).freed == 3)
    #expect(bench.queue.prefix(3) == [3, 2, 1])
  }

  @Test("rewinding keeps the slots unless they are to be released, tail first")
  func rewind() {
    let bench = Bench(blocks: 10)
    bench.admit(1, 60)
    bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 20)))
    #expect(bench.table(1) == [1, 2, 3, 4])
    #expect(bench.run(.extend(Extend(sequence: 1))).newBlocks == [])
    let cut = bench.run(.rewind(Rewind(sequence: 1, dropTokens: 40, releasesBlocks: true)))
    #expect(cut.freed == 2)
    #expect(bench.table(1) == [1, 2])
    #expect(bench.queue.prefix(3) == [4, 3, 5])
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 21))).refusal
        == Refusal(.invalid, field: .uncomputeTokens, limit: 20, sequence: 1))
    #expect(
      bench.run(.rewind(Rewind(sequence: 1, dropTokens: 20))).refusal
        == Refusal(.invalid, field: .dropTokens, limit: 19, sequence: 1))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("preempting and freeing lists is all or nothing")
  func lists() {
    let bench = Bench(blocks: 10)
    bench.admit(1, 16)
    bench.admit(2, 16)
    bench.run(.add(.init(id: 3, tokens: 1)))
    let before = bench.pool.stateDigest()
    #expect(bench.run(.preempt([1, 3])).refusal == Refusal(.wrongState, sequence: 3))
    #expect(bench.run(.preempt([1, 4])).refusal == Refusal(.unknownSequence, sequence: 4))
    #expect(
      bench.run(.preempt([1, 2, 1])).refusal
        == Refusal(.invalid, field: .sequenceIDs, limit: 2, sequence: 1))
    #expect(bench.run(.free([1, 4])).refusal == Refusal(.unknownSequence, sequence: 4))
    #expect(
      bench.run(.free([])).refusal == Refusal(.invalid, field: .sequenceIDs, limit: 1))
    #expect(bench.pool.stateDigest() == before)
    let freed = bench.run(.free([1, 4, 3], ignoresMissing: true))
    #expect(freed.affected == 2)
    #expect(freed.freed == 1)
    #expect(bench.run(.preempt([2])).freed == 1)
    #expect(bench.pool.describe(session: 0, sequence: 2)?.preemptions == 1)
  }

  @Test("a sequence belongs to its session")
  func sessions() {
    let bench = Bench(blocks: 4)
    bench.admit(1, 16)
    #expect(bench.run(.free([1]), session: 2).refusal == Refusal(.unknownSequence, sequence: 1))
    let theirs = TestOperation.New(id: 1, tokens: 20)
    #expect(bench.run(.admit(.init(id: 1, add: theirs)), session: 2).newBlocks == [2, 3])
    #expect(bench.table(1, session: 2) == [2, 3])
    #expect(bench.pool.holds(session: 2) == (rawBlocks: 0, sequences: 1))
    // Nobody is preempted for another session.
    var step = TestCommand(session: 2, onRefusal: .preempt)
    step.operations = [TestOperation(.extend(Extend(sequence: 1, appendTokens: 29)))]
    let result = bench.apply(step).results[0]
    #expect(result.preempted == [1])
    #expect(bench.state(1) == .running)
  }

  @Test("tokens beyond the limit are refused before anything is recorded")
  func tokenLimit() {
    let bench = Bench(blocks: 4)
    bench.run(.add(.init(id: 1, tokens: 2_147_483_647)))
    #expect(
      bench.run(.append(1, 1)).refusal
        == Refusal(.invalid, field: .tokenCount, limit: 2_147_483_647, sequence: 1))
    #expect(
      bench.run(.add(.init(id: 2, tokens: 2_147_483_648))).refusal
        == Refusal(.invalid, field: .tokenCount, limit: 2_147_483_647, sequence: 2))
    #expect(
      bench.run(.add(.init(id: 2, tokens: 0))).refusal
        == Refusal(.invalid, field: .tokenCount, limit: 1, sequence: 2))
  }
}
