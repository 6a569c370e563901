import Analysis
import KVBlocks
import Testing

@Suite("lifetimes of blocks")
struct BlockLifetimesTests {
  private func followed(
    blocks: UInt32, every: UInt32 = 1
  ) -> (Followed, BlockLifetimes) {
    let followed = Followed(blocks: blocks)
    let lifetimes = BlockLifetimes(blocks: blocks, every: every, seed: 42)
    followed.onChange = { log, _, now in lifetimes.note(log, now) }
    return (followed, lifetimes)
  }

  /// The bins that have any, as bound and count.
  private func bins(_ histogram: DurationHistogram) -> [Double: UInt64] {
    var bins: [Double: UInt64] = [:]
    for (i, count) in histogram.counts.enumerated() where count > 0 {
      bins[i < DurationHistogram.bounds.count ? DurationHistogram.bounds[i] : .infinity] = count
    }
    return bins
  }

  @Test("run from one hand-out to the next or to the eviction, idle times from the last hit")
  func one() {
    let (followed, lifetimes) = followed(blocks: 1)
    followed.now = 1_000
    followed.allocate(1)
    followed.cache([1], [5])
    followed.free([1])
    followed.now = 4_000
    followed.acquire([5])  // A gap of 3 s.
    followed.free([1])
    followed.now = 12_000
    followed.acquire([5])  // A gap of 8 s.
    followed.free([1])
    followed.now = 101_000
    followed.allocate(1)  // 100 s old, 89 s idle.
    #expect(bins(lifetimes.reuseGaps) == [4: 1, 8: 1])
    #expect(lifetimes.reuseGaps.mean == 5.5)
    #expect(bins(lifetimes.idleBeforeEvict) == [128: 1])
    #expect(bins(lifetimes.lifetimes) == [128: 1])
    #expect(lifetimes.lifetimes.sum == 100_000)
    #expect((lifetimes.evicted, lifetimes.evictedUnused) == (1, 0))
    // Without content a life ends with the next hand-out, and nothing was idle.
    followed.free([1])
    followed.now = 102_000
    followed.allocate(1)
    #expect(bins(lifetimes.lifetimes) == [1: 1, 128: 1])
    #expect(lifetimes.idleBeforeEvict.count == 1)
  }

  @Test("evictions of what nobody ever hit are counted of all blocks, sampled or not")
  func unused() {
    let (followed, lifetimes) = followed(blocks: 2, every: 0)
    followed.allocate(2)
    followed.cache([1, 2], [5, 6])
    followed.acquire([5])
    followed.free([1, 1, 2])
    followed.allocate(2)
    #expect((lifetimes.evicted, lifetimes.evictedUnused) == (2, 1))
    #expect(lifetimes.lifetimes.count == 0)
  }

  @Test(
    "of a thousand hand-outs one in ten is sampled, give or take, and the same by the same seed")
  func share() {
    func sampled(seed: UInt64) -> UInt64 {
      let followed = Followed(blocks: 1)
      let lifetimes = BlockLifetimes(blocks: 1, every: 10, seed: seed)
      followed.onChange = { log, _, now in lifetimes.note(log, now) }
      for _ in 0..<1_000 {
        followed.allocate(1)
        followed.free([1])
      }
      return lifetimes.lifetimes.count
    }
    #expect((80...120).contains(sampled(seed: 42)))
    #expect(sampled(seed: 42) == sampled(seed: 42))
  }

  @Test("a reset of the pool ends them without counting them")
  func reset() {
    let (followed, lifetimes) = followed(blocks: 2)
    followed.allocate(2)
    followed.pool.reset()
    lifetimes.note(followed.log, 5)
    followed.now = 9_000
    followed.allocate(2)
    #expect(lifetimes.lifetimes.count == 0)
    followed.free([1, 2])
    followed.now = 11_000
    followed.allocate(2)
    #expect(bins(lifetimes.lifetimes) == [2: 2])
  }
}
