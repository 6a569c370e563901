import Analysis
import KVBlocks
import Testing

@Suite("the history of a pool")
struct FragmentationHistoryTests {
  private let pool = KVPool(PoolConfiguration(blocks: 1_000, blockSize: 16))
  private let tracker: FragmentationTracker
  private let outcome = Outcome()

  init() { tracker = FragmentationTracker(pool, follows: true) }

  private func allocate(_ count: UInt32) {
    _ = pool.apply(
      allocating: count, session: 0, ifRevision: 0, now: 0, isDryRun: false, into: outcome)
  }

  @Test("keeps seconds for ten minutes, ten seconds for two hours, minutes for a day")
  func rings() {
    // Two days, a look a second.
    for second in 0..<172_800 as Range<UInt64> { tracker.sample(pool, at: second * 1_000) }
    let samples = tracker.history.samples()
    let times = samples.map { $0.timeMilliseconds / 1_000 }
    // The last ten minutes: 172,200 ... 172,799.
    #expect(Array(times.suffix(600)) == Array(172_200..<172_800))
    #expect(samples.suffix(600).allSatisfy { $0.looks == 1 })
    // Before them the rest of two hours in tens, each ending with its last second: 165,609, ... 172,199.
    let tens = times.dropLast(600).suffix(660)
    #expect(Array(tens) == Array(stride(from: 165_609, through: 172_199, by: 10)))
    #expect(samples.dropLast(600).suffix(660).allSatisfy { $0.looks == 10 })
    // And of the day the minutes that are left: from 86,400 on, 1,320 of them.
    let minutes = times.dropLast(1_260)
    #expect(Array(minutes) == Array(stride(from: 86_459, through: 165_599, by: 60)))
    #expect(samples.dropLast(1_260).allSatisfy { $0.looks == 60 })
  }

  @Test("a fold keeps the highest of what goes up and down, and the last of what only grows")
  func folds() {
    tracker.sample(pool, at: 60_000)
    allocate(700)
    tracker.sample(pool, at: 60_100)
    pool.reset()
    allocate(20)
    tracker.sample(pool, at: 60_200)
    let samples = tracker.history.samples()
    #expect(samples.count == 1)
    #expect(samples.map(\.looks) == [3])
    #expect(samples.map(\.stats.allocatedBlocks) == [20])
    #expect(samples.map(\.stats.active) == [20])
    #expect(samples.map(\.peaks.usedBlocks) == [700])
  }

  @Test("thinned, it ends with the last sample and loses no peak")
  func thinned() {
    for second in 0..<10 as Range<UInt64> {
      if second == 4 { allocate(300) }
      if second == 5 { pool.reset() }
      tracker.sample(pool, at: 1_000 * second)
    }
    let thin = tracker.history.samples(most: 3)
    #expect(thin.map(\.timeMilliseconds) == [1_000, 5_000, 9_000])
    #expect(thin.map(\.looks) == [2, 4, 4])
    #expect(thin.map(\.peaks.usedBlocks) == [0, 300, 0])
    #expect(tracker.history.samples(since: 7_000).map(\.timeMilliseconds) == [7_000, 8_000, 9_000])
  }

  @Test("knows when a revision was first seen")
  func times() {
    tracker.sample(pool, at: 5_000)
    allocate(1)
    allocate(1)
    tracker.sample(pool, at: 6_000)
    allocate(1)
    tracker.sample(pool, at: 7_000)
    #expect(tracker.history.time(of: 0) == nil)
    #expect(tracker.history.time(of: 1) == 6_000)
    #expect(tracker.history.time(of: 2) == 6_000)
    #expect(tracker.history.time(of: 3) == 7_000)
    #expect(tracker.history.time(of: 4) == nil)
  }

  @Test("and of each time the finest, through all three rings")
  func timesOfADay() {
    // Two hours and ten minutes, a block and a second between looks.
    for second in 1...7_800 as ClosedRange<UInt64> {
      allocate(1)
      if second % 7 == 0 { pool.reset() }
      tracker.sample(pool, at: 1_000 * second)
    }
    let all = tracker.history.samples()
    #expect(all.count > 600 + 600)
    for revision in stride(from: 0, through: pool.revision + 2, by: 5) {
      let first = all.first { $0.stats.revision >= revision }
      let isKnown = revision > all[0].stats.revision
      #expect(tracker.history.time(of: revision) == (isKnown ? first?.timeMilliseconds : nil))
    }
  }
}
