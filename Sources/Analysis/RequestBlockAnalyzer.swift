package import KVBlocks

/// What sequences and owners take of a pool, and what that does to everyone else.
///
/// Valid until the pool's next command; nothing is kept.
package struct RequestBlockAnalyzer {
  private let pool: KVPool
  private let tracker: FragmentationTracker
  private let mirror: BlockMirror

  package init(_ pool: KVPool, _ tracker: FragmentationTracker) {
    self.pool = pool
    self.tracker = tracker
    mirror = tracker.mirror(of: pool)
  }

  /// The running sequences that hold most blocks, descending; of equal ones those with more unused slots
  /// first, then those with the lower session and id. O(sequences), and what `cost` takes for those that
  /// are returned.
  package func costliest(_ most: Int) -> [SequenceCost] {
    var top: [TableFootprint] = []
    var cursor: UInt32 = 0
    while let (footprint, next) = pool.nextFootprint(from: cursor) {
      cursor = next
      if footprint.state != .running { continue }
      if top.count == most {
        guard let last = top.last, costsMore(footprint, last) else { continue }
      }
      var low = 0
      var high = top.count
      while low < high {
        let middle = (low + high) / 2
        if costsMore(footprint, top[middle]) { high = middle } else { low = middle + 1 }
      }
      top.insert(footprint, at: low)
      if top.count > most { top.removeLast() }
    }
    return top.compactMap { cost(of: $0.session, $0.sequence) }
  }

  private func costsMore(_ one: TableFootprint, _ other: TableFootprint) -> Bool {
    if one.blocks != other.blocks { return one.blocks > other.blocks }
    if one.unusedSlots != other.unusedSlots { return one.unusedSlots > other.unusedSlots }
    return (one.session, one.sequence) < (other.session, other.sequence)
  }

  /// What one running sequence costs; nil where there is none. As `TableStretches` for its table.
  package func cost(of session: SessionID, _ sequence: SequenceID) -> SequenceCost? {
    guard let view = pool.describe(session: session, sequence: sequence), view.state == .running
    else { return nil }
    let part = mirror.shapes[max(Int(view.sizeClass), 1) - 1]
    let held = view.exclusiveBlocks + view.sharedBlocks
    let behind = UInt32(view.blocks.count) - held
    let unused =
      held == 0
      ? 0
      : UInt32(view.blocks.count) * part.blockSize
        - max(view.computedTokens, behind * part.blockSize)
    return SequenceCost(
      session: session, sequence: sequence, tokens: view.tokens,
      computedTokens: view.computedTokens, exclusiveBlocks: view.exclusiveBlocks,
      sharedBlocks: view.sharedBlocks, runs: view.runs, unusedSlots: unused,
      separatedRuns: separatedRuns(by: view.blocks, part),
      admittedMilliseconds: tracker.history.time(of: view.admittedRevision),
      label: Array(view.label))
  }

  /// Stretches of blocks that only this table holds, with an available block on either side.
  private func separatedRuns(
    by table: UnsafeBufferPointer<BlockID>, _ part: BlockMirror.Part
  ) -> UInt32 {
    let own = table.lazy.filter { $0 != 0 && mirror.mark(Int($0)).state == .active }
    var count: UInt32 = 0
    for stretch in TableStretches.of(own) {
      let before = Int(stretch.first) - 2 - part.start
      let after = Int(stretch.first + stretch.count) - 1 - part.start
      if mirror.isAvailable(before, part) && mirror.isAvailable(after, part) { count += 1 }
    }
    return count
  }

  /// Who holds what, by session and label, most blocks first. What a session holds raw goes with its
  /// empty label, for raw blocks have none. O(sequences + sessions).
  package func owners() -> [OwnerCost] {
    var owners: [OwnerCost] = []
    var places: [OwnerKey: Int] = [:]
    func place(_ session: SessionID, _ label: UnsafeBufferPointer<UInt8>) -> Int {
      var hasher = Hasher()
      hasher.combine(bytes: UnsafeRawBufferPointer(label))
      let key = OwnerKey(session: session, label: hasher.finalize(), bytes: label.count)
      if let place = places[key] { return place }
      places[key] = owners.count
      owners.append(
        OwnerCost(
          session: session, label: Array(label),
          lastChangeMilliseconds: tracker.lastChange(by: session, in: pool)))
      return owners.count - 1
    }
    var cursor: UInt32 = 0
    while let (footprint, next) = pool.nextFootprint(from: cursor) {
      cursor = next
      let i = place(footprint.session, footprint.label)
      owners[i].sequences += 1
      if footprint.state == .running { owners[i].runningSequences += 1 }
      owners[i].sequenceBlocks += footprint.blocks
      owners[i].unusedSlots += UInt64(footprint.unusedSlots)
    }
    pool.forEachSession { session, rawBlocks, _, pinnedBlocks in
      if rawBlocks == 0 && pinnedBlocks == 0 { return }
      let i = place(session, .init(start: nil, count: 0))
      owners[i].rawBlocks = rawBlocks
      owners[i].pinnedBlocks = pinnedBlocks
    }
    for i in owners.indices {
      guard let holding = tracker.idle.holding(owners[i]) else { continue }
      owners[i].idleSinceMilliseconds = holding.sinceMilliseconds
      owners[i].grownBlocks = Int32(clamping: Int64(owners[i].blocks) - Int64(holding.blocksThen))
    }
    owners.sort {
      if $0.blocks != $1.blocks { return $0.blocks > $1.blocks }
      if $0.session != $1.session { return $0.session < $1.session }
      return $0.label.lexicographicallyPrecedes($1.label)
    }
    return owners
  }

  private struct OwnerKey: Hashable {
    var session: SessionID
    /// A hash that nobody can aim at: it is seeded anew in each process.
    var label: Int
    var bytes: Int
  }
}

