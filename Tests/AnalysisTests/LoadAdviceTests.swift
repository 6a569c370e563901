import Analysis
import KVBlocks
import Testing

/// Advice about who is let in, what is kept, and how much there is, by facts made by hand.
@Suite("advice about load")
struct LoadAdviceTests {
  @Test("one owner that holds most while others are turned away")
  func owner() throws {
    let pool = ReportedPool(blocks: 64, blockSize: 16)
    for _ in 0..<10 { pool.admit(80, label: "hot") }
    for _ in 0..<2 { pool.admit(32, label: "other") }
    for _ in 0..<5 { pool.admit(320, label: "other") }
    let report = pool.report()
    let advice = try report.advice(.oneOwner)
    // 50 of 54 blocks.
    #expect(advice.measured == "'hot' holds 92.6 % of what 2 owners hold")
    #expect(advice.isGiven)
    #expect(report.words.contains("Owners: 'hot' holds most, 50 blocks, 92.6 % of what is held"))
    #expect(report.words.contains("Refused since the pool was made: 5 for want of blocks"))
  }

  @Test("a full pool that turns sequences away wants more blocks, not other ones")
  func full() throws {
    let pool = ReportedPool(blocks: 64, blockSize: 16)
    for _ in 0..<16 { pool.admit(64) }
    for _ in 0..<5 { pool.admit(64, keeps: true) }
    let report = pool.report()
    #expect(report.advised.map(\.rule) == [.moreBlocks])
    #expect(
      try report.advice(.moreBlocks).figures
        == "the 21 sequences it knows take 84 blocks all at once; there are 64")
  }

  @Test("preemptions raise the watermark by a block for each sequence that runs")
  func preempted() throws {
    let pool = ReportedPool(blocks: 1_000, blockSize: 16)
    for _ in 0..<30 { pool.admit(160) }
    pool.preempt([26, 27, 28, 29, 30])
    let report = pool.report()
    #expect(report.advised.map(\.rule) == [.raiseWatermark])
    let advice = try report.advice(.raiseWatermark)
    #expect(advice.measured == "5 preemptions, 16.7 % of 30 admissions; watermark 0 %")
    // 25 of 1,000 blocks; 97.5 sequences of 10 blocks in what is left.
    #expect(advice.change.hasPrefix("Raise the watermark to 0.025: "))
    #expect(advice.figures.hasPrefix("97.5 of these sequences are let in at once instead of 100.0"))
    #expect(
      advice.figures.contains("threw away 800 computed tokens, against 4,800 tokens of prompts"))
  }

  @Test("a watermark that only turns sequences away comes down")
  func watermark() throws {
    let pool = ReportedPool(blocks: 99, blockSize: 16, watermark: 0.5)
    for _ in 0..<10 { pool.admit(64) }
    for _ in 0..<5 { pool.admit(320, keeps: true) }
    let report = pool.report()
    #expect(report.advised.map(\.rule) == [.lowerWatermark])
  }

  /// Twenty rounds in eight blocks, each of which evicts what the round before had stored.
  private func rounds(_ content: (UInt64) -> UInt64) -> FragmentationReport {
    let pool = ReportedPool(
      PoolConfiguration(blocks: 8, blockSize: 4, cachesPrefixes: true))
    for round in 0..<20 as Range<UInt64> {
      pool.allocate(8)
      pool.cache(Array(1...8), content: content(round))
      pool.free(Array(1...8))
    }
    return pool.report()
  }

  @Test("two sets of content that evict each other thrash the cache")
  func thrash() throws {
    let report = rounds { $0 % 2 }
    let advice = try report.advice(.evictionPolicy)
    #expect(advice.isGiven)
    // 19 times all eight, and 18 times they come back.
    #expect(
      advice.measured
        == "144 of 152 evictions, 94.7 %, were of content that was stored again later")
    #expect(advice.figures.contains("no what-if backs this"))
    #expect(report.words.contains("8 blocks cached"))
  }

  @Test("content that nobody asks for again may go: no policy is to be changed for it")
  func once() throws {
    let advice = try rounds { $0 }.advice(.evictionPolicy)
    #expect(!advice.isGiven)
    #expect(
      advice.measured == "0 of 152 evictions, 0 %, were of content that was stored again later")
  }

  @Test("who holds the most of what a thousand hold is one of a thousand")
  func ownerOfMany() throws {
    let pool = ReportedPool(blocks: 2_000, blockSize: 16)
    pool.admit(1_600, label: "great")
    for owner in 0..<380 { pool.admit(80, label: "owner \(owner)") }
    for _ in 0..<5 { pool.admit(32_000) }
    let advice = try pool.report().advice(.oneOwner)
    // 100 of 2,000 blocks.
    #expect(advice.measured == "'great' holds 5.0 % of what 381 owners hold")
    #expect(!advice.isGiven)
  }

  @Test("a watermark that nobody was turned away by stays")
  func watermarkInUse() throws {
    let pool = ReportedPool(blocks: 100, blockSize: 16, watermark: 0.1)
    pool.allocate(95)
    for _ in 0..<6 { pool.allocate(10) }
    let report = pool.report()
    #expect(report.window.counts.refusedLater == 6)
    #expect(!(try report.advice(.lowerWatermark).isGiven))
  }

  @Test("refusals among many calls that got blocks are no trouble")
  func rare() throws {
    let pool = ReportedPool(blocks: 10, blockSize: 16)
    for round in 0..<200 as Range<BlockID> {
      pool.allocate(1)
      // What is given back goes to the end of the queue.
      pool.free([round % 10 + 1])
    }
    pool.allocate(10)
    for _ in 0..<5 { pool.allocate(1) }
    #expect(pool.report().window.counts.refusedLater == 5)
    #expect(pool.advised == [])
  }

  @Test("requests for more than there is are named where there is nothing to change")
  func never() {
    let pool = ReportedPool(blocks: 10)
    for _ in 0..<3 { pool.admit(1_000) }
    let words = pool.report().words
    #expect(
      words.contains("3 requests for more than the whole pool has, which its clients have to cut"))
    #expect(!words.contains("nothing uses the pool"))
  }

  /// Session 7 has held a tenth for 80 seconds, and somebody looked.
  private func idlePool() -> ReportedPool {
    let pool = ReportedPool(blocks: 100)
    pool.allocate(10, session: 7)
    for _ in 0..<8 {
      pool.sample()
      pool.now += 10_000
    }
    return pool
  }

  @Test("who holds a tenth of the pool for a minute with nothing running is named")
  func idle() throws {
    let pool = idlePool()
    let report = pool.report()
    let advice = try report.advice(.idleOwner)
    #expect(advice.isGiven)
    #expect(advice.change.contains("the holder of raw blocks of session 7"))
    #expect(advice.figures == "10 blocks for 80 s, +0 since")
  }

  @Test("who is idle is not known where nobody looks any more, whatever was known before")
  func idleUnknown() throws {
    let pool = idlePool()
    pool.analyzer.stop(pool.pool)
    pool.now += 3_600_000
    let report = pool.report()
    let advice = try report.advice(.idleOwner)
    #expect(!advice.isGiven)
    #expect(advice.measured == "not known: nobody samples the pool")
    #expect(report.look.owners.map(\.idleSinceMilliseconds) == [nil])
  }
}
