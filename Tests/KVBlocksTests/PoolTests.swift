import KVBlocks
import Testing

@Suite("a pool as a whole")
struct PoolTests {
  @Test("a block's record is 32 bytes")
  func recordSize() {
    #expect(BlockPool.bytesPerBlock == 32)
    #expect(KVPool.bytesPerSequence == 104)
  }

  @Test("a dry run answers like the real one and changes nothing")
  func dryRun() {
    let bench = Bench(blocks: 4)
    bench.admit(1, 20)
    bench.admit(2, 20)
    bench.run(.fork(2, [3]))
    var command = TestCommand(onRefusal: .preempt)
    command.operations = [
      TestOperation(.decode(.init(ids: [1, 2, 3], append: [20, 1, 1]))),
      TestOperation(.add(.init(id: 7, tokens: 3, label: Array("label".utf8)))),
      TestOperation(.free([1])),
      TestOperation(.admit(.init(id: 7))),
      TestOperation(.fork(7, [8, 9])),
      TestOperation(.allocate(1)),
      TestOperation(.freeBlocks([9])),
      TestOperation(.free([7])),
    ]
    let before = bench.pool.stateDigest()
    let history = bench.pool.historyDigest
    let stats = bench.pool.stats()
    command.isDryRun = true
    var dry = bench.apply(command)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.historyDigest == history)
    #expect(bench.pool.stats() == stats)
    #expect(bench.pool.checkInvariants() == nil)
    #expect(dry.revision == 3)
    command.isDryRun = false
    let real = bench.apply(command)
    #expect(real.revision == 4)
    dry.revision = 4
    #expect(dry == real)
    #expect(bench.pool.stateDigest() != before)
  }

  @Test("an aborted command is undone to the last link of the queue")
  func abort() {
    let bench = Bench(blocks: 8)
    bench.admit(1, 40)
    bench.run(.fork(1, [2]))
    bench.run(.allocate(2))
    let before = bench.pool.stateDigest()
    var command = TestCommand(session: 77, onRefusal: .abort)
    command.operations = [
      TestOperation(.allocate(1)),
      TestOperation(.forkBlocks([1, 5])),
      TestOperation(.copyOnWrite(1)),
      TestOperation(.add(.init(id: 1, tokens: 1, label: [65]))),
      TestOperation(.freeBlocks([99])),
    ]
    let seen = bench.apply(command)
    #expect(seen.refusal == Refusal(.invalid, field: .blockIDs, limit: 8, subject: 99))
    #expect(seen.results == [])
    #expect(seen.revision == 3)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.checkInvariants() == nil)
    #expect(bench.run(.allocate(1)).newBlocks == [6])
  }

  @Test("a command for another revision is refused and told the current one")
  func ifRevision() {
    let bench = Bench(blocks: 8)
    bench.run(.allocate(1))
    var command = TestCommand(ifRevision: 2, operations: [TestOperation(.allocate(1))])
    let seen = bench.apply(command)
    #expect(seen.refusal == Refusal(.revisionMoved, field: .ifRevision, subject: 1))
    #expect(seen.results == [])
    command.ifRevision = 1
    #expect(bench.apply(command).revision == 2)
  }

  @Test("stopping leaves the rest unattempted; continuing does not")
  func modes() {
    let bench = Bench(blocks: 2)
    var command = TestCommand(onRefusal: .stop)
    command.operations = [
      TestOperation(.allocate(3), onRefusal: .continue), TestOperation(.allocate(1)),
      TestOperation(.allocate(2)), TestOperation(.allocate(1)),
    ]
    let seen = bench.apply(command)
    #expect(seen.results.map(\.refusal.reason) == [.never, .none, .later, .notAttempted])
    #expect(seen.available == 1)
    #expect(bench.pool.stats().refusals[Int(Refusal.Reason.notAttempted.rawValue)] == 1)
  }

  @Test("a reset pool is as created, one revision later")
  func reset() {
    let bench = Bench(blocks: 6)
    bench.admit(1, 40)
    bench.run(.fork(1, [2]))
    bench.run(.allocate(1))
    bench.run(.allocate(9))
    let history = bench.pool.historyDigest
    bench.pool.reset()
    #expect(bench.pool.revision == 4)
    #expect(bench.pool.historyDigest != history)
    #expect(bench.queue == [1, 2, 3, 4, 5, 6])
    var expected = PoolStats()
    expected.revision = 4
    expected.blocks = 6
    expected.blockSize = 16
    expected.free = 6
    #expect(bench.pool.stats() == expected)
    #expect(bench.pool.checkInvariants() == nil)
    #expect(bench.admit(1, 20).newBlocks == [1, 2])
  }

  @Test("copy ids go on over a reset, so that a late acknowledgement meets no new copy")
  func copyIDsOutliveReset() {
    let bench = Bench(blocks: 6, copyAck: .explicit)
    bench.run(.allocate(1))
    bench.run(.forkBlocks([1]))
    #expect(bench.run(.copyOnWrite(1)).copies.map(\.id) == [1])
    bench.pool.reset()
    #expect(bench.run(.acknowledge([], upTo: 1)).refusal.reason == .none)
    bench.run(.allocate(1))
    bench.run(.forkBlocks([1]))
    #expect(bench.run(.copyOnWrite(1)).copies.map(\.id) == [2])
    #expect(bench.run(.acknowledge([1])).refusal.reason == .unknownCopy)
    #expect(bench.pool.stats().pendingCopies == 1)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("stats partition the pool and count calls, blocks and the high watermark")
  func stats() {
    let bench = Bench(blocks: 10)
    bench.admit(1, 40)
    bench.run(.fork(1, [2]))
    bench.run(.allocate(2))
    bench.run(.forkBlocks([4]))
    bench.run(.copyOnWrite(4))
    bench.run(.freeBlocks([4]))
    bench.run(.free([2]))
    bench.run(.allocate(11))
    bench.run(.add(.init(id: 3, tokens: 1)))
    let stats = bench.pool.stats()
    #expect(stats.free == 4)
    #expect(stats.active == 5)
    #expect(stats.shared == 0)
    #expect(stats.pinned == 1)
    #expect(stats.highWatermark == 6)
    #expect(stats.allocateCalls == 3)
    #expect(stats.allocatedBlocks == 6)
    #expect(stats.freeCalls == 2)
    #expect(stats.freedBlocks == 0)
    #expect(stats.forks == 2)
    #expect(stats.copies == 1)
    #expect(stats.pendingCopies == 1)
    #expect(stats.waitingSequences == 1)
    #expect(stats.runningSequences == 1)
    #expect(stats.refusals[Int(Refusal.Reason.never.rawValue)] == 1)
  }

  @Test("the layout tells slots held and used, raw blocks, and the runs of free blocks")
  func layout() {
    let bench = Bench(blocks: 12)
    bench.admit(1, 20)  // 1, 2
    bench.run(.allocate(3))  // 3, 4, 5
    bench.run(.fork(1, [2]))
    bench.run(.freeBlocks([4]))
    bench.admit(3, 1)  // 4
    bench.admit(4, 16)  // 6
    bench.run(.freeBlocks([3]))
    let layout = bench.pool.layout()
    #expect(layout.sequenceSlotsHeld == 64)
    #expect(layout.sequenceSlotsUsed == 37)
    #expect(layout.rawBlocks == 1)
    #expect(layout.freeRuns == 2)
    #expect(layout.largestFreeRun == 6)
    #expect(layout.largestFreeRuns == [6, 1])
    #expect(layout.availableRuns == 2)
    let view = bench.pool.describe(session: 0, sequence: 1)
    #expect(view?.sharedBlocks == 2)
    #expect(view?.exclusiveBlocks == 0)
    #expect(view?.runs == 1)
  }

  @Test("a checkerboard has as many runs as free blocks, and paging takes them all")
  func checkerboard() {
    let bench = Bench(blocks: 64)
    bench.run(.allocate(64))
    bench.run(.freeBlocks((1...64).filter { $0 % 2 == 0 }))
    let layout = bench.pool.layout()
    #expect(layout.freeRuns == 32)
    #expect(layout.largestFreeRuns == Array(repeating: 1, count: 10))
    #expect(bench.run(.allocate(32)).newBlocks.first == 2)
  }

  @Test("sequences are paged in a lasting order, by session or all")
  func paging() {
    let bench = Bench(blocks: 10)
    for id: SequenceID in [5, 3, 9] { bench.admit(id, 16) }
    bench.run(.add(.init(id: 1, tokens: 1)), session: 4)
    var met: [SequenceID] = []
    var cursor: UInt32 = 0
    while let (view, next) = bench.pool.nextSequence(from: cursor) {
      met.append(view.sequence)
      cursor = next
      if view.sequence == 5 { bench.run(.free([5])) }
    }
    #expect(met == [5, 3, 9, 1])
    #expect(bench.pool.nextSequence(from: 0, session: 4)?.view.sequence == 1)
    #expect(bench.pool.nextSequence(from: 0, session: 5) == nil)
  }

  @Test("the largest pool and the largest numbers do not overflow")
  func largeNumbers() {
    let pool = Bench(blocks: 3, blockSize: 1)
    pool.run(.add(.init(id: 1, tokens: 2_147_483_647)))
    #expect(
      pool.run(.admit(.init(id: 1, lookahead: .max, partial: true))).refusal
        == Refusal(.never, needed: .max, available: 3, sequence: 1))
    #expect(pool.run(.allocate(.max)).refusal == Refusal(.never, needed: .max, available: 3))
    #expect(pool.run(.copyOnWrite(.max)).refusal.reason == .invalid)
    #expect(pool.run(.acknowledge([.max], upTo: .max)).refusal.reason == .invalid)
  }
}
