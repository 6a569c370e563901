import KVBlocks
import Testing

/// Rules of vLLM's v0 (vllm.md 11), and of our own: both ends of a copy stay pinned until it is
/// acknowledged, and nothing crashes for want of host blocks.
@Suite("tiers: swapping out and in")
struct TierTests {
  /// 10 blocks of 16 on the device and `host` on the host.
  private func bench(
    host: UInt32, blocks: UInt32 = 10, caches: Bool = false, watermark: Double = 0,
    ack: CopyAck = .explicit
  ) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: blocks, blockSize: 16, copyAck: ack, cachesPrefixes: caches, watermark: watermark,
        hostBlocks: host))
  }

  private func swapCopy(
    _ id: UInt64, _ source: BlockID, _ target: BlockID, _ tokens: UInt32, _ index: UInt32,
    _ kind: CopyKind, sequence: SequenceID = 1
  ) -> CopyOrder {
    CopyOrder(
      id: id, source: source, target: target, tokens: tokens, sequence: sequence,
      tableIndex: index, isRaw: false, kind: kind)
  }

  @Test("out: a host block and a copy for each block, the last first; the device's stay pinned")
  func out() {
    let bench = bench(host: 4)
    bench.admit(1, 40)
    let result = bench.run(.swapOut([1]))
    #expect(
      result.copies == [
        swapCopy(1, 3, 3, 8, 2, .swapOut), swapCopy(2, 2, 2, 16, 1, .swapOut),
        swapCopy(3, 1, 1, 16, 0, .swapOut),
      ])
    #expect(result.affected == 1)
    #expect(result.freed == 3)
    #expect(result.available == 7)
    #expect(result.availableHost == 1)
    #expect(bench.state(1) == .swapped)
    #expect(bench.table(1) == [1, 2, 3])
    #expect(bench.pool.describe(session: 0, sequence: 1)?.computedTokens == 40)
    // Nobody can take what is still being read.
    #expect(bench.queue == [4, 5, 6, 7, 8, 9, 10])
    var stats = bench.pool.stats()
    #expect(stats.pinned == 3)
    #expect(stats.hostActive == 3)
    #expect(stats.hostFree == 1)
    #expect(stats.swappedSequences == 1)
    #expect(stats.runningSequences == 0)
    #expect(stats.swappedOutBlocks == 3)
    #expect(bench.run(.acknowledge([], upTo: 3)).freed == 3)
    #expect(bench.queue == [3, 2, 1, 4, 5, 6, 7, 8, 9, 10])
    stats = bench.pool.stats()
    #expect(stats.pinned == 0)
    #expect(stats.hostActive == 3)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("in: new device blocks, and the host's are given back once the copies are acknowledged")
  func `in`() {
    let bench = bench(host: 4)
    bench.admit(1, 40)
    bench.run(.swapOut([1]))
    bench.run(.acknowledge([], upTo: 3))
    bench.run(.allocate(2), session: 9)
    let result = bench.run(.swapIn([1]))
    #expect(
      result.copies == [
        swapCopy(4, 1, 1, 16, 0, .swapIn), swapCopy(5, 2, 4, 16, 1, .swapIn),
        swapCopy(6, 3, 5, 8, 2, .swapIn),
      ])
    #expect(result.freed == 3)
    #expect(result.availableHost == 1)
    #expect(bench.state(1) == .running)
    #expect(bench.table(1) == [1, 4, 5])
    #expect(bench.pool.stats().hostPinned == 3)
    #expect(bench.pool.hostQueue() == [4])
    // The tail's slots from 8 on are touched by no copy: they are written at once.
    let more = bench.run(.extend(Extend(sequence: 1, appendTokens: 8)))
    #expect(more.copies == [] && more.newBlocks == [])
    bench.run(.acknowledge([], upTo: 6))
    #expect(bench.pool.hostQueue() == [1, 2, 3, 4])
    #expect(bench.pool.stats().swappedInBlocks == 3)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("sharing inside the set survives: one host block and one copy, of the fullest table")
  func sharing() {
    let bench = bench(host: 8)
    bench.admit(1, 32)
    bench.run(.fork(1, [2]))
    bench.run(.extend(Extend(sequence: 2, appendTokens: 4)))
    bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 5)))
    // Tables [1, 2] with 27 tokens and [1, 2, 3] with 36.
    let out = bench.run(.swapOut([1, 2]))
    #expect(
      out.copies == [
        swapCopy(1, 3, 3, 4, 2, .swapOut, sequence: 2), swapCopy(2, 2, 2, 16, 1, .swapOut),
        swapCopy(3, 1, 1, 16, 0, .swapOut),
      ])
    #expect(bench.table(1) == [1, 2])
    #expect(bench.table(2) == [1, 2, 3])
    #expect(bench.pool.stats().hostShared == 2)
    #expect(bench.pool.hostBlock(1).refCount == 2)
    bench.run(.acknowledge([], upTo: 3))
    let back = bench.run(.swapIn([1, 2]))
    #expect(back.copies.count == 3)
    #expect(bench.pool.stats().shared == 2)
    #expect(bench.table(1) == Array(bench.table(2).prefix(2)))
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a block shared with a sequence outside the set is decremented, and duplicated on the host")
  func sharedOutside() {
    let bench = bench(host: 8)
    bench.admit(1, 32)
    bench.run(.fork(1, [2]))
    let out = bench.run(.swapOut([1]))
    #expect(out.copies.map(\.source) == [2, 1])
    #expect(out.freed == 0)
    #expect(bench.pool.block(1) == BlockView(state: .active, refCount: 1, generation: 1, pins: 1))
    // Swapped on its own, the other one makes a second copy.
    #expect(bench.run(.swapOut([2])).copies.map(\.target) == [4, 3])
    #expect(bench.pool.stats().hostActive == 4)
    #expect(bench.pool.stats().pinned == 2)
    // Nobody shares any more.
    bench.run(.acknowledge([], upTo: 4))
    bench.run(.swapIn([1, 2]))
    #expect(Set(bench.table(1)).isDisjoint(with: bench.table(2)))
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("who stays behind may not overwrite what is still being copied away")
  func writerBehind() {
    let bench = bench(host: 8)
    bench.admit(1, 20)
    bench.run(.fork(1, [2]))
    bench.run(.swapOut([1]))
    // The last sharer writes behind the 4 slots that are read, in place; into them it does not.
    #expect(bench.run(.extend(Extend(sequence: 2, appendTokens: 1))).copies == [])
    bench.run(.rewind(Rewind(sequence: 2, uncomputeTokens: 5, dropTokens: 5)))
    let rewritten = bench.run(.extend(Extend(sequence: 2, appendTokens: 5)))
    #expect(rewritten.newBlocks == [])
    #expect(rewritten.copies.map(\.source) == [2])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("no room on the host is a refusal with the host's numbers, and nothing changed")
  func noRoom() {
    let bench = bench(host: 4)
    bench.admit(1, 40)
    bench.admit(2, 32)
    bench.run(.swapOut([1]))
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.swapOut([2])).refusal == Refusal(.later, needed: 2, available: 1, sequence: 2))
    #expect(bench.pool.stateDigest() == before)
    bench.admit(3, 80)
    let digest = bench.pool.stateDigest()
    #expect(
      bench.run(.swapOut([3])).refusal == Refusal(.never, needed: 5, available: 1, sequence: 3))
    #expect(bench.pool.stateDigest() == digest)
  }

  @Test("a pool without a host tier refuses and names the field")
  func noHost() {
    let bench = Bench(blocks: 4)
    bench.admit(1, 16)
    let before = bench.pool.stateDigest()
    #expect(bench.run(.swapOut([1])).refusal == Refusal(.wrongState, field: .hostBlocks))
    #expect(bench.run(.swapIn([1])).refusal == Refusal(.wrongState, field: .hostBlocks))
    #expect(bench.pool.stateDigest() == before)
  }

  @Test("only what runs goes out, only what is swapped comes in, each once and all of them known")
  func wrongState() {
    let bench = bench(host: 8)
    bench.run(.add(.init(id: 1, tokens: 16)))
    bench.admit(2, 16)
    let before = bench.pool.stateDigest()
    #expect(bench.run(.swapOut([2, 1])).refusal == Refusal(.wrongState, sequence: 1))
    #expect(bench.run(.swapIn([2])).refusal == Refusal(.wrongState, sequence: 2))
    #expect(bench.run(.swapOut([3])).refusal == Refusal(.unknownSequence, sequence: 3))
    #expect(
      bench.run(.swapOut([2, 2])).refusal
        == Refusal(.invalid, field: .sequenceIDs, limit: 1, sequence: 2))
    #expect(
      bench.run(.swapOut([])).refusal == Refusal(.invalid, field: .sequenceIDs, limit: 1))
    #expect(bench.pool.stateDigest() == before)
    bench.run(.swapOut([2]))
    let swapped = bench.pool.stateDigest()
    #expect(bench.run(.extend(Extend(sequence: 2))).refusal.reason == .wrongState)
    #expect(bench.run(.admit(.init(id: 2))).refusal.reason == .wrongState)
    #expect(bench.run(.preempt([2])).refusal.reason == .wrongState)
    #expect(bench.run(.commit(2)).refusal.reason == .wrongState)
    #expect(bench.run(.rewind(Rewind(sequence: 2))).refusal.reason == .wrongState)
    #expect(bench.run(.decode(.init(ids: [2]))).firstRefusal.reason == .wrongState)
    #expect(bench.pool.stateDigest() == swapped)
  }

  @Test("the fit test of can_swap_in: blocks and one more for each sequence, over the watermark")
  func fit() {
    // int(0.2 * 11) = 2 blocks stay back.
    let bench = bench(host: 8, watermark: 0.2)
    bench.admit(1, 32)
    bench.admit(2, 16)
    bench.run(.swapOut([1, 2]))
    bench.run(.acknowledge([], upTo: 3))
    // 3 blocks and 2 sequences: 5, and 2 of watermark. 7 are enough, 6 are not.
    bench.run(.allocate(4))
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(.swapIn([1, 2])).refusal
        == Refusal(.later, needed: 5, available: 6, watermark: 2, sequence: 1))
    #expect(bench.pool.stateDigest() == before)
    let held = bench.pool.freeQueue()
    #expect(held.count == 6)
    bench.run(.freeBlocks([3]))
    #expect(bench.run(.swapIn([1, 2])).refusal == .none)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("what is too large for the device beside its spare block never comes back")
  func never() {
    let bench = bench(host: 12)
    bench.admit(1, 160)
    bench.run(.swapOut([1]))
    bench.run(.acknowledge([], upTo: 10))
    #expect(
      bench.run(.swapIn([1])).refusal == Refusal(.never, needed: 11, available: 10, sequence: 1))
    // Its way out: a waiting fork has its tokens.
    bench.run(.fork(1, [2]))
    bench.run(.free([1]))
    #expect(bench.run(.admit(.init(id: 2))).newBlocks.count == 10)
  }

  @Test("a swapped sequence takes tokens, and its children wait")
  func appendAndFork() {
    let bench = bench(host: 8)
    bench.admit(1, 20)
    bench.run(.swapOut([1]))
    #expect(bench.run(.append(1, 3)).tokens == 23)
    let fork = bench.run(.fork(1, [2]))
    #expect(fork.affected == 1)
    #expect(fork.shared == 0)
    #expect(bench.state(2) == .waiting)
    #expect(bench.table(2) == [])
    #expect(bench.pool.describe(session: 0, sequence: 2)?.tokens == 23)
    bench.run(.swapIn([1]))
    #expect(bench.run(.extend(Extend(sequence: 1))).scheduled == 3)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("freed while its copies are under way, its host blocks stay pinned until they are done")
  func freedUnderWay() {
    let bench = bench(host: 2)
    bench.admit(1, 32)
    bench.run(.swapOut([1]))
    let result = bench.run(.free([1]))
    #expect(result.freed == 0)
    #expect(bench.pool.stats().hostPinned == 2)
    #expect(bench.pool.stats().pinned == 2)
    bench.admit(2, 16)
    #expect(
      bench.run(.swapOut([2])).refusal == Refusal(.later, needed: 1, available: 0, sequence: 2))
    bench.run(.acknowledge([1]))
    #expect(bench.pool.hostQueue() == [2])
    bench.run(.acknowledge([2]))
    #expect(bench.pool.hostQueue() == [1, 2])
    #expect(bench.pool.stats().pinned == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("in again before the copies out are done: a chain, made in the order of the ids")
  func chain() {
    let bench = bench(host: 4)
    bench.admit(1, 16)
    bench.run(.swapOut([1]))
    let back = bench.run(.swapIn([1]))
    #expect(back.copies == [swapCopy(2, 1, 2, 16, 0, .swapIn)])
    #expect(bench.pool.hostBlock(1).pins == 2)
    let out = bench.run(.swapOut([1]))
    #expect(out.copies == [swapCopy(3, 2, 2, 16, 0, .swapOut)])
    #expect(bench.pool.block(2).pins == 2)
    #expect(bench.pool.stats().pinned == 2)
    // Acknowledged in any order, each end is free when its last copy is done.
    bench.run(.acknowledge([3]))
    #expect(bench.pool.stats().pinned == 2)
    bench.run(.acknowledge([1]))
    #expect(bench.pool.stats().pinned == 1)
    #expect(bench.pool.hostBlock(1).state == .pinned)
    bench.run(.acknowledge([2]))
    #expect(bench.pool.stats().pinned == 0)
    #expect(bench.pool.hostQueue() == [1, 3, 4])
    #expect(bench.table(1) == [2])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("k sharers that wrote since: k - 1 write copies under way, and all go out and come back")
  func sharersOfACopySource() {
    let bench = bench(host: 16)
    bench.admit(1, 20)
    bench.run(.fork(1, [2, 3]))
    let written = bench.run(.decode(.init(ids: [1, 2, 3])))
    #expect(written.copies.map(\.source) == [2, 2])
    #expect(written.copies.map(\.target) == [3, 4])
    // Block 1 is shared by all; 3 and 4 are targets of copies and now sources of others.
    let out = bench.run(.swapOut([1, 2, 3]))
    #expect(out.copies.map(\.source) == [2, 4, 3, 1])
    #expect(out.copies.map(\.tokens) == [5, 5, 5, 16])
    #expect(bench.pool.stats().pinned == 4)
    #expect(bench.run(.acknowledge([], upTo: 2)).freed == 0)
    #expect(bench.run(.acknowledge([], upTo: 6)).freed == 4)
    #expect(bench.pool.checkInvariants() == nil)
    let back = bench.run(.swapIn([3, 1, 2]))
    #expect(back.copies.count == 4)
    #expect(bench.pool.stats().shared == 1)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a next-step pool ends the copies of a swap with its session's next step")
  func nextStep() {
    let bench = bench(host: 4, ack: .nextStep)
    bench.admit(1, 32)
    _ = bench.apply(
      TestCommand(isStep: true, operations: [TestOperation(.swapOut([1]))]))
    #expect(bench.pool.stats().pinned == 2)
    _ = bench.apply(TestCommand(session: 5, isStep: true))
    #expect(bench.pool.stats().pinned == 2)
    _ = bench.apply(TestCommand(isStep: true, operations: [TestOperation(.swapIn([1]))]))
    #expect(bench.pool.stats().pinned == 0)
    #expect(bench.pool.stats().hostPinned == 2)
    _ = bench.apply(TestCommand(isStep: true))
    #expect(bench.pool.stats().hostFree == 4)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("content stays cached on the device, the head of the chain the last to be evicted")
  func content() {
    let bench = bench(host: 8, caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 40, hashes: [11, 12]))))
    bench.run(.swapOut([1]))
    #expect(bench.pool.stats().pinned == 3)
    bench.run(.acknowledge([], upTo: 3))
    #expect(bench.queue == [3, 4, 5, 6, 7, 8, 9, 10, 2, 1])
    #expect(bench.pool.stats().cached == 2)
    // Another one hits it; the swapped one does not need it.
    let hit = bench.run(.admit(.init(id: 2, add: .init(id: 2, tokens: 33, hashes: [11, 12]))))
    #expect(hit.cachedTokens == 32)
    #expect(bench.table(2) == [1, 2, 3])
  }

  @Test("what comes in is copied even where the device still has the content, and is cached again")
  func regained() {
    let bench = bench(host: 8, caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 40, hashes: [11, 12]))))
    bench.run(.swapOut([1]))
    bench.run(.acknowledge([], upTo: 3))
    bench.run(.evictBlocks([2]))
    let back = bench.run(.swapIn([1]))
    #expect(back.copies.map(\.target) == [3, 4, 5])
    #expect(bench.table(1) == [3, 4, 5])
    #expect(bench.pool.twins(of: 1) == [1, 3])
    #expect(bench.pool.twins(of: 4) == [4])
    #expect(bench.pool.content(5) == nil)
    #expect(bench.pool.describe(session: 0, sequence: 1)?.cachedBlocks == 2)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("content that was evicted while the sequence ran does not come back with it")
  func evictedBefore() {
    let bench = bench(host: 8, caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 40, hashes: [11, 12]))))
    bench.run(.evictBlocks([2]))
    bench.run(.swapOut([1]))
    bench.run(.acknowledge([], upTo: 3))
    bench.run(.evictBlocks([1]))
    bench.run(.swapIn([1]))
    let table = bench.table(1)
    #expect(bench.pool.content(table[0]) != nil)
    #expect(bench.pool.content(table[1]) == nil)
    #expect(bench.run(.commit(1)).affected == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a reset that preempts is refused, and preempts nothing, while a sequence is swapped out")
  func resetThatPreempts() {
    let bench = bench(host: 8, caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 20))))
    bench.run(.admit(.init(id: 2, add: .init(id: 2, tokens: 20))))
    bench.run(.swapOut([1]))
    bench.run(.acknowledge([], upTo: 2))
    let before = bench.pool.stateDigest()
    #expect(bench.run(.resetAfterPreempting).refusal.reason == .wrongState)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.table(2).count == 2)
  }

  @Test("what was not committed is not cached by coming in")
  func uncommitted() {
    let bench = bench(host: 8, caches: true)
    bench.run(
      .admit(.init(id: 1, add: .init(id: 1, tokens: 40, hashes: [11, 12]), delays: true)))
    bench.run(.commit(1, 16))
    bench.run(.swapOut([1]))
    bench.run(.acknowledge([], upTo: 3))
    bench.run(.evictBlocks([1]))
    bench.run(.swapIn([1]))
    let table = bench.table(1)
    #expect(bench.pool.content(table[0]) != nil)
    #expect(bench.pool.content(table[1]) == nil)
    #expect(bench.run(.commit(1)).affected == 1)
    #expect(bench.pool.content(table[1]) != nil)
  }

  @Test("the prefix cache is not reset while a sequence keeps old content on the host")
  func resetCache() {
    let bench = bench(host: 8, caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 16, hashes: [11]))))
    bench.run(.swapOut([1]))
    bench.run(.acknowledge([], upTo: 1))
    #expect(
      bench.run(.resetPrefixCache).refusal == Refusal(.wrongState, needed: 8, available: 7))
    bench.run(.free([1]))
    #expect(bench.run(.resetPrefixCache).affected == 1)
  }

  @Test("a dry run, and a step that is aborted, leave both tiers as they were")
  func undone() {
    let bench = bench(host: 8, caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 40, hashes: [11, 12]))))
    bench.run(.fork(1, [2]))
    let before = bench.pool.stateDigest()
    let dry = bench.apply(
      TestCommand(isDryRun: true, operations: [TestOperation(.swapOut([1, 2]))]))
    #expect(dry.results[0].copies.count == 3)
    #expect(bench.pool.stateDigest() == before)
    _ = bench.apply(
      TestCommand(
        onRefusal: .abort,
        operations: [
          TestOperation(.swapOut([1, 2])), TestOperation(.swapIn([2])),
          TestOperation(.acknowledge([], upTo: 3)), TestOperation(.swapIn([9])),
        ]))
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.hostQueue() == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a reset empties the host tier as well")
  func reset() {
    let bench = bench(host: 3)
    bench.admit(1, 40)
    bench.run(.swapOut([1]))
    #expect(bench.pool.hasHeldBlocks)
    bench.pool.reset()
    #expect(!bench.pool.hasHeldBlocks)
    #expect(bench.pool.hostQueue() == [1, 2, 3])
    #expect(bench.pool.stats().swappedSequences == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a sequence without blocks swaps without a copy")
  func empty() {
    let bench = bench(host: 1)
    bench.admit(1, 16)
    bench.run(.rewind(Rewind(sequence: 1, uncomputeTokens: 16, releasesBlocks: true)))
    #expect(bench.run(.swapOut([1])).copies == [])
    #expect(bench.state(1) == .swapped)
    #expect(bench.run(.swapIn([1])).copies == [])
    #expect(bench.run(.extend(Extend(sequence: 1))).scheduled == 16)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
