import Analysis
import KVBlocks
import Testing

/// What a report makes of blocks that are neither free nor held by a running sequence of a plain pool.
/// Figures are counted by hand.
@Suite("reports of pools of other kinds")
struct PoolKindReportTests {
  private func text(_ report: FragmentationReport) -> String {
    FragmentationReporter(report).written(as: .text)
  }

  /// The line that says how many blocks are in which state, as far as the slots.
  private func states(_ report: FragmentationReport) -> String {
    let line = text(report).split(separator: "\n").first { $0.contains(" in use, ") } ?? ""
    return String(line.dropFirst(2).prefix { $0 != "%" }) + "%"
  }

  private func json(_ report: FragmentationReport) -> String {
    FragmentationReporter(report).written(as: .json)
  }

  // MARK: Size classes

  /// 64 blocks of 8 for up to 40 tokens, and 32 of 32; twelve sequences of 9, 17 ... 97 tokens.
  private func classed() throws -> ReportedPool {
    let pool = ReportedPool(
      PoolConfiguration(
        blocks: 96, blockSize: 8,
        sizeClasses: try SizeClass.checked([
          SizeClass(blockSize: 8, blocks: 64, maxExpectedTokens: 40),
          SizeClass(blockSize: 32, blocks: 32),
        ])))
    for i in 0..<12 as Range<UInt32> { pool.admit(9 + 8 * i) }
    return pool
  }

  @Test("of a pool with size classes lengths alone say nothing, and nothing is called as it is")
  func classes() throws {
    let report = try classed().report()
    #expect(report.advised == [])
    #expect(!report.whatIf.contains { $0.isPresent })
    #expect(try report.advice(.smallerBlocks).measured.hasPrefix("not judged: the pool has size"))
    #expect(text(report).contains("96 blocks of 8 and 32 tokens"))
    for format in [FragmentationReporter.Format.json, .csv, .html] {
      #expect(!FragmentationReporter(report).written(as: format).isEmpty)
    }
  }

  @Test("slots of a pool with size classes are those of their blocks, and no run has two sizes")
  func classFigures() throws {
    let look = try classed().report().look
    // 9, 17, 25 and 33 tokens in 2 + 3 + 4 + 5 blocks of 8; 41 ... 97 in 3 * 2 + 4 * 3 + 4 of 32.
    #expect(look.usedBlocks == 14 + 22)
    #expect(look.heldSlots.held == 14 * 8 + 22 * 32)
    #expect(look.heldSlots.used == 636)
    #expect(look.unusedSlots == 180)
    #expect(look.capacitySlots == 64 * 8 + 32 * 32)
    // One in each class, of 50 and of 10 blocks, which are neighbours by id only.
    #expect((look.runs.free.count, look.runs.free.largest) == (2, 50))
    let words = try classed().report().words
    #expect(words.contains("22.1 % of the slots that sequences hold are unused, 180 of 816: "))
    #expect(words.contains("Usage by blocks is 37.5 %, by slots 41.4 %."))
    #expect(words.contains("The ratio (1 - longest run / free) is 16.7 %,"))
    // (9 + 97) / 2, and 180 slots of sequences that use 53.
    #expect(words.contains("12 sequences, 53.0 tokens on average"))
    #expect(words.contains("room for 3.4 more sequences, at 53.0 slots that one uses on average"))
  }

  // MARK: A host tier

