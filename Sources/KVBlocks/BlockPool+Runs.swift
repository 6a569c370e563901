/// Adjacent blocks, in any pool: where there are some, and taking them.
///
/// Nothing is kept for it where the strategy keeps nothing: the default pool is scanned when somebody
/// asks, O(blocks).
extension BlockPool {
  /// Whether nobody has the block and it holds nothing.
  @inline(__always)
  func isFree(_ id: BlockID) -> Bool {
    let record = records + Int(id)
    return record.pointee.refCount == 0 && record.pointee.pins == 0 && record.pointee.twin == 0
  }

  /// Another command begins.
  @inline(__always)
  func forgetSearches() {
    searched = 0
    knowsRuns = false
    split?.free.forgetSearches()
  }

  /// Adjacent blocks that an allocation of `count` takes: more where the strategy rounds up.
  @inline(__always)
  func rounded(_ count: UInt32) -> UInt32 {
    guard needsRuns, count > 0, let split else { return count }
    return split.free.rounded(count)
  }

  /// Where a run of `count` is to begin: at the first of `preferred` at which one may, or where the
  /// strategy says; 0 = nowhere as it is. O(`preferred` + blocks).
  func freeRun(
    of count: UInt32, preferred: UnsafeBufferPointer<BlockID> = .init(start: nil, count: 0)
  ) -> BlockID {
    if count > counters.free { return 0 }
    let id = preferredRun(of: count, preferred)
    if id != 0 { return id }
    if let split, let start = split.free.run(of: count, &searched) { return start }
    return run(of: count) { $0.refCount == 0 && $0.pins == 0 && $0.twin == 0 }
  }

  /// Whether a run of `count` is there or can be made by evicting. O(blocks) where it cannot be told
  /// from the free ones alone, and O(1) where that was told before.
  func hasRun(of count: UInt32) -> Bool {
    if let longest = longestKnownRun { return count <= longest }
    if freeRun(of: count) != 0 { return true }
    // A strategy that needs runs has nothing to evict.
    if needsRuns || counters.cached == 0 || count > available { return false }
    return run(of: count) { $0.refCount == 0 && $0.pins == 0 } != 0
  }

  /// The start of the lowest run of `count` blocks of the class at hand whose records are as `belongs` says; 0 = none.
  @inline(__always)
  private func run(of count: UInt32, _ belongs: (BlockRecord) -> Bool) -> BlockID {
    let ids = idsInClass
    var length: UInt32 = 0
    for id in ids {
      length = belongs(records[Int(id)]) ? length + 1 : 0
      if length == count {
        searched += UInt64(id - ids.lowerBound + 1)
        return id - count + 1
      }
    }
    searched += UInt64(ids.count)
    return 0
  }

  /// The same as `freeRun`, after evicting whom the policy names until there is one. There is one
  /// among the available blocks. O(`preferred` + blocks), beside what naming costs.
  func makeRun(
    of count: UInt32, preferred: UnsafeBufferPointer<BlockID>, _ cause: ChangeLog.Cause,
    for holder: Holder = .none
  ) -> BlockID {
    let start = freeRun(of: count, preferred: preferred)
    if start != 0 { return start }
    var runs = FreeRunEnds(self)
    searched += UInt64(capacity)
    if let split {
      while true {
        let run = runs.join(evictNext(split, cause, for: holder))
        if run.length >= count { return run.start }
      }
    }
    var id = records[0].next
    while id != 0 {
      searched += 1
      if records[Int(id)].twin != 0 {
        evict(id, cause, for: holder)
        let run = runs.join(id)
        if run.length >= count { return run.start }
      }
      id = records[Int(id)].next
    }
    preconditionFailure("evicted everything and there is no run")
  }

  // MARK: Where somebody would like one

