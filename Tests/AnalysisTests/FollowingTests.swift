import Analysis
import KVBlocks
import Testing

/// What a tracker knows of a pool that tells it nothing.
@Suite("following a pool")
struct FollowingTests {
  private let outcome = Outcome()

  private func allocate(_ count: UInt32, of pool: KVPool, session: SessionID = 0) -> [BlockID] {
    _ = pool.apply(
      allocating: count, session: session, ifRevision: 0, now: 0, isDryRun: false, into: outcome)
    return Array(outcome.blocks.elements)
  }

  private func free(_ ids: [BlockID], of pool: KVPool, session: SessionID = 0) {
    ids.withUnsafeBufferPointer {
      _ = pool.apply(
        one: .freeBlocks($0, generations: .init(start: nil, count: 0)), session: session,
        into: outcome)
    }
  }

  private func bits(_ touched: TouchedBlocks) -> [Int] {
    (0..<touched.wordCount * 64).filter { touched.words[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
  }

  @Test("the shortest ways note the blocks that they take and give back, and no other")
  func shortest() {
    let pool = KVPool(PoolConfiguration(blocks: 200, blockSize: 16))
    _ = allocate(3, of: pool)
    let touched = pool.followTouches()
    #expect(bits(touched) == [])
    #expect(allocate(2, of: pool) == [4, 5])
    #expect(bits(touched) == [4, 5])
    touched.clear()
    free([5, 2], of: pool)
    #expect(bits(touched) == [2, 5])
    touched.clear()
    // What is refused, and 201 is no block, changes nothing.
    free([1, 201], of: pool)
    // 1 was looked at before 201 was, and may be noted; it is as it was.
    #expect(bits(touched).allSatisfy { $0 == 1 })
    touched.clear()
    pool.unfollowTouches()
    _ = allocate(1, of: pool)
    #expect(bits(touched) == [])
    #expect(pool.touched == nil)
  }

  @Test("pools are followed to their last block, whatever the number")
  func lastBlocks() {
    for blocks in [63, 64, 65, 127, 128, 129] as [UInt32] {
      let pool = KVPool(PoolConfiguration(blocks: blocks, blockSize: 16))
      let tracker = FragmentationTracker(pool, follows: true)
      let ids = allocate(blocks, of: pool)
      #expect(tracker.runs(of: pool).free.count == 0)
      free([ids[0], ids[Int(blocks) - 1]], of: pool)
      #expect(tracker.runs(of: pool).free.count == 2)
      #expect(tracker.disagreement(with: pool) == nil)
    }
  }

  @Test("another pool that takes the place, at whatever revision, is read as a whole")
  func replaced() {
    let first = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    let second = KVPool(PoolConfiguration(blocks: 300, blockSize: 16))
    let tracker = FragmentationTracker(first, follows: true)
    _ = allocate(10, of: first)
    #expect(tracker.runs(of: first).free.blocks == 90)
    _ = allocate(30, of: second)
    #expect(tracker.runs(of: second).free.blocks == 270)
    _ = allocate(1, of: second)
    #expect(tracker.runs(of: second).free.blocks == 269)
    second.reset()
    _ = allocate(2, of: second)
    #expect(tracker.runs(of: second).free.blocks == 298)
    #expect(tracker.disagreement(with: second) == nil)
  }

  @Test("who follows a pool that somebody else follows by now reads all of it, and is right")
  func two() {
    let pool = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    let one = FragmentationTracker(pool, follows: true)
    let other = FragmentationTracker(pool, follows: true)
    _ = allocate(10, of: pool)
    #expect(one.runs(of: pool).free.blocks == 90)
    _ = allocate(10, of: pool)
    #expect(other.runs(of: pool).free.blocks == 80)
    #expect(one.runs(of: pool).free.blocks == 80)
  }

  @Test("who does not follow tells a pool from another at the same revision")
  func sameRevision() {
    let first = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    let second = KVPool(PoolConfiguration(blocks: 300, blockSize: 16))
    let tracker = FragmentationTracker(first, follows: false)
    #expect(tracker.runs(of: first).free.blocks == 100)
    #expect(tracker.runs(of: second).free.blocks == 300)
    _ = allocate(10, of: first)
    _ = allocate(30, of: second)
    #expect(first.revision == second.revision)
    #expect(tracker.runs(of: first).free.blocks == 90)
    #expect(tracker.runs(of: second).free.blocks == 270)
  }

  @Test("what happened while nobody followed counts; what another pool had done does not")
  func lives() {
    let pool = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    let analyzer = MemoryFragmentationAnalyzer(pool)
    func counts(_ pool: KVPool, at milliseconds: UInt64) -> ReportWindow.Counts {
      analyzer.report(pool, named: "p", at: milliseconds).window.counts
    }
    analyzer.start(pool)
    analyzer.sample(pool, at: 1_000)
    analyzer.stop(pool)
    _ = allocate(7, of: pool)
    _ = allocate(3, of: pool)
    let stopped = counts(pool, at: 2_000)
    #expect(stopped.allocatedBlocks == 10)
    #expect(stopped.allocateCalls == 2)
    #expect(stopped.milliseconds == 1_000)
    // The same with a second follower in between.
    analyzer.start(pool)
    let other = FragmentationTracker(pool, follows: true)
    _ = allocate(5, of: pool)
    #expect(other.runs(of: pool).free.blocks == 85)
    #expect(counts(pool, at: 3_000).allocatedBlocks == 15)

    pool.reset()
    _ = allocate(1, of: pool)
    #expect(counts(pool, at: 4_000).allocatedBlocks == 0)
    let second = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    _ = allocate(50, of: second)
    #expect(counts(second, at: 5_000).allocatedBlocks == 0)
  }

  @Test("the runs of the last sample stay, whatever is counted or made anew until the next")
  func sampledRuns() {
    let pool = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    let tracker = FragmentationTracker(pool, follows: true)
    #expect(tracker.sampledRuns == nil)
    _ = allocate(10, of: pool)
    tracker.sample(pool, at: 1_000)
    _ = allocate(5, of: pool)
    #expect(tracker.runs(of: pool).free.blocks == 85)
    pool.reset()
    tracker.catchUp(with: pool)
    #expect(tracker.sampledRuns?.free.blocks == 90)
    tracker.sample(pool, at: 2_000)
    #expect(tracker.sampledRuns?.free.blocks == 100)
  }

  @Test("one look alone leaves nothing behind in the pool")
  func oneLook() {
    let pool = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    _ = allocate(10, of: pool)
    #expect(FragmentationTracker(pool, follows: false).runs(of: pool).free.blocks == 90)
    #expect(pool.touched == nil)
  }

  @Test("parents are there from the beginning of the following, and count as the pool's memory")
  func parents() {
    let pool = KVPool(PoolConfiguration(blocks: 1_000, blockSize: 16, cachesPrefixes: true))
    let before = pool.memoryPerBlock
    #expect(pool.parents == nil)
    let tracker = FragmentationTracker(pool, follows: true)
    #expect(pool.parents != nil)
    // 8 bytes for each block, and for the null block.
    #expect(abs(pool.memoryPerBlock - before - 8.008) < 1e-9)
    tracker.stop(pool)
    #expect(pool.parents == nil)
    #expect(pool.memoryPerBlock == before)
  }

  @Test("a session's last change is that of the first sample behind it, however long ago")
  func sessions() {
    let pool = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    let tracker = FragmentationTracker(pool, follows: true)
    _ = allocate(1, of: pool, session: 7)
    _ = allocate(1, of: pool, session: 8)
    #expect(tracker.lastChange(by: 7, in: pool) == nil)
    tracker.sample(pool, at: 1_000)
    // Refused: nothing changes.
    _ = allocate(1_000, of: pool, session: 7)
    _ = allocate(1, of: pool, session: 8)
    #expect(tracker.lastChange(by: 7, in: pool) == 1_000)
    #expect(tracker.lastChange(by: 8, in: pool) == nil)
    for day in 1...3 as ClosedRange<UInt64> { tracker.sample(pool, at: day * 86_400_000) }
    #expect(tracker.lastChange(by: 7, in: pool) == 1_000)
    #expect(tracker.lastChange(by: 8, in: pool) == 86_400_000)
    #expect(tracker.lastChange(by: 9, in: pool) == nil)
  }

  @Test("who takes over the following knows the sessions that changed something before")
  func takenOver() {
    let pool = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    let first = FragmentationTracker(pool, follows: true)
    _ = allocate(1, of: pool, session: 7)
    _ = allocate(1, of: pool, session: 8)
    let second = FragmentationTracker(pool, follows: true)
    second.sample(pool, at: 1_000)
    #expect(second.lastChange(by: 7, in: pool) == 1_000)
    #expect(second.lastChange(by: 8, in: pool) == 1_000)
    _ = allocate(1, of: pool, session: 8)
    first.sample(pool, at: 2_000)
    #expect(first.lastChange(by: 8, in: pool) == 2_000)
    // Another life has other sessions.
    pool.reset()
    first.sample(pool, at: 3_000)
    #expect(first.lastChange(by: 7, in: pool) == nil)
  }

  @Test("sessions that come and go are not remembered for ever")
  func gone() {
    let pool = KVPool(PoolConfiguration(blocks: 100, blockSize: 16))
    let tracker = FragmentationTracker(pool, follows: true)
    for session in 1...50 as ClosedRange<SessionID> {
      let block = allocate(1, of: pool, session: session)
      if session > 2 { free(block, of: pool, session: session) }
      tracker.sample(pool, at: session * 1_000)
    }
    tracker.sample(pool, at: 100_000)
    #expect(tracker.lastChange(by: 2, in: pool) == 2_000)
    #expect(tracker.lastChange(by: 3, in: pool) == nil)
  }
}
