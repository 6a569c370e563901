import KVBlocks
import Testing

/// Whom a step preempts. Blocks of 16 tokens.
@Suite("Victim policies of a step")
struct VictimPolicyTests {
  /// All 6 blocks are held, 2 by each.
  private func full(_ tokens: [UInt32] = [32, 32, 32], priorities: [Int32] = [0, 0, 0]) -> Bench {
    let bench = Bench(blocks: 6)
    for (i, count) in tokens.enumerated() {
      let id = SequenceID(i + 1)
      bench.run(
        .admit(.init(id: id, add: .init(id: id, tokens: count, priority: priorities[i]))))
    }
    return bench
  }

  private func step(
    _ bench: Bench, _ kind: TestOperation.Kind, _ policy: VictimPolicy, budget: UInt32 = 0
  ) -> Seen.Result {
    bench.apply(
      TestCommand(
        isStep: true, tokenBudget: budget, onRefusal: .preempt, victimPolicy: policy,
        operations: [TestOperation(kind)])
    ).results[0]
  }

  @Test("fcfs is the decode's list from its end, and of an extension the latest admitted")
  func fcfs() {
    let decode = step(full(priorities: [0, 5, 0]), .decode(.init(ids: [2, 1])), .fcfs)
    #expect((decode.preempted, decode.refused) == ([1], []))
    let extend = step(
      full(priorities: [0, 5, 0]), .extend(Extend(sequence: 1, appendTokens: 1)), .fcfs)
    #expect(extend.preempted == [3])
  }

  @Test("priority is the highest value, of those the last to come, in the list or not")
  func priority() {
    let decode = step(full(priorities: [0, 5, 0]), .decode(.init(ids: [1])), .priority)
    #expect((decode.preempted, decode.refused, decode.newBlocks.count) == ([2], [], 1))
    let extend = step(
      full(priorities: [0, 5, 5]), .extend(Extend(sequence: 1, appendTokens: 1)), .priority)
    #expect((extend.preempted, extend.newBlocks.count) == ([3], 1))
  }

  @Test("cost is the fewest tokens to compute again for each block")
  func cost() {
    // 32 / 2, 17 / 2 and 20 / 2.
    let decode = step(full([32, 17, 20]), .decode(.init(ids: [1])), .cost)
    #expect((decode.preempted, decode.newBlocks.count) == ([2], 1))
    let extend = step(
      full([32, 20, 17]), .extend(Extend(sequence: 1, appendTokens: 1)), .cost)
    #expect(extend.preempted == [3])
    // On a tie the latest admitted.
    #expect(step(full(), .decode(.init(ids: [1])), .cost).preempted == [3])
  }

  @Test("the requester itself may be the victim: it is refused, and the next one has its turn")
  func itself() {
    let bench = full(priorities: [0, 5, 0])
    let seen = step(bench, .decode(.init(ids: [2, 1])), .priority)
    #expect((seen.preempted, seen.refused) == ([2], [0]))
    #expect(seen.firstRefusal == Refusal(.later, needed: 1, available: 0, sequence: 2))
    #expect(seen.counts == [0, 1])
    #expect(bench.pool.checkInvariants() == nil)
    let extend = step(
      full(priorities: [9, 5, 0]), .extend(Extend(sequence: 1, appendTokens: 1)), .priority)
    #expect((extend.preempted, extend.refusal.reason) == ([1], .later))
  }

  @Test("one that was scheduled already gives its tokens back, for those behind the requester")
  func returns() {
    for (policy, isServed) in [(VictimPolicy.priority, true), (.fcfs, false)] {
      let bench = Bench(blocks: 7)
      for id: SequenceID in 1...3 {
        let new = TestOperation.New(id: id, tokens: 32, priority: id == 2 ? 5 : 0)
        bench.run(.admit(.init(id: id, add: new)))
      }
      let decode = TestOperation.TestDecode(
        ids: [2, 1, 3], victims: policy == .fcfs ? [2] : [])
      let seen = step(bench, .decode(decode), policy, budget: 2)
      // 2 has the one free block and goes for 1; of the 2 tokens none is left then but its own.
      #expect(seen.preempted == [2])
      #expect(seen.counts == [1, 1, isServed ? 1 : 0])
      #expect(seen.refused == (isServed ? [] : [2]))
      if !isServed { #expect(seen.firstRefusal == Refusal(.notAttempted, sequence: 3)) }
    }
  }

  @Test("a list of its own comes before the policy")
  func listed() {
    let bench = full(priorities: [0, 5, 0])
    #expect(
      step(bench, .decode(.init(ids: [1], victims: [3])), .priority).preempted == [3])
  }

  @Test("the policy is part of the history, and a dry run by it changes nothing")
  func history() {
    func digest(_ policy: VictimPolicy) -> UInt64 {
      let bench = Bench(blocks: 6)
      bench.admit(1, 32)
      _ = step(bench, .decode(.init(ids: [1])), policy)
      return bench.pool.historyDigest
    }
    #expect(digest(.priority) != digest(.cost))
    #expect(digest(.priority) == digest(.priority))
    let bench = full(priorities: [0, 5, 0])
    let before = bench.pool.stateDigest()
    let dry = bench.apply(
      TestCommand(
        isDryRun: true, tokenBudget: 9, onRefusal: .preempt, victimPolicy: .priority,
        operations: [.init(.decode(.init(ids: [1])))]))
    #expect(dry.results[0].preempted == [2])
    #expect(bench.pool.stateDigest() == before)
  }
}
