import KVBlocks
import Testing

/// Who would have to go, what that frees, what it costs. Blocks of 16 tokens.
@Suite("Victims")
struct VictimTests {
  private func advise(
    _ bench: Bench, _ needed: UInt32, _ order: VictimOrder = .cost, keep: [SequenceID] = [],
    limit: UInt32 = 0, session: SessionID = 0
  ) -> (list: [Victim], advice: VictimAdvice) {
    var victims = FlatList<Victim>()
    do throws(Refusal) {
      let advice = try bench.pool.advise(session, needed, order, keep, limit, &victims)
      return (Array(victims.elements), advice)
    } catch {
      Issue.record("\(error)")
      return ([], VictimAdvice(availableBlocks: 0, isSufficient: false))
    }
  }

  private func ids(
    _ bench: Bench, _ needed: UInt32, _ order: VictimOrder = .cost, keep: [SequenceID] = [],
    limit: UInt32 = 0
  ) -> [SequenceID] {
    advise(bench, needed, order, keep: keep, limit: limit).list.map(\.sequence)
  }

  private func admit(
    _ bench: Bench, _ id: SequenceID, _ tokens: UInt32, priority: Int32 = 0, hashes: [UInt64] = []
  ) {
    let new = TestOperation.New(id: id, tokens: tokens, priority: priority, hashes: hashes)
    #expect(bench.run(.admit(.init(id: id, add: new))).refusal == .none)
  }