  @Test("what is swapped out is pinned until it is copied, then free; its sequence still counts")
  func hostTier() {
    let pool = ReportedPool(
      PoolConfiguration(blocks: 16, blockSize: 4, copyAck: .explicit, hostBlocks: 8))
    pool.admit(10)
    pool.admit(8)
    pool.swapOut([1])
    let leaving = pool.report()
    // Three blocks of ten tokens on their way, two of eight.
    #expect(states(leaving) == "11 free, 0 cached, 2 active, 0 shared, 3 pinned; 31.3 %")
    #expect(leaving.look.runs.free.count == 1)
    pool.acknowledgeCopies(3)
    let gone = pool.report()
    #expect(states(gone) == "14 free, 0 cached, 2 active, 0 shared, 0 pinned; 12.5 %")
    #expect(text(gone).contains("  ...aa..........."))
    // 1 - 11 / 14.
    #expect(gone.words.contains("2 free runs, the longest with 78.6 % of what is free."))
    #expect(gone.words.contains("The ratio (1 - longest run / free) is 21.4 %,"))
    // Slots are those of the device; lengths those of both.
    #expect(gone.words.contains("0 % of the slots that sequences hold are unused, 0 of 8: "))
    #expect(gone.words.contains("2 sequences, 9.0 tokens on average"))
    #expect(gone.words.contains("Owners: the owner without a label holds most, 2 blocks, 100 %"))
    #expect(gone.look.stats.runningSequences == 1)
    #expect(
      gone.look.owners.map { [$0.sequences, $0.runningSequences, $0.blocks] } == [[2, 1, 2]])
  }

  @Test("a full host tier refuses for want of blocks, which is no refusal for fragmentation")
  func fullHostTier() {
    let pool = ReportedPool(
      PoolConfiguration(blocks: 16, blockSize: 4, copyAck: .explicit, hostBlocks: 2))
    pool.admit(10)
    pool.swapOut([1])
    let report = pool.report()
    #expect(report.look.stats.runningSequences == 1)
    #expect(report.window.counts.refusedRun == 0)
    #expect(report.words.contains("Refusals caused by fragmentation: 0."))
    #expect(!report.words.contains("Refused since the pool was made: nothing."))
  }

  // MARK: Lazy frees

  private func lazy(batch: UInt32) -> ReportedPool {
    var configuration = PoolConfiguration(blocks: 20, blockSize: 4)
    configuration.admission = AdmissionOptions(lazyFreeBatch: batch)
    return ReportedPool(configuration)
  }

  @Test("frees that wait are available and not free: they join the runs that wait for them")
  func lazyFrees() {
    let pool = lazy(batch: 8)
    pool.allocate(10)
    pool.free([1, 2, 3, 4, 5])
    let report = pool.report()
    #expect(states(report) == "10 free, 0 cached, 5 active, 0 shared, 0 pinned, 5 pending; 25.0 %")
    #expect(text(report).contains("  wwwwwaaaaa.........."))
    #expect(json(report).contains("\"lazy_pending\":5"))
    // Free alone one run; with what waits runs of 5 and 10.
    let runs = report.look.runs
    #expect((runs.free.count, runs.free.largest, runs.free.blocks) == (1, 10, 10))
    #expect((runs.available.count, runs.available.largest, runs.available.blocks) == (2, 10, 15))
    #expect(report.look.externalFragmentation == 0)
    #expect(report.words.contains("External: the free blocks lie together"))
  }

  @Test("a pool that waits as a whole is not an empty one, and can be handed out")
  func allLazy() {
    let pool = lazy(batch: 30)
    pool.allocate(20)
    pool.free(Array(1...20))
    let report = pool.report()
    #expect(states(report) == "0 free, 0 cached, 0 active, 0 shared, 0 pinned, 20 pending; 0 %")
    #expect(FragmentationPattern(report.look) == .nothingFree)
    #expect(report.words.contains("External: none to speak of, no block is free."))
    #expect((report.look.runs.available.count, report.look.runs.available.largest) == (1, 20))
    #expect(pool.allocate(20))
    #expect(pool.report().look.stats.lazyPending == 0)
  }

  // MARK: Pins

  @Test("pinned content that nobody holds is in use and belongs to no owner of blocks")
  func pins() {
    var configuration = PoolConfiguration(blocks: 16, blockSize: 4, cachesPrefixes: true)
    configuration.pinBudgetBlocks = 8
    let pool = ReportedPool(configuration)
    pool.allocate(3)
    pool.cache([1, 2, 3], content: 1)
    pool.pin([1, 2], content: 1, session: 7)
    pool.free([1, 2, 3])
    let report = pool.report()
    #expect(states(report) == "13 free, 1 cached, 0 active, 0 shared, 2 pinned; 12.5 %")
    #expect(text(report).contains("  ppc............."))
    let runs = report.look.runs
    #expect((runs.free.count, runs.free.largest) == (1, 13))
    #expect((runs.available.count, runs.available.largest) == (1, 14))
    #expect(report.words.contains("Internal: none, no sequence holds a block."))
    #expect(report.words.contains("Owners: nobody holds a block."))
    #expect(report.words.contains("1 block cached, 0 of them behind a hole"))
    #expect(report.look.owners.map { [$0.blocks, $0.pinnedBlocks] } == [[0, 2]])
    #expect(report.look.owners.map(\.session) == [7])
    #expect(FragmentationPattern(report.look) == .together)
  }
}
