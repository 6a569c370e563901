package import KVBlocks

// This module says where a pool's memory goes: it follows what commands do, samples it, and puts it in
// words. It has no clock, times are passed in; it never changes a pool; and it looks at every block of one
// only to begin with it, or where a caller asks for what cannot be counted otherwise.

/// Follows a pool by the blocks that it says may have changed, so that a look at it costs no scan, and
/// keeps its history.
///
/// Beside the pool: a byte and three bits a block, 8 bytes more where prefixes are cached, and the history's
/// rings. Nobody has to tell it anything: each look is given the pool, and where that is another one than
/// before, or as created again, all of it is read.
package final class FragmentationTracker {
  private let following: BlockMirror
  package private(set) var history = FragmentationHistory()
  private(set) var idle = IdleHoldings()
  /// Looked at as often as `idle`.
  package private(set) var owners = OwnerHistory()
  /// The runs as they were at `revision`; they are counted again when it has moved.
  private var known: PoolRuns?
  private var knownRevision: Revision = 0
  /// How many pools this has seen, each reset counted as another.
  private(set) var lives: UInt32 = 0
  private var largest: (free: [UInt32], available: [UInt32])?
  /// Of each session that holds anything, and of those of the last seconds, the first sample that saw its last
  /// command that changed something.
  private var sessionTimes: [SessionID: UInt64] = [:]

  /// O(blocks), now or with the first look.
  ///
  /// - Parameter follows: Whether there will be more looks. Else the pool notes nothing for them, and each
  ///   reads all of it. Who follows has to `stop` before this goes: the pool does not know that nobody looks.
  package init(_ pool: KVPool, follows: Bool) {
    following = BlockMirror()
    if follows { start(pool) }
  }

  /// From here on the pool is followed. O(blocks).
  package func start(_ pool: KVPool) {
    following.follows = true
    mirror(of: pool)
  }

  /// The pool notes nothing any more.
  package func stop(_ pool: KVPool) { following.stop(pool) }

  /// The blocks of the pool as it is. O(blocks that changed since + blocks / 64); O(blocks) where another
  /// pool has taken the place, or after a reset.
  @discardableResult
  func mirror(of pool: KVPool) -> BlockMirror {
    let settled = following.settle(pool)
    if settled == .same { return following }
    if settled == .anew {
      lives &+= 1
      // Sessions of the pool before may be others'.
      sessionTimes = [:]
    }
    known = nil
    largest = nil
    return following
  }

  /// The same for who will look later, so that there is less to do then.
  package func catchUp(with pool: KVPool) { mirror(of: pool) }

  /// When a command of the session last changed anything, as the first sample behind it saw; nil = not
  /// since this follows the pool, or behind the last sample.
  package func lastChange(by session: SessionID, in pool: KVPool) -> UInt64? {
    if pool.touched?.hasChanged(session, at: pool.revision) ?? false { return nil }
    return sessionTimes[session]
  }

  /// What of this is not as in the pool; nil where all is. O(blocks), for tests.
  package func disagreement(with pool: KVPool) -> String? {
    let mirror = mirror(of: pool)
    for id in 1...mirror.blocks {
      let mark = pool.mark(of: BlockID(id))
      if mirror.mark(id) != mark { return "block \(id) is \(mark), not \(mirror.mark(id))" }
    }
    let fresh = BlockMirror()
    _ = fresh.settle(pool)
    for (mine, right) in zip(mirror.parts, fresh.parts) {
      if mine != right { return "counts \(mine) instead of \(right)" }
      if !mirror.freeWords(mine).elementsEqual(fresh.freeWords(right)) {
        return "another set of free blocks"
      }
      if !mirror.availableWords(mine).elementsEqual(fresh.availableWords(right)) {
        return "another set of available blocks"
      }
    }
    return nil
  }

  // MARK: Runs and slots

  /// The runs of the pool as it is. O(blocks / 64 + runs), once for each revision.
  package func runs(of pool: KVPool) -> PoolRuns {
    let mirror = mirror(of: pool)
    if let known, knownRevision == pool.revision { return known }
    let runs = PoolRuns(mirror)
    known = runs
    largest = nil
    knownRevision = pool.revision
    return runs
  }

  /// The runs of the last sample, whatever was counted or took the place since; nil = there is none.
  package private(set) var sampledRuns: PoolRuns?

  /// The ten largest free runs and the ten largest of free and cached blocks. O(blocks / 64 + runs), once
  /// for each revision.
  private func largestRuns(of pool: KVPool) -> (free: [UInt32], available: [UInt32]) {
    let runs = runs(of: pool)
    if let largest { return largest }
    let mirror = mirror(of: pool)
    var free: [UInt32] = []
    var available: [UInt32] = []
    for (part, census) in zip(mirror.parts, runs.parts) {
      let ofPart = census.free.largestRuns(10, of: mirror.freeWords(part))
      for length in ofPart { RunCensus.insert(length, into: &free, 10) }
      for length in part.free == part.available
        ? ofPart : census.available.largestRuns(10, of: mirror.availableWords(part))
      {
        RunCensus.insert(length, into: &available, 10)
      }
    }
    largest = (free, available)
    return (free, available)
  }

  /// What `KVPool.layout` says, without its scan: O(blocks / 64 + runs) and O(running sequences).
  package func layout(
    of pool: KVPool, withRuns: Bool = true, withSlots: Bool = true
  ) -> PoolLayout {
    var layout = PoolLayout()
    layout.classes = withRuns || withSlots ? pool.classes() : []
    if withRuns { addRuns(pool, to: &layout) }
    if withSlots { addSlots(pool, pool.unusedSlots(), to: &layout) }
    return layout
  }

  private func addRuns(_ pool: KVPool, to layout: inout PoolLayout) {
    let runs = runs(of: pool)
    let largest = largestRuns(of: pool)
    layout.freeRuns = UInt32(runs.free.count)
    layout.largestFreeRun = UInt32(runs.free.largest)
    layout.largestFreeRuns = largest.free
    layout.availableRuns = UInt32(runs.available.count)
    layout.largestAvailableRun = UInt32(runs.available.largest)
    layout.largestAvailableRuns = largest.available
    for i in layout.classes.indices {
      layout.classes[i].largestFreeRun = UInt32(runs.parts[i].free.largest)
      layout.classes[i].largestAvailableRun = UInt32(runs.parts[i].available.largest)
    }
  }

  func addSlots(_ pool: KVPool, _ unused: UnusedSlots, to layout: inout PoolLayout) {
    for (i, part) in mirror(of: pool).parts.enumerated() {
      let ends = unused.parts[i]
      let held =
        UInt64(part.ofSequences + part.ofSeveral - ends.rawSeveral) * UInt64(part.blockSize)
      let raw = part.raw + ends.rawSeveral
      layout.sequenceSlotsHeld += held
      layout.sequenceSlotsUsed += held - ends.slots
      layout.rawBlocks += raw
      if layout.classes.isEmpty { continue }
      layout.classes[i].sequenceSlotsHeld = held
      layout.classes[i].sequenceSlotsUsed = held - ends.slots
      layout.classes[i].rawBlocks = raw
    }
  }

  // MARK: History

  /// Adds the pool as it is to the history. O(blocks / 64 + runs + running sequences), and without the
  /// first two where nothing changed since they were counted.
  package func sample(_ pool: KVPool, at milliseconds: UInt64) {
    history.add(HistorySample(pool, self, at: milliseconds))
    sampledRuns = runs(of: pool)
    for session in pool.touched?.takeSessions(at: pool.revision) ?? [] {
      sessionTimes[session] = milliseconds
    }
    if idle.isDue(at: milliseconds) {
      let holders = RequestBlockAnalyzer(pool, self).owners()
      if sessionTimes.count > holders.count {
        let present = Set(holders.map(\.session))
        sessionTimes = sessionTimes.filter {
          present.contains($0.key) || milliseconds - min($0.value, milliseconds) < 10_000
        }
      }
      idle.look(holders, at: milliseconds)
      owners.add(holders, at: milliseconds)
    }
  }

  /// Bytes of its own, the history's included.
  package var memory: Int { following.memory + history.memory + owners.memory }
}

/// The runs of a pool: of its free blocks, and of the free and the cached ones.
package struct PoolRuns: Equatable {
  package struct Part: Equatable {
    package var free = RunCensus()
    package var available = RunCensus()
  }

  /// Of the whole pool; no run goes from one size class to another.
  package var free = RunCensus()
  package var available = RunCensus()
  /// By the index of the size class; one in a pool without.
  package var parts: [Part] = []

  init(_ mirror: BlockMirror) {
    for part in mirror.parts {
      let free = RunCensus(of: mirror.freeWords(part), members: part.free)
      let available =
        part.free == part.available
        ? free : RunCensus(of: mirror.availableWords(part), members: part.available)
      parts.append(Part(free: free, available: available))
      self.free.add(free)
      self.available.add(available)
    }
  }
}