  /// The first of `preferred` at which a free run of `count` may begin; 0 = none of them.
  ///
  /// Each is looked at by itself until that has taken as much as looking at every block once; then
  /// this is done.
  private func preferredRun(
    of count: UInt32, _ preferred: UnsafeBufferPointer<BlockID>
  ) -> BlockID {
    var looked: UInt64 = 0
    let ids = idsInClass
    defer { searched += looked }
    for (i, id) in preferred.enumerated() {
      if let split, let mayBegin = split.free.mayBegin(at: id, count) {
        if mayBegin { return id }
        continue
      }
      if !ids.contains(id) {
        looked += 1
        continue
      }
      if looked > UInt64(capacity) {
        looked += UInt64(capacity)
        return preferredRun(of: count, amongMany: preferred[i...], ids)
      }
      let length = freeLength(from: id, to: ids.upperBound, atMost: count)
      if length == count { return id }
      looked += UInt64(length) + 1
    }
    return 0
  }

  /// Adjacent free blocks from `id` on, counted up to `count`.
  private func freeLength(from id: BlockID, to last: BlockID, atMost count: UInt32) -> UInt32 {
    var length: UInt32 = 0
    while length < count && length <= last - id && isFree(id + length) { length += 1 }
    return length
  }

  private func preferredRun(
    of count: UInt32, amongMany preferred: Slice<UnsafeBufferPointer<BlockID>>,
    _ ids: ClosedRange<BlockID>
  ) -> BlockID {
    let lengths = UnsafeMutablePointer<UInt32>.allocate(capacity: Int(capacity) + 2)
    defer { lengths.deallocate() }
    lengths[Int(ids.upperBound) + 1] = 0
    for id in ids.reversed() {
      lengths[Int(id)] = isFree(id) ? lengths[Int(id) + 1] + 1 : 0
    }
    for id in preferred where ids.contains(id) && lengths[Int(id)] >= count { return id }
    return 0
  }

  /// Takes the adjacent free blocks from `start` on into `room`, each with one reference.
  func takeRun(
    _ start: BlockID, _ count: UInt32, for holder: Holder, generation: UInt32,
    into room: UnsafeMutablePointer<BlockID>
  ) {
    if let split {
      return takeRun(split, start, count, for: holder, generation: generation, into: room)
    }
    for i in 0..<count {
      take(one: start + i, for: holder, generation: generation)
      room[Int(i)] = start + i
    }
    countTaken(count)
    if logsReferences { log.note(.handedOut, by: holder, room, Int(count), of: self) }
  }

  /// As `take`, those of `ids` first that are free and hold nothing.
  func take(
    _ count: UInt32, preferring ids: UnsafeBufferPointer<BlockID>, for holder: Holder,
    generation: UInt32, into room: UnsafeMutablePointer<BlockID>
  ) {
    var taken: UInt32 = 0
    let own = parts.isEmpty ? 1...capacity : idsInClass
    for id in ids where taken < count && isFree(id) && own.contains(id) {
      take(one: id, for: holder, generation: generation)
      room[Int(taken)] = id
      taken += 1
    }
    countTaken(taken)
    if logsReferences { log.note(.handedOut, by: holder, room, Int(taken), of: self) }
    take(count - taken, for: holder, generation: generation, into: room + Int(taken))
  }

  /// The caller counts it.
  private func take(one id: BlockID, for holder: Holder, generation: UInt32) {
    save(id)
    if let split { split.free.remove(id) } else { unlink(id) }
    countPart(id, free: -1)
    handOut(id, to: holder, generation)
  }

  /// Blocks of the longest run of free blocks, or of free and cached ones. O(runs + blocks / 64) where
  /// the strategy has a bit for each, else O(blocks).
  func longestRun(withCached: Bool) -> UInt32 {
    var counter = RunCounter()
    countRuns(withCached: withCached, &counter)
    return counter.largest.first ?? 0
  }