/// A running sequence's share.
package struct SequenceCost: Equatable {
  package var session: SessionID
  package var sequence: SequenceID
  /// Known tokens, and those with slots.
  package var tokens: UInt32
  package var computedTokens: UInt32
  /// Blocks of its table with one reference, and with more.
  package var exclusiveBlocks: UInt32
  package var sharedBlocks: UInt32
  /// Maximal runs of ascending adjacent ids in its table: transfers that it takes to move its KV, where
  /// neighbours go together.
  package var runs: UInt32
  /// Slots of its table that hold no token of its own.
  package var unusedSlots: UInt32
  /// Pairs of runs of free and cached blocks that would be one if it went: stretches of blocks that it
  /// alone holds, with an available block before and behind.
  package var separatedRuns: UInt32
  /// Milliseconds since the epoch; nil where nobody knows: before the history, or since its last look.
  package var admittedMilliseconds: UInt64?
  package var label: [UInt8]

  package init(
    session: SessionID, sequence: SequenceID, tokens: UInt32, computedTokens: UInt32,
    exclusiveBlocks: UInt32, sharedBlocks: UInt32, runs: UInt32, unusedSlots: UInt32,
    separatedRuns: UInt32, admittedMilliseconds: UInt64?, label: [UInt8]
  ) {
    self.session = session
    self.sequence = sequence
    self.tokens = tokens
    self.computedTokens = computedTokens
    self.exclusiveBlocks = exclusiveBlocks
    self.sharedBlocks = sharedBlocks
    self.runs = runs
    self.unusedSlots = unusedSlots
    self.separatedRuns = separatedRuns
    self.admittedMilliseconds = admittedMilliseconds
    self.label = label
  }

  package var blocks: UInt32 { exclusiveBlocks + sharedBlocks }
}

/// The share of one label of one session.
package struct OwnerCost: Equatable {
  package var session: SessionID
  package var label: [UInt8]
  /// In any state, and those that run.
  package var sequences: UInt32 = 0
  package var runningSequences: UInt32 = 0
  /// Blocks of the device in their tables; a shared one counts in each.
  package var sequenceBlocks: UInt32 = 0
  /// Blocks to which the session has a raw reference.
  package var rawBlocks: UInt32 = 0
  /// Blocks whose content it pins: kept against eviction, no matter who holds them.
  package var pinnedBlocks: UInt32 = 0
  /// Slots of their tables that hold no token of their own.
  package var unusedSlots: UInt64 = 0
  /// Milliseconds since the epoch of the first sample behind the last command of the session that changed
  /// anything; nil = not since this server looks on, or there was no sample since.
  package var lastChangeMilliseconds: UInt64?
  /// Milliseconds since the epoch from which on it was seen to hold blocks with nothing running, and the
  /// blocks that it has more by now; nil and 0 where something runs or no sample has seen it.
  package var idleSinceMilliseconds: UInt64?
  package var grownBlocks: Int32 = 0

  package var blocks: UInt32 { sequenceBlocks + rawBlocks }
  /// What nothing that runs accounts for: a leak, where its blocks stay or grow.
  package var holdsWithoutRunning: Bool { runningSequences == 0 && blocks > 0 }
}
