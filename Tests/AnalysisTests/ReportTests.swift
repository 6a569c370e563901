import Analysis
import KVBlocks
import TestSupport
import Testing

@Suite("what a report says")
struct ReportTests {
  // MARK: Patterns

  @Test("a fresh pool has no fragmentation, and nothing is to be changed because nothing uses it")
  func fresh() {
    let report = ReportedPool().report()
    #expect(FragmentationPattern(report.look) == .unused)
    #expect(report.advised == [])
    #expect(report.answers.map(\.question.last) == ["?", "?", "?", "?"])
    #expect(report.answers[3].paragraphs == ["Nothing to change, because nothing uses the pool."])
    #expect(report.words.contains("External: none, the pool is empty"))
    #expect(report.words.contains("Internal: none, no sequence holds a block."))
  }

  @Test("a pool that was used and is empty again has nothing to change either")
  func emptied() {
    let pool = ReportedPool()
    pool.admit(100)
    pool.release([1])
    let report = pool.report()
    #expect(FragmentationPattern(report.look) == .unused)
    #expect(report.advised == [])
    #expect(report.words.contains("Refused since the pool was made: nothing."))
  }

  @Test("a checkerboard is named, costs no refusal in a paged pool, and is nothing to change")
  func checkerboard() {
    let pool = ReportedPool(blocks: 64)
    pool.allocate(64)
    pool.free((1...64).filter { $0 % 2 == 0 })
    let report = pool.report()
    #expect(FragmentationPattern(report.look) == .checkerboard)
    // 1 - 1/32.
    #expect(report.words.contains("a checkerboard. 32 free blocks in 32 runs of 1.0 on average."))
    #expect(
      report.words.contains(
        "The ratio (1 - longest run / free) is 96.9 %, refusals caused by fragmentation: 0."))
    #expect(report.words.contains("this refuses nothing"))
    #expect(report.words.contains("Internal: not known, 32 blocks are held raw"))
    #expect(report.advised == [])
    #expect(report.answers[3].paragraphs[0].hasPrefix("Nothing to change, because "))
  }

  @Test("where a run is needed, scattered blocks refuse, and the report says so")
  func runs() throws {
    let pool = ReportedPool(blocks: 64, strategy: .buddy)
    for _ in 0..<64 { pool.allocate(1) }
    pool.free((1...64).filter { $0 % 2 == 0 })
    #expect(!pool.allocate(2))
    let report = pool.report()
    #expect(report.advised.map(\.rule) == [.defragment])
    let advice = try report.advice(.defragment)
    #expect(advice.measured == "1 refusal for want of a run where there were blocks enough")
    #expect(advice.figures == "the longest free run has 1 of 32 free blocks")
    #expect(report.words.contains("refusals caused by fragmentation: 1."))
    #expect(report.words.contains("so the ratio is a cost"))
  }

  // MARK: Block size

  @Test("17-token prompts in blocks of 16: blocks of 8 would hold a third more of them")
  func seventeen() throws {
    let pool = ReportedPool(blocks: 64, blockSize: 16)
    for _ in 0..<10 { pool.admit(17) }
    let report = pool.report()
    #expect(report.advised.map(\.rule) == [.smallerBlocks])
    // 2 of 64 blocks each: 32 at once. 3 of 128: 42.7, a third more. 150 of 320 slots and 70 of 240.
    let advice = try report.advice(.smallerBlocks)
    #expect(advice.measured == "blocks of 8 would hold 33.3 % more of the 10 sequences it knows")
    #expect(
      advice.figures.hasPrefix(
        "42.7 of these sequences at once instead of 32.0, 29.2 % of the slots they hold unused instead "
          + "of 46.9 %"))
    #expect(report.lengths.meanTail == 15)
    #expect(report.lengths.shortTails == 10)
    #expect(report.words.contains("100 % of them end in the first quarter of a block"))
    #expect(report.words.contains("leave 15.0 of 16 slots unused on average; 7.5 is what"))
    #expect(report.words.contains("Usage by blocks is 31.3 %, by slots 16.6 %."))
    // 150 slots, 17 tokens each: 8.8 more.
    #expect(report.words.contains("room for 8.8 more sequences, at 17.0 slots that one uses"))
  }

  @Test("nine sequences are no distribution")
  func few() throws {
    let pool = ReportedPool(blocks: 64, blockSize: 16)
    for _ in 0..<9 { pool.admit(17) }
    #expect(pool.advised == [])
    #expect(
      try pool.report().advice(.smallerBlocks).measured
        == "not judged: 9 sequences, fewer than 10")
  }

  @Test("a fortieth more is not worth another block size")
  func slight() throws {
    // 39 x 16 + 8 tokens: 40 blocks of 16, 79 of 8, which are 39.5.
    let pool = ReportedPool(blocks: 1_000, blockSize: 16)
    for _ in 0..<10 { pool.admit(632) }
    #expect(pool.advised == [])
    #expect(
      try pool.report().advice(.smallerBlocks).measured
        == "blocks of 8 would hold 1.3 % more of the 10 sequences it knows")
    #expect(
      pool.report().answers[3].paragraphs[0].hasPrefix(
        "Nothing to change, because sequences leave 1.3 % of their slots unused"))
  }

  @Test("blocks of 4 that save nothing are too small")
  func small() throws {
    let pool = ReportedPool(blocks: 400, blockSize: 4)
    for _ in 0..<10 { pool.admit(64) }
    #expect(pool.advised == ["larger_blocks"])
  }

  @Test("the lab: reserving 512 for sequences of 32 holds 8 of them, paged it is 128")
  func lab() throws {
    let pool = ReportedPool(blocks: 256, blockSize: 16, strategy: .contiguousMax, longest: 512)
    for _ in 0..<12 { pool.admit(32, keeps: true) }
    let report = pool.report()
    #expect(report.look.stats.runningSequences == 8)
    let advice = try report.advice(.paging)
    #expect(advice.isGiven)
    #expect(advice.figures.hasPrefix("128.0 of these sequences at once instead of 8.0, 0 % of"))
  }

  // MARK: The window

  @Test("counts are those of the window, and of the whole life where nobody samples")
  func counts() {
    let pool = ReportedPool(blocks: 100)
    for _ in 0..<3 { pool.admit(20) }
    #expect(pool.report().window.counts.admitted == 3)
    pool.sample()
    pool.now += 5_000
    for _ in 0..<2 { pool.admit(30) }
    let window = pool.report().window
    #expect(window.counts.admitted == 2)
    #expect(window.counts.promptTokens == 60)
    #expect(window.milliseconds == 5_000)
    #expect(window.samples.count == 2)
    // From now on there is nothing but the look itself, which is no window.
    let end = pool.report(since: pool.now)
    #expect(end.window.samples.count == 1)
    #expect(end.window.counts.admitted == 5)
    #expect(end.words.contains("Over time: nothing yet, this is the first look at it."))
    #expect(
      end.words.contains("Preempted since the pool was made: 0 sequences, against 5 admissions."))
  }

  @Test("a window of a few samples is too short, and the report says so instead of inventing")
  func short() {
    let pool = ReportedPool(blocks: 100)
    for _ in 0..<10 {
      pool.admit(20)
      pool.sample()
      pool.now += 1_000
    }
    let report = pool.report()
    #expect(report.window.relations.allSatisfy { $0.correlation.verdict == .tooShort })
    #expect(
      report.words.contains("the window is too short to say, 10 pairs of samples of 20."))
  }

  @Test("longer prompts leave less of their blocks unused, which sixty samples show")
  func relation() throws {
    let pool = ReportedPool(blocks: 4_000, blockSize: 16)
    var random = SplitMix64(seed: 7)
    for id in 1...60 as ClosedRange<SequenceID> {
      // One at a time, so that the ratio is that of its own length: 1 / 32 ... 15 / 16 are held.
      let blocks = UInt32(random.next() % 30) + 2
      pool.admit((blocks - 1) * 16 + 1)
      pool.sample()
      pool.now += 1_000
      pool.release([id])
    }
    let relation = try #require(
      pool.report().window.relations.first {
        $0.x == "mean prompt tokens of arrivals" && $0.y == "internal fragmentation"
      })
    // The first sample begins the window, and the report's own look sees no arrival.
    #expect(relation.correlation.pairs == 59)
    #expect(relation.correlation.verdict == .falls)
    #expect(
      pool.report().words.contains(
        "Internal fragmentation falls with mean prompt tokens of arrivals (rho -1.00, n 59"))
  }

  @Test("a day's samples are folded before they are compared, and count what happened all the same")
  func folded() {
    let pool = ReportedPool(blocks: 10_000)
    for second in 0..<1_300 {
      pool.allocate(1)
      if second == 700 { pool.pool.reset() }
      pool.sample()
      pool.now += 1_000
    }
    let window = pool.report().window
    // Ten minutes by the second, the rest by ten: 600 + 70, and the report's own look.
    #expect((660...680).contains(window.samples.count))
    #expect(window.relations.allSatisfy { $0.correlation.pairs < 600 })
    #expect(window.relations.filter { $0.x == "time" }.allSatisfy { $0.correlation.pairs >= 330 })
    #expect(window.counts.milliseconds == window.milliseconds)
    // Of the first sample and of the one that the reset fell into nobody knows.
    #expect((1_280...1_298).contains(window.counts.allocatedBlocks))
  }

  @Test("lengths are summed up as they are: mean, median, nine tenths, longest, ends of blocks")
  func lengths() {
    let known = WhatIf([40, 1, 16, 16, 17, 16, 9, 16, 2, 16] as [UInt32])
    let summary = LengthSummary(known, blockSize: 16)
    #expect((summary.sequences, summary.mean, summary.longest) == (10, 14.9, 40))
    // 1 2 9 16 16 16 16 16 17 40.
    #expect((summary.median, summary.ninetieth) == (16, 17))
    // 15 + 14 + 7 + 0 + 15 + 8; those of 12 and more are three.
    #expect((summary.meanTail, summary.shortTails) == (5.9, 3))
    let none = LengthSummary(WhatIf([] as [UInt32]), blockSize: 16)
    #expect((none.sequences, none.longest, none.mean) == (0, 0, 0))
  }

  @Test("without a history the report says so, and how to have one")
  func unsampled() {
    let words = ReportedPool().report().words
    #expect(words.contains("the pool is not sampled. Start quired with --sample-interval 1s"))
    #expect(words.contains("With the workload: not known, for want of a history."))
  }

  // MARK: The analyzer

  @Test("start samples, stop does not, and what was recorded stays in reports")
  func stops() {
    let pool = ReportedPool(blocks: 100)
    pool.admit(20)
    pool.sample()
    pool.analyzer.stop(pool.pool)
    pool.admit(20)
    pool.now += 1_000
    pool.sample()
    #expect(pool.analyzer.tracker.history.samples().count == 1)
    // Not followed, but read as it is.
    let report = pool.report()
    #expect(report.look.stats.runningSequences == 2)
    #expect(report.look.runs.free.blocks == 96)
    #expect(report.window.samples.count == 2)
    pool.analyzer.start(pool.pool)
    #expect(pool.analyzer.tracker.disagreement(with: pool.pool) == nil)
    pool.now += 1_000
    pool.sample()
    #expect(pool.analyzer.tracker.history.samples().count == 2)
  }

  @Test("an analyzer that never ran reports from one look")
  func neverRan() {
    let pool = ReportedPool(PoolConfiguration(blocks: 10, blockSize: 4), isRunning: false)
    pool.allocate(3)
    let report = pool.report()
    #expect(report.look.usedBlocks == 3)
    #expect(report.window.intervalMilliseconds == 0)
  }
}