  /// Of free and cached blocks, the longest run that the strategy would place.
  func findLongestPlaceableRun() -> UInt32 {
    if let longest = longestKnownRun { return longest }
    let longest = split?.free.longestRun ?? longestRun(withCached: true)
    knowsRuns = true
    knownRuns = KnownRuns(
      counters: counters, pending: pendingCount, first: idsInClass.lowerBound, longest: longest)
    return longest
  }

  /// The longest run that the strategy would place, where it was looked for and nothing has come or
  /// gone since: each of that moves one of the counters within a command.
  private var longestKnownRun: UInt32? {
    let isAsThen =
      knowsRuns && knownRuns.counters == counters && knownRuns.pending == pendingCount
      && knownRuns.first == idsInClass.lowerBound
    return isAsThen ? knownRuns.longest : nil
  }

  /// Every maximal run of free blocks, or of free and cached ones; of the size class at hand.
  func countRuns(withCached: Bool, _ counter: inout RunCounter) {
    let isFreeAll = counters.cached == 0 && pendingCount == 0
    if !withCached || isFreeAll, let split, split.free.countRuns(&counter) {
      searched += UInt64(counter.runs) + UInt64(capacity) / 64
      return
    }
    let ids = idsInClass
    searched += UInt64(ids.count)
    for id in ids {
      let record = records[Int(id)]
      let isAvailable = record.refCount == 0 && record.pins == 0
      counter.step(
        isAvailable && (withCached || record.twin == 0 && record.holder != .pending))
    }
    counter.end()
  }
}

/// What a search for runs found, as long as the blocks are as they were then.
struct KnownRuns: BitwiseCopyable {
  var counters = BlockCounters(free: 0)
  var pending: UInt32 = 0
  /// Of the size class that begins here.
  var first: BlockID = 0
  var longest: UInt32 = 0
}

/// The lengths of the free runs of a pool, or of a size class, at both their ends, while blocks are evicted to make a longer
/// one: what joins two runs needs to know no more of them. O(blocks) to make, 4 bytes a block.
private struct FreeRunEnds: ~Copyable {
  /// By block; 0 where it is not free. Nobody asks for those within a run.
  private let lengths: UnsafeMutablePointer<UInt32>

  init(_ blocks: BlockPool) {
    let capacity = Int(blocks.capacity)
    lengths = .allocate(capacity: capacity + 2)
    lengths.initialize(repeating: 0, count: capacity + 2)
    let ids = blocks.idsInClass
    var length: UInt32 = 0
    for id in ids {
      if blocks.isFree(id) {
        length += 1
      } else {
        end(length, at: Int(id) - 1)
        length = 0
      }
    }
    end(length, at: Int(ids.upperBound))
  }

  deinit { lengths.deallocate() }

  private func end(_ length: UInt32, at last: Int) {
    if length == 0 { return }
    lengths[last] = length
    lengths[last - Int(length) + 1] = length
  }

  /// A block has become free. Returns the run that it is in now. O(1).
  mutating func join(_ id: BlockID) -> (start: BlockID, length: UInt32) {
    let before = lengths[Int(id) - 1]
    let length = before + 1 + lengths[Int(id) + 1]
    let start = id - before
    end(length, at: Int(start + length) - 1)
    return (start, length)
  }
}

/// Counts maximal runs and keeps the ten largest, descending.
struct RunCounter {
  var runs: UInt32 = 0
  var largest: [UInt32] = []
  private var length: UInt32 = 0

  mutating func step(_ isInRun: Bool) {
    if isInRun { length += 1 } else if length > 0 { end() }
  }

  mutating func end() {
    if length > 0 { add(length) }
    length = 0
  }

  /// What another one counted.
  mutating func add(_ other: RunCounter) {
    for length in other.largest { add(length) }
    runs += other.runs - UInt32(other.largest.count)
  }

  mutating func add(_ length: UInt32) {
    runs += 1
    if let last = largest.last, largest.count == 10, last >= length { return }
    let place = largest.firstIndex { $0 < length } ?? largest.count
    largest.insert(length, at: place)
    if largest.count > 10 { largest.removeLast() }
  }
}
