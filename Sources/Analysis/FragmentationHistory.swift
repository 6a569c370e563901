package import KVBlocks

/// What a sample keeps of a pool.
package struct HistorySample: Equatable {
  /// Milliseconds since the epoch, of the last look that is in it.
  package var timeMilliseconds: UInt64
  /// The counters as they were then: those that only grow are sums since the pool was made or reset.
  package var stats: PoolStats
  package var freeRuns: UInt32
  package var largestFreeRun: UInt32
  package var availableRuns: UInt32
  package var largestAvailableRun: UInt32
  package var sequenceSlotsHeld: UInt64
  package var sequenceSlotsUsed: UInt64
  package var rawBlocks: UInt32
  /// Sequences admitted for the first time, and their tokens, since the pool was made, loaded or reset.
  package var admitted: UInt64
  package var promptTokens: UInt64
  /// Another one from when on the counters began anew: the pool was reset, or another took its place.
  package var life: UInt32
  /// Looks that are folded into this one, and the most that any of them saw.
  package var looks: UInt32 = 1
  package var peaks: Peaks

  /// Of measures that go up and down: what a fold must not lose.
  package struct Peaks: Equatable {
    /// Blocks that are not available, and blocks promised.
    package var usedBlocks: UInt32
    package var reservedBlocks: UInt32
    package var cachedBlocks: UInt32
    package var runningSequences: UInt32
    package var waitingSequences: UInt32
    package var preemptedSequences: UInt32
    package var pendingCopies: UInt32
    package var unusedSlots: UInt64
    package var externalFragmentation: Double
    package var internalFragmentation: Double

    mutating func add(_ other: Peaks) {
      usedBlocks = max(usedBlocks, other.usedBlocks)
      reservedBlocks = max(reservedBlocks, other.reservedBlocks)
      cachedBlocks = max(cachedBlocks, other.cachedBlocks)
      runningSequences = max(runningSequences, other.runningSequences)
      waitingSequences = max(waitingSequences, other.waitingSequences)
      preemptedSequences = max(preemptedSequences, other.preemptedSequences)
      pendingCopies = max(pendingCopies, other.pendingCopies)
      unusedSlots = max(unusedSlots, other.unusedSlots)
      externalFragmentation = max(externalFragmentation, other.externalFragmentation)
      internalFragmentation = max(internalFragmentation, other.internalFragmentation)
    }
  }

  init(_ pool: KVPool, _ tracker: FragmentationTracker, at milliseconds: UInt64) {
    let runs = tracker.runs(of: pool)
    var slots = PoolLayout()
    tracker.addSlots(pool, pool.unusedSlots(), to: &slots)
    timeMilliseconds = milliseconds
    stats = pool.stats()
    freeRuns = UInt32(runs.free.count)
    largestFreeRun = UInt32(runs.free.largest)
    availableRuns = UInt32(runs.available.count)
    largestAvailableRun = UInt32(runs.available.largest)
    sequenceSlotsHeld = slots.sequenceSlotsHeld
    sequenceSlotsUsed = slots.sequenceSlotsUsed
    rawBlocks = slots.rawBlocks
    admitted = pool.tally.admitted
    promptTokens = pool.tally.promptTokens
    life = tracker.lives
    peaks = Peaks(
      usedBlocks: stats.blocks - stats.free - stats.cached - stats.lazyPending,
      reservedBlocks: stats.reserved, cachedBlocks: stats.cached,
      runningSequences: stats.runningSequences, waitingSequences: stats.waitingSequences,
      preemptedSequences: stats.preemptedSequences, pendingCopies: stats.pendingCopies,
      unusedSlots: slots.sequenceSlotsHeld - slots.sequenceSlotsUsed,
      externalFragmentation: runs.free.fragmentation,
      internalFragmentation: HeldSlots(
        used: slots.sequenceSlotsUsed, held: slots.sequenceSlotsHeld
      ).internalFragmentation)
  }

  /// Blocks that an allocation can take.
  package var availableBlocks: UInt32 { stats.free + stats.cached + stats.lazyPending }

  /// 1 - largest free run / free blocks; 0 when nothing is free.
  package var externalFragmentation: Double {
    stats.free == 0 ? 0 : 1 - Double(largestFreeRun) / Double(stats.free)
  }

  /// The same of free and cached blocks together.
  package var availableFragmentation: Double {
    availableBlocks == 0 ? 0 : 1 - Double(largestAvailableRun) / Double(availableBlocks)
  }

  /// 1 - slots used / slots held; 0 when nothing is held.
  package var internalFragmentation: Double {
    HeldSlots(used: sequenceSlotsUsed, held: sequenceSlotsHeld).internalFragmentation
  }

  /// A later look goes into the same sample: its values stand, the peaks are those of both.
  mutating func fold(_ later: HistorySample) {
    let before = self
    self = later
    looks = before.looks &+ later.looks
    peaks.add(before.peaks)
  }
}

