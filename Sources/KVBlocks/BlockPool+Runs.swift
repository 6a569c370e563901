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

  /// Adjacent blocks that an allocation of `count` takes: more where the strategy rounds up.
  @inline(__always)
  func rounded(_ count: UInt32) -> UInt32 {
    guard needsRuns, count > 0, let split else { return count }
    return split.free.rounded(count)
  }

  /// Where a run of `count` is to begin: at the first of `preferred` at which one may, or where the
  /// strategy says; 0 = nowhere as it is.
  func freeRun(
    of count: UInt32, preferred: UnsafeBufferPointer<BlockID> = .init(start: nil, count: 0)
  ) -> BlockID {
    for id in preferred where isFreeRun(id, count) { return id }
    if count > counters.free { return 0 }
    if let split { return split.free.run(of: count) }
    return records.run(of: count, in: 1...capacity) {
      $0.refCount == 0 && $0.pins == 0 && $0.twin == 0
    }
  }

  private func isFreeRun(_ start: BlockID, _ count: UInt32) -> Bool {
    if let split { return split.free.isRun(start, count) }
    if count > capacity - start + 1 { return false }
    for id in start..<start + count where !isFree(id) { return false }
    return true
  }

  /// Whether a run of `count` is there or can be made by evicting. O(blocks) where it cannot be told
  /// from the free ones alone.
  func hasRun(of count: UInt32) -> Bool {
    if freeRun(of: count) != 0 { return true }
    // A strategy that needs runs has nothing to evict.
    if needsRuns || counters.cached == 0 || count > available { return false }
    return records.run(of: count, in: idsInClass) { $0.refCount == 0 && $0.pins == 0 } != 0
  }

  /// The same as `freeRun`, after evicting whom the policy names until there is one. There is one
  /// among the available blocks.
  func makeRun(of count: UInt32, preferred: UnsafeBufferPointer<BlockID>) -> BlockID {
    let start = freeRun(of: count, preferred: preferred)
    if start != 0 { return start }
    if let split {
      while true {
        let id = evictNext(split)
        if split.free.isInRun(id, of: count) { return split.free.run(of: count) }
      }
    }
    var id = records[0].next
    while id != 0 {
      if records[Int(id)].twin != 0 {
        evict(id)
        if records.isInRun(id, of: count, in: 1...capacity) { return freeRun(of: count) }
      }
      id = records[Int(id)].next
    }
    preconditionFailure("evicted everything and there is no run")
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
    take(count - taken, for: holder, generation: generation, into: room + Int(taken))
  }

  /// The caller counts it.
  private func take(one id: BlockID, for holder: Holder, generation: UInt32) {
    save(id)
    if let split { split.free.remove(id) } else { unlink(id) }
    countPart(id, free: -1)
    handOut(id, to: holder, generation)
  }

  /// Blocks of the longest run of free blocks, or of free and cached ones. O(blocks / 64) where the
  /// strategy has a bit for each, else O(blocks).
  func longestRun(withCached: Bool) -> UInt32 {
    var counter = RunCounter()
    countRuns(withCached: withCached, &counter)
    return counter.largest.first ?? 0
  }

  /// Of free and cached blocks, the longest run that the strategy would place.
  var longestPlaceableRun: UInt32 { split?.free.longestRun ?? longestRun(withCached: true) }

  /// Every maximal run of free blocks, or of free and cached ones; of the size class at hand.
  func countRuns(withCached: Bool, _ counter: inout RunCounter) {
    let isFreeAll = counters.cached == 0 && pendingCount == 0
    if !withCached || isFreeAll, let split, split.free.countRuns(&counter) { return }
    for id in parts.isEmpty ? 1...capacity : idsInClass {
      let record = records[Int(id)]
      let isAvailable = record.refCount == 0 && record.pins == 0
      counter.step(
        isAvailable && (withCached || record.twin == 0 && record.holder != .pending))
    }
    counter.end()
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
