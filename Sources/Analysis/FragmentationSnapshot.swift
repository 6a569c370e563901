package import KVBlocks

/// One consistent look at a pool: all of it is of the same revision.
///
/// | Measure | Formula | Unit |
/// |---|---|---|
/// | external fragmentation | 1 - largest free run / free blocks; 0 when nothing is free | 0 to 1 |
/// | mean free run | free blocks / free runs | blocks |
/// | histogram | runs of 2^k up to 2^(k+1) - 1 blocks | runs |
/// | does a contiguous request of n fit | n <= largest run, free alone or free + cached | |
/// | internal fragmentation | 1 - slots used / slots held by sequences | 0 to 1 |
/// | usage by blocks | blocks that are not available / blocks | 0 to 1 |
/// | usage by slots | slots used / slots of all blocks | 0 to 1 |
/// | waste against reserve-max | running sequences x longest sequence - slots held | slots |
/// | hit rate | tokens found / tokens looked up | 0 to 1 |
///
/// Blocks are equal and any will do, so scattered free blocks refuse nothing unless a request asks for
/// adjacent ones: beside the external ratio stands `refusalsByFragmentation`.
package struct FragmentationSnapshot: Equatable {
  package var timeMilliseconds: UInt64
  package var stats: PoolStats
  /// Slots of all blocks of the pool.
  package var capacitySlots: UInt64
  /// Runs and slots.
  package var layout: PoolLayout
  package var runs: PoolRuns
  /// Blocks that running sequences hold and that are partly filled, and those ahead of all tokens.
  package var partialBlocks: UInt32
  package var emptyBlocks: UInt32
  /// Tokens of the longest possible sequence: the pool's limit, or, where it has none, the most tokens of
  /// a sequence that runs now.
  package var longestSequence: UInt32
  /// Whether so many adjacent blocks are there as they are, and counting what is cached as well; in the
  /// order asked for.
  package var probes: [Probe]
  /// Cached blocks that no lookup can reach, for an ancestor is gone; nil where nobody asked.
  package var orphanedBlocks: UInt32?
  /// The running sequences that hold most, descending, and all owners.
  package var sequences: [SequenceCost]
  package var owners: [OwnerCost]

  package struct Probe: Equatable {
    package var blocks: UInt32
    package var fitsFree: Bool
    package var fitsAvailable: Bool
  }

  /// O(blocks / 64 + runs + sequences + sessions) and what `costliest` takes; with orphans O(blocks) and
  /// a search for each that has content.
  package init(
    of pool: KVPool, _ tracker: FragmentationTracker, at milliseconds: UInt64,
    sequences most: Int = 10, probing probes: [UInt32] = [], withOrphans: Bool = false
  ) {
    let unused = pool.unusedSlots()
    let mirror = tracker.mirror(of: pool)
    let requests = RequestBlockAnalyzer(pool, tracker)
    timeMilliseconds = milliseconds
    stats = pool.stats()
    runs = tracker.runs(of: pool)
    layout = tracker.layout(of: pool, withSlots: false)
    tracker.addSlots(pool, unused, to: &layout)
    capacitySlots = mirror.shapes.reduce(0) {
      $0 + UInt64($1.blocks) * UInt64($1.blockSize)
    }
    partialBlocks = unused.parts.reduce(0) { $0 + $1.partialBlocks }
    emptyBlocks = unused.parts.reduce(0) { $0 + $1.emptyBlocks }
    longestSequence = pool.configuration.maxModelTokens
    if longestSequence == 0 {
      var cursor: UInt32 = 0
      while let (footprint, next) = pool.nextFootprint(from: cursor) {
        cursor = next
        if footprint.state == .running { longestSequence = max(longestSequence, footprint.tokens) }
      }
    }
    let runs = runs
    self.probes = probes.map {
      Probe(
        blocks: $0, fitsFree: runs.free.fits(Int($0)), fitsAvailable: runs.available.fits(Int($0)))
    }
    orphanedBlocks = withOrphans ? CacheReach(pool, mirror).orphanedBlocks : nil
    sequences = most == 0 ? [] : requests.costliest(most)
    owners = requests.owners()
  }

  // MARK: Ratios

  /// Slots that sequences hold, and of those the ones with a token.
  package var heldSlots: HeldSlots {
    HeldSlots(used: layout.sequenceSlotsUsed, held: layout.sequenceSlotsHeld)
  }
  /// Slots held and not used.
  package var unusedSlots: UInt64 { heldSlots.wasted }
  /// 1 - slots used / slots held; 0 when nothing is held.
  package var internalFragmentation: Double { heldSlots.internalFragmentation }
  /// 1 - largest free run / free blocks; 0 when nothing is free.
  package var externalFragmentation: Double { runs.free.fragmentation }
  /// Refusals with enough blocks and no run: always 0 where blocks need no run.
  package var refusalsByFragmentation: UInt64 {
    stats.refusals[Int(Refusal.Reason.noRun.rawValue)]
  }

  package var availableBlocks: UInt32 { stats.free + stats.cached + stats.lazyPending }
  package var usedBlocks: UInt32 { stats.blocks - availableBlocks }
  /// What usually is called cache usage: blocks that are not available / blocks.
  package var usageByBlocks: Double { Double(usedBlocks) / Double(stats.blocks) }
  /// Slots with a token / slots of all blocks. Of raw blocks nobody knows the fill; they count as empty.
  package var usageBySlots: Double {
    Double(layout.sequenceSlotsUsed) / Double(capacitySlots)
  }
  /// Slots that reserving `longestSequence` for each running sequence would hold.
  package var reserveMaxSlots: UInt64 {
    UInt64(stats.runningSequences) * UInt64(longestSequence)
  }
  /// Tokens found / tokens looked up, by admissions that were accepted; nil before the first one.
  package var hitRate: Double? {
    stats.prefixQueryTokens == 0
      ? nil : Double(stats.prefixHitTokens) / Double(stats.prefixQueryTokens)
  }
}
