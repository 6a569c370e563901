import KVBlocks
import Testing

@Suite("decoding many sequences at once")
struct DecodeTests {
  private func decode(
    _ bench: Bench, _ columns: TestOperation.TestDecode, _ mode: OnRefusal = .continue
  ) -> Seen.Result {
    bench.apply(
      TestCommand(onRefusal: mode, operations: [TestOperation(.decode(columns))])
    ).results[0]
  }

  @Test("new blocks are counted per sequence, and not at all when none was needed")
  func counts() {
    let bench = Bench(blocks: 10)
    bench.admit(1, 16)
    bench.admit(2, 15)
    bench.admit(3, 16)
    let first = decode(bench, .init(ids: [1, 2, 3]))
    #expect(first.counts == [1, 0, 1])
    #expect(first.newBlocks == [4, 5])
    #expect(decode(bench, .init(ids: [3, 1])).counts == [])
    #expect(decode(bench, .init(ids: [2, 3], append: [34, 0])).counts == [3, 0])
  }

  @Test("columns of the wrong length and repeated sequences refuse the whole before it begins")
  func columns() {
    let bench = Bench(blocks: 10)
    bench.admit(1, 16)
    bench.admit(2, 16)
    let before = bench.pool.stateDigest()
    let cases: [(TestOperation.TestDecode, Refusal)] = [
      (.init(ids: []), Refusal(.invalid, field: .sequenceIDs, limit: 1)),
      (.init(ids: [1, 2], append: [1]), Refusal(.invalid, field: .appendCounts, limit: 2)),
      (.init(ids: [1, 2], schedule: [1]), Refusal(.invalid, field: .scheduleCounts, limit: 2)),
      (
        .init(ids: [1, 2], lookahead: [1, 2, 3]),
        Refusal(.invalid, field: .lookaheadTokens, limit: 2)
      ),
      (.init(ids: [1, 2, 1]), Refusal(.invalid, field: .sequenceIDs, limit: 2, sequence: 1)),
      (
        .init(ids: [1, 2], append: [1, .max]),
        Refusal(.invalid, field: .appendCounts, limit: 2_147_483_647, sequence: 2)
      ),
    ]
    for (columns, refusal) in cases { #expect(decode(bench, columns).refusal == refusal) }
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("a refused sequence is listed by its index, the first one explained, the others go on")
  func refusedIndexes() {
    let bench = Bench(blocks: 3)
    bench.admit(1, 16)
    bench.admit(2, 16)
    bench.admit(3, 5)
    bench.run(.add(.init(id: 4, tokens: 1)))
    let result = decode(bench, .init(ids: [9, 1, 4, 3, 2]))
    #expect(result.refusal == .none)
    #expect(result.refused == [0, 1, 2, 4])
    #expect(result.firstRefusal == Refusal(.unknownSequence, sequence: 9))
    #expect(bench.pool.describe(session: 0, sequence: 3)?.computedTokens == 6)
    #expect(bench.pool.describe(session: 0, sequence: 1)?.tokens == 17)
    #expect(bench.pool.describe(session: 0, sequence: 4)?.tokens == 1)
  }

  @Test("stopping lists the rest as refused; their tokens are recorded")
  func stop() {
    let bench = Bench(blocks: 2)
    bench.admit(1, 16)
    bench.admit(2, 10)
    var command = TestCommand(onRefusal: .stop)
    command.operations = [
      TestOperation(.decode(.init(ids: [1, 2]))), TestOperation(.append(2, 1)),
    ]
    let seen = bench.apply(command)
    #expect(seen.results[0].refused == [0, 1])
    #expect(
      seen.results[0].firstRefusal == Refusal(.later, needed: 1, available: 0, sequence: 1))
    #expect(seen.results[1].refusal == Refusal(.notAttempted))
    #expect(bench.pool.describe(session: 0, sequence: 2)?.tokens == 11)
    #expect(bench.pool.describe(session: 0, sequence: 2)?.computedTokens == 10)
  }

  @Test("aborting takes the recorded tokens back as well")
  func abort() {
    let bench = Bench(blocks: 2)
    bench.admit(1, 10)
    bench.admit(2, 16)
    let before = bench.pool.stateDigest()
    let history = bench.pool.historyDigest
    let seen = bench.apply(
      TestCommand(
        operations: [TestOperation(.decode(.init(ids: [1, 2])), onRefusal: .abort)]))
    #expect(seen.refusal == Refusal(.later, needed: 1, available: 0, sequence: 2))
    #expect(seen.results == [])
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.historyDigest == history)
    #expect(bench.pool.stats().refusals[Int(Refusal.Reason.later.rawValue)] == 1)
  }

