package import KVBlocks

/// What is known of a pool at one moment, and of its past: the facts that a `FragmentationReporter` writes
/// down, and what follows from them.
package struct FragmentationReport {
  /// The pool's name.
  package var pool: String
  let isSampled: Bool
  package var configuration: PoolConfiguration
  /// One consistent look, at `look.timeMilliseconds` and `look.stats.revision`.
  package var look: FragmentationSnapshot
  package var tally: SequenceTally
  package var map: BlockMix
  package var hotspots: [BlockLayoutAnalyzer.Hotspot]
  package var lengths: LengthSummary
  package var whatIf: [WhatIfLine]
  /// sqrt(2 L m_meta / m_token), tokens; nil without a geometry or sequences.
  package var optimalBlockSize: Double?
  package var window: ReportWindow
  /// nil where nobody follows the blocks one by one, or the contents.
  package var life: BlockLife?
  package var losses: Losses?
  /// Every rule of advice, in order, fired or not.
  package internal(set) var advice: [Advice] = []
  package internal(set) var answers: [Answer] = []

  /// Cells of a map of single blocks, and of a map of several together, at most.
  static let mostBlockCells: UInt32 = 4_096
  static let mostMixedCells: UInt32 = 1_024
  /// Lengths of sequences at most; those in the first slots.
  static let mostLengths = 100_000
  /// Orphaned blocks are counted by a search for each block with content: not in larger pools.
  static let mostBlocksForOrphans: UInt32 = 100_000
  static let mostOwners = 20

  /// A pool in a way it might be, and what its sequences would take.
  package struct WhatIfLine: Equatable {
    package var name: String
    /// It is the way that the pool is made.
    package var isPresent: Bool
    package var pool: WhatIf.Pool
    package var row: WhatIf.Row
  }

  /// How long blocks live, as `BlockLifetimes` has it.
  package struct BlockLife: Equatable {
    /// One block handed out in so many is sampled; 0 = none.
    package var every: UInt32
    package var lifetimes: DurationHistogram
    package var idleBeforeEvict: DurationHistogram
    package var reuseGaps: DurationHistogram
    package var evicted: UInt64
    package var evictedUnused: UInt64

    package init(_ lifetimes: BlockLifetimes) {
      every = lifetimes.every
      self.lifetimes = lifetimes.lifetimes
      idleBeforeEvict = lifetimes.idleBeforeEvict
      reuseGaps = lifetimes.reuseGaps
      evicted = lifetimes.evicted
      evictedUnused = lifetimes.evictedUnused
    }
  }

  /// What became of content that was evicted.
  package struct Losses: Equatable {
    /// Contents that no block had any more, since they are followed.
    package var evicted: UInt64
    /// Of these, stored again later, each time counting.
    package var storedAgain: UInt64

    package init(_ contents: EvictedContents) {
      evicted = contents.count
      storedAgain = contents.storedAgain
    }

    package var share: Double { evicted == 0 ? 0 : Double(storedAgain) / Double(evicted) }
  }

  /// - Parameters:
  ///   - isSampled: Samples are taken by now: else nobody knows since when an owner has been idle.
  ///   - samples: Of the pool's past, oldest first, before this look; empty where nobody samples it.
  ///   - intervalMilliseconds: Between samples, as configured; 0 = nobody samples it.
  /// - Complexity: O(blocks + n log n) for n sequences, each at most once a report; with orphans, in
  ///   pools of up to 100,000 blocks, a search for each block that has content.
  init(
    of pool: KVPool, named name: String, _ tracker: FragmentationTracker, isSampled: Bool,
    at milliseconds: UInt64,
    samples: [HistorySample], intervalMilliseconds: UInt32, life: BlockLife?, losses: Losses?
  ) {
    self.pool = name
    configuration = pool.configuration
    look = FragmentationSnapshot(
      of: pool, tracker, at: milliseconds, sequences: 10,
      withOrphans: pool.configuration.cachesPrefixes
        && pool.configuration.blocks <= Self.mostBlocksForOrphans)
    for i in look.owners.indices where !isSampled {
      look.owners[i].idleSinceMilliseconds = nil
      look.owners[i].grownBlocks = 0
    }
    self.isSampled = isSampled
    tally = pool.tally
    let layout = BlockLayoutAnalyzer(pool, tracker)
    let blocks = pool.configuration.blocks
    map = layout.mix(
      perCell: blocks <= Self.mostBlockCells
        ? 1 : (blocks + Self.mostMixedCells - 1) / Self.mostMixedCells)
    hotspots = layout.hotspots(8)
    // One more, to know whether there are more.
    let known = pool.lengths(limit: Self.mostLengths + 1)
    let sequences = WhatIf(
      known.prefix(Self.mostLengths), expected: pool.expectedLengths(limit: Self.mostLengths))
    lengths = LengthSummary(
      sequences, blockSize: pool.configuration.blockSize,
      isTruncated: known.count > Self.mostLengths)
    let now = HistorySample(pool, tracker, at: milliseconds)
    let past = samples.filter { $0.timeMilliseconds < milliseconds }
    window = ReportWindow(past + [now], intervalMilliseconds: intervalMilliseconds)
    self.life = life
    self.losses = losses
    whatIf = Self.sweep(sequences, pool)
    let tokenBytes =
      Double(pool.configuration.bytesPerBlock) / Double(max(1, pool.configuration.blockSize))
    if tokenBytes > 0 && sequences.sequences > 0 && pool.configuration.sizeClasses.isEmpty {
      optimalBlockSize = BlockArithmetic.optimalBlockSize(
        meanTokens: sequences.meanTokens,
        metadataBytes: pool.memoryPerBlock + Double(WhatIf.tableEntryBytes),
        tokenBytes: tokenBytes)
    }
    advice = AdviceRules(self, sequences).all()
    answers = ReportAnswers(self).all()
    // What is listed; shares are of all.
    look.owners = Array(look.owners.prefix(Self.mostOwners))
  }

  /// The pool as it is, its slots cut otherwise, and, where it is not paged, paged.
  private static func sweep(_ sequences: WhatIf, _ pool: KVPool) -> [WhatIfLine] {
    if sequences.sequences == 0 { return [] }
    let present = WhatIf.Pool(pool.configuration, recordBytes: pool.memoryPerBlock)
    // Lengths alone do not say which class a sequence is of.
    let hasClasses = !pool.configuration.sizeClasses.isEmpty
    var pools: [(String, WhatIf.Pool)] = []
    var sizes = BlockArithmetic.usualBlockSizes
    if !sizes.contains(present.blockSize) { sizes.append(present.blockSize) }
    for size in sizes.sorted() { pools.append(("blocks of \(size)", present.cut(into: size))) }
    if present.strategy.needsRuns {
      var paged = present
      paged.strategy = .freeQueue
      pools.append(("paged, blocks of \(paged.blockSize)", paged))
    }
    return pools.map { name, made in
      WhatIfLine(
        name: name, isPresent: !hasClasses && made == present, pool: made, row: sequences.row(made))
    }
  }

  /// Blocks of the pool that sequences hold, and bytes of a slot; 0 without a geometry.
  var bytesPerSlot: Double {
    Double(configuration.bytesPerBlock) / Double(max(1, configuration.blockSize))
  }
  /// The advice that the facts give; empty = nothing to change.
  package var advised: [Advice] { advice.filter(\.isGiven) }
}