  @Test("by cost: fewest tokens to compute again for each block freed")
  func cost() {
    let bench = Bench(blocks: 8)
    // 16 tokens a block, 8.5 and 6: a short tail makes a cheap victim.
    admit(bench, 1, 32)
    admit(bench, 2, 17)
    admit(bench, 3, 18)
    bench.run(.rewind(Rewind(sequence: 3, uncomputeTokens: 6)))
    #expect(ids(bench, 3) == [3])
    #expect(ids(bench, 5) == [3, 2])
    let all = advise(bench, 8)
    #expect(
      all.list == [
        Victim(sequence: 3, freedBlocks: 2, recomputeTokens: 12, priority: 0),
        Victim(sequence: 2, freedBlocks: 2, recomputeTokens: 17, priority: 0),
        Victim(sequence: 1, freedBlocks: 2, recomputeTokens: 32, priority: 0),
      ])
    #expect(all.advice == VictimAdvice(availableBlocks: 8, isSufficient: true))
  }

  @Test("cached tokens need not be computed again: 41 tokens of which 2 blocks are cached cost 9")
  func recompute() {
    let bench = Bench(
      PoolConfiguration(blocks: 5, blockSize: 16, copyAck: .explicit, cachesPrefixes: true))
    admit(bench, 1, 41, hashes: [11, 12])
    #expect(
      advise(bench, 5).list == [
        Victim(sequence: 1, freedBlocks: 3, recomputeTokens: 9, priority: 0)
      ])
    // Preempted and admitted again, that is what is scheduled (vllm.md 7).
    bench.run(.preempt([1]))
    #expect(bench.run(.admit(.init(id: 1))).scheduled == 9)
  }

  @Test("FCFS: the latest admitted first")
  func latest() {
    let bench = Bench(blocks: 6)
    for id in 1...3 { admit(bench, SequenceID(id), 32) }
    bench.run(.preempt([1]))
    bench.run(.admit(.init(id: 1)))
    #expect(ids(bench, 2, .latest) == [1])
    #expect(ids(bench, 6, .latest) == [1, 3, 2])
  }

  @Test("priority: the highest value first, of those the one that came last")
  func priority() {
    let bench = Bench(blocks: 8)
    admit(bench, 1, 32, priority: 5)
    admit(bench, 2, 32, priority: 5)
    admit(bench, 3, 32, priority: -1)
    admit(bench, 4, 32, priority: 7)
    // Admitted last, 1 still came before 2.
    bench.run(.preempt([1]))
    bench.run(.admit(.init(id: 1)))
    #expect(ids(bench, 8, .priority) == [4, 2, 1, 3])
    #expect(ids(bench, 3, .priority) == [4, 2])
  }

  @Test("what two share counts for the later one, and takes both")
  func shared() {
    let bench = Bench(blocks: 4)
    admit(bench, 1, 64)
    bench.run(.fork(1, [2]))
    let both = advise(bench, 4, .latest)
    #expect(both.list.map(\.sequence) == [2, 1])
    #expect(both.list.map(\.freedBlocks) == [0, 4])
    #expect(advise(bench, 1).list.map(\.freedBlocks) == [0, 4])
  }

  @Test("nobody who can be left out is among them, the last of the order least of all")
  func superfluous() {
    let bench = Bench(blocks: 8)
    admit(bench, 1, 96, priority: 1)
    admit(bench, 2, 32, priority: 9)
    // 2 is the first by priority, but frees 2 of 5; with 1, which frees 6, it is not needed.
    #expect(ids(bench, 5, .priority) == [1])
    #expect(ids(bench, 7, .priority) == [2, 1])
  }

  @Test("where no set is enough, all that free something")
  func insufficient() {
    let bench = Bench(blocks: 8)
    bench.run(.allocate(2))
    admit(bench, 1, 32)
    admit(bench, 2, 32)
    admit(bench, 3, 32)
    // A raw holder keeps the blocks of 3: none of them would come back.
    bench.run(.forkBlocks(bench.table(3)))
    let advice = advise(bench, 7, .latest)
    #expect(advice.list.map(\.sequence) == [2, 1])
    #expect(advice.advice == VictimAdvice(availableBlocks: 4, isSufficient: false))
    #expect(advise(bench, 9).advice.isSufficient == false)
  }

  @Test("promised blocks stay promised")
  func promises() {
    let bench = Bench(blocks: 6)
    admit(bench, 1, 32)
    admit(bench, 2, 32)
    bench.run(.reserve(Reserve(sequence: 9, blocks: 2)))
    #expect(ids(bench, 2, .latest) == [2])
    #expect(ids(bench, 4, .latest) == [2, 1])
    #expect(advise(bench, 5).advice == VictimAdvice(availableBlocks: 6, isSufficient: false))
  }

  @Test("blocks that a copy under way pins do not come back at once")
  func pinned() {
    let bench = Bench(blocks: 4)
    admit(bench, 1, 20)
    bench.run(.fork(1, [2]))
    bench.run(.extend(Extend(sequence: 2, appendTokens: 1)))
    // 1 holds [1, 2], 2 holds [1, 3]; the copy 2 -> 3 pins both ends.
    #expect(advise(bench, 4, .latest).list.map(\.freedBlocks) == [0, 1])
    bench.run(.acknowledge([1]))
    #expect(advise(bench, 4, .latest).list.map(\.freedBlocks) == [1, 2])
  }

  @Test("who is to stay stays, who is unknown is passed over, and a limit is kept")
  func choice() {
    let bench = Bench(blocks: 6)
    for id in 1...3 { admit(bench, SequenceID(id), 32) }
    #expect(ids(bench, 4, .latest, keep: [3, 77]) == [2, 1])
    #expect(advise(bench, 6, keep: [1]).advice.isSufficient == false)
    let one = advise(bench, 4, .latest, limit: 1)
    #expect(one.list.map(\.sequence) == [3])
    #expect(one.advice == VictimAdvice(availableBlocks: 2, isSufficient: false))
  }

  @Test("nobody has to go where there is enough, and nobody of another session")
  func none() {
    let bench = Bench(blocks: 6)
    admit(bench, 1, 48)
    #expect(advise(bench, 3).list == [])
    #expect(advise(bench, 3).advice == VictimAdvice(availableBlocks: 3, isSufficient: true))
    let other = advise(bench, 6, session: 7)
    #expect(other.list == [])
    #expect(other.advice.isSufficient == false)
  }

  @Test("advice for nothing is refused; asking changes nothing")
  func readOnly() {
    let bench = Bench(blocks: 6)
    admit(bench, 1, 96)
    let before = bench.pool.stateDigest()
    let revision = bench.pool.revision
    _ = advise(bench, 6)
    var victims = FlatList<Victim>()
    #expect(throws: Refusal(.invalid, field: .blocksNeeded, limit: 1)) {
      try bench.pool.advise(0, 0, .cost, [], 0, &victims)
    }
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.revision == revision)
  }
}