  @Test("victims are taken from the end of the list; the requester itself may be one")
  func victimsFromTheEnd() {
    let bench = Bench(blocks: 4)
    for id: SequenceID in [1, 2, 3, 4] { bench.admit(id, 16) }
    let result = decode(bench, .init(ids: [1, 2, 3, 4]), .preempt)
    // 1 takes the block of 4, 2 that of 3.
    #expect(result.preempted == [4, 3])
    #expect(result.counts == [1, 1, 0, 0])
    #expect(result.refused == [])
    #expect(bench.table(1) == [1, 4])
    #expect(bench.table(2) == [2, 3])
    // Both need a third block: 2 goes, then there is room for 1.
    let next = decode(bench, .init(ids: [2, 1], append: [16, 16], victims: [4, 2, 1]), .preempt)
    #expect(next.preempted == [2])
    #expect(next.refused == [0])
    #expect(next.firstRefusal == Refusal(.later, needed: 1, available: 0, sequence: 2))
    #expect(next.newBlocks == [3])
  }

  @Test("a victim that had its turn keeps its earlier result and is listed as preempted")
  func earlierVictim() {
    let bench = Bench(blocks: 3)
    bench.admit(1, 16)
    bench.admit(2, 16)
    let result = decode(bench, .init(ids: [1, 2], victims: [1]), .preempt)
    #expect(result.counts == [1, 1])
    #expect(result.newBlocks == [3, 3])
    #expect(result.preempted == [1])
    #expect(bench.table(2) == [2, 3])
  }

  @Test("the budget is consumed in order and cuts the last chunk")
  func budget() {
    let bench = Bench(blocks: 20)
    bench.admit(1, 16)
    bench.admit(2, 16)
    bench.run(.add(.init(id: 3, tokens: 100)))
    bench.run(.add(.init(id: 4, tokens: 8)))
    var step = TestCommand(tokenBudget: 42)
    step.operations = [
      TestOperation(.decode(.init(ids: [1, 2]))),
      TestOperation(.admit(.init(id: 3))),
      TestOperation(.admit(.init(id: 4))),
    ]
    let seen = bench.apply(step)
    #expect(seen.results[0].refused == [])
    #expect(seen.results[1].scheduled == 40)
    #expect(seen.results[1].newBlocks.count == 3)
    #expect(seen.results[2].refusal == Refusal(.notAttempted, sequence: 4))
    #expect(bench.state(4) == .waiting)
  }

  @Test("after a preemption a step may refuse admissions, as vLLM does")
  func noAdmissionAfterPreemption() {
    let bench = Bench(blocks: 4)
    bench.admit(1, 32)
    bench.admit(2, 32)
    bench.run(.add(.init(id: 3, tokens: 1)))
    var step = TestCommand(refusesAdmissionAfterPreemption: true, onRefusal: .preempt)
    step.operations = [
      TestOperation(.decode(.init(ids: [1, 2]))),
      TestOperation(.admit(.init(id: 3))),
      TestOperation(.append(3, 1)),
    ]
    let seen = bench.apply(step)
    #expect(seen.results[0].preempted == [2])
    #expect(seen.results[1].refusal == Refusal(.notAttempted, sequence: 3))
    // A refused admission stops what follows; it never preempts.
    #expect(seen.results[2].refusal == Refusal(.notAttempted))
    #expect(bench.run(.admit(.init(id: 3))).newBlocks.count == 1)
  }
}