/// What a pool was like, in three rings of fixed size: a sample for each second of the last ten minutes,
/// for each ten seconds of the last two hours, for each minute of the last day.
///
/// Every look goes into all three; looks within the same second, ten seconds or minute are one sample,
/// which has the values of the last of them (so a counter's differences are sums over the time between),
/// and the highest of each measure that goes up and down.
package struct FragmentationHistory {
  private var rings = [
    HistoryRing(width: 1_000, capacity: 600), HistoryRing(width: 10_000, capacity: 720),
    HistoryRing(width: 60_000, capacity: 1_440),
  ]

  package init() {}

  /// Times do not go back.
  package mutating func add(_ sample: HistorySample) {
    var sample = sample
    // What seldom changes is kept once.
    if let last = rings[0].last {
      if last.stats.refusals == sample.stats.refusals {
        sample.stats.refusals = last.stats.refusals
      }
      if last.stats.evictionsByPolicy == sample.stats.evictionsByPolicy {
        sample.stats.evictionsByPolicy = last.stats.evictionsByPolicy
      }
    }
    for i in rings.indices { rings[i].add(sample) }
  }

  package var last: HistorySample? { rings[0].last }
  package var isEmpty: Bool { rings[0].last == nil }

  /// The samples from `since` on, oldest first, of each time the finest that are kept.
  package func samples(since: UInt64 = 0) -> [HistorySample] {
    var list = rings[0].samples
    for ring in rings.dropFirst() {
      // A coarse sample ends where its last look was; what a finer ring begins with is not in it.
      let finer = list.first?.timeMilliseconds ?? .max
      list = ring.samples.prefix { $0.timeMilliseconds < finer } + list
    }
    return list.filter { $0.timeMilliseconds >= since }
  }

  /// The same, `most` at most: neighbours are folded, so that peaks are kept, by twos, threes ...
  package func samples(since: UInt64 = 0, most: Int) -> [HistorySample] {
    Self.thinned(samples(since: since), most: most)
  }

  /// Neighbours are folded, so that `most` are left at most.
  static func thinned(_ all: [HistorySample], most: Int) -> [HistorySample] {
    precondition(most > 0, "asked for no samples")
    if all.count <= most { return all }
    let step = (all.count + most - 1) / most
    // The last fold ends with the last sample.
    var begin = all.count % step
    var thinned: [HistorySample] = begin == 0 ? [] : [Self.fold(all[..<begin])]
    while begin < all.count {
      thinned.append(Self.fold(all[begin..<begin + step]))
      begin += step
    }
    return thinned
  }

  private static func fold(_ samples: ArraySlice<HistorySample>) -> HistorySample {
    var folded = samples[samples.startIndex]
    for sample in samples.dropFirst() { folded.fold(sample) }
    return folded
  }

  /// The time of the first look that saw the revision or a later one; nil where none did, or where it is
  /// so long ago that nobody knows. To the second at first, then to ten, then to the minute.
  package func time(of revision: Revision) -> UInt64? {
    // As in `samples`, of each time the finest; but a list of thousands is not made for each question.
    var finer: UInt64?
    for ring in rings {
      let count = ring.place { $0.timeMilliseconds < finer ?? .max }
      if count == 0 { continue }
      if ring[0].stats.revision < revision {
        let place = ring.place { $0.stats.revision < revision }
        return place < count ? ring[place].timeMilliseconds : finer
      }
      finer = ring[0].timeMilliseconds
    }
    return nil
  }

  package var memory: Int { rings.reduce(0) { $0 + $1.memory } }
}

/// The last so many samples, each of its own stretch of time.
struct HistoryRing {
  /// Milliseconds of a stretch.
  let width: UInt64
  let capacity: Int
  /// From `next` on the oldest ones, once it is full.
  private var kept: [HistorySample] = []
  private var next = 0

  init(width: UInt64, capacity: Int) {
    self.width = width
    self.capacity = capacity
  }

  var last: HistorySample? {
    kept.isEmpty ? nil : kept[next == 0 ? kept.count - 1 : next - 1]
  }

  mutating func add(_ sample: HistorySample) {
    if let last, sample.timeMilliseconds / width <= last.timeMilliseconds / width {
      kept[next == 0 ? kept.count - 1 : next - 1].fold(sample)
    } else if kept.count < capacity {
      kept.append(sample)
    } else {
      kept[next] = sample
      next = next + 1 == capacity ? 0 : next + 1
    }
  }

  var samples: [HistorySample] { Array(kept[next...]) + kept[..<next] }

  /// The oldest is at 0.
  subscript(place: Int) -> HistorySample {
    kept[next + place < kept.count ? next + place : next + place - kept.count]
  }

  /// Of how many, from the oldest on, something holds that holds of none behind them. O(log n).
  func place(_ holds: (borrowing HistorySample) -> Bool) -> Int {
    var low = 0
    var high = kept.count
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  var memory: Int { kept.capacity * MemoryLayout<HistorySample>.stride }
}
