import KVBlocks

/// Where blocks are placed, once more: the free blocks as a list of ids, looked through from the
/// beginning.
///
/// The queue of a pool with a strategy has the free blocks that hold nothing by their ids, then the
/// cached ones in the order of their eviction.
extension Model {
  /// A run that was rounded up: who was asked for and is still held, and the rest that nobody has.
  struct RoundedRun {
    var asked: [BlockID]
    var rest: [BlockID]
    /// Where it lies, as it was taken.
    var place: ClosedRange<Int>
  }

  var needsRuns: Bool {
    [.buddy, .contiguousMax, .contiguousPowerOfTwo, .contiguousExact].contains(strategy)
  }

  private var fresh: [BlockID] { line.filter { content($0) == nil } }

  mutating func arrange() {
    if strategy == .freeQueue { return }
    state.queue = fresh.sorted() + state.queue.filter { content($0) != nil }
  }

  private func isFresh(_ id: Int) -> Bool {
    id >= 1 && id <= blocks && line.contains(BlockID(id)) && content(BlockID(id)) == nil
  }

  /// Maximal runs of adjacent ids, lowest first.
  func runs(of ids: [BlockID]) -> [[BlockID]] {
    var list: [[BlockID]] = []
    for id in ids.sorted() {
      if let last = list.last?.last, last + 1 == id {
        list[list.count - 1].append(id)
      } else {
        list.append([id])
      }
    }
    return list
  }

  /// Blocks that leave with an allocation of so many.
  func whole(_ count: Int) -> Int {
    if strategy != .buddy || count == 0 { return count }
    var size = 1
    while size < count { size *= 2 }
    return size
  }

  /// The same of a number that may be past anything.
  func wholeOrMore(_ count: Int) -> Int {
    if count <= 1 << 31 || strategy != .buddy { return whole(count) }
    return Int(UInt32.max)
  }

  // MARK: Reserving

  var reserves: Bool { needsRuns && strategy != .buddy }

  /// Blocks that a sequence is admitted into at least.
  func reservation(_ sequence: Sequence) -> Int {
    let known = max(sequence.tokens, sequence.expected)
    switch strategy {
    case .contiguousMax: return blocksFor(most)
    case .contiguousExact: return blocksFor(min(known, most))
    case .contiguousPowerOfTwo:
      var power = 1
      while power < known { power *= 2 }
      return blocksFor(min(power, most))
    default: return 0
    }
  }

  func checkGrowth(_ sequence: Sequence, _ new: Int, _ id: SequenceID) throws(Refusal) {
    if new == 0 { return }
    if reserves {
      throw Refusal(
        .quota, field: .reservation, needed: UInt32(sequence.table.count + new),
        available: UInt32(available), limit: UInt64(sequence.table.count), sequence: id)
    }
    if wholeOrMore(new) > blocks {
      throw Refusal(
        .never, needed: UInt32(wholeOrMore(new)), available: UInt32(available),
        reserved: UInt32(promised), sequence: id)
    }
  }

  // MARK: Choosing

  /// The blocks that an allocation gets, in order.
  func chosen(_ count: Int) -> [BlockID] {
    if strategy == .freeQueue { return Array(line.prefix(count)) }
    if needsRuns {
      guard count > 0, let start = runStart(count) else { return [] }
      return (0..<count).map { BlockID(start + $0) }
    }
    let wanted = min(count, fresh.count)
    var picked = Array(fresh.sorted().prefix(wanted))
    if strategy == .bestFit && wanted > 0 {
      let fitting = runs(of: fresh).filter { $0.count >= wanted }
      let smallest = fitting.map(\.count).min()
      if let run = fitting.first(where: { $0.count == smallest }) {
        picked = Array(run.prefix(wanted))
      }
    }
    let cached = state.queue.filter { content($0) != nil }
    return picked + cached.prefix(count - wanted)
  }

  /// Where the strategy begins a run; nil = there is none.
  func runStart(_ count: Int) -> Int? {
    if strategy == .buddy { return buddyStart(count) }
    let fitting = runs(of: fresh).filter { $0.count >= count }
    let smallest = strategy == .bestFit ? fitting.map(\.count).min() : nil
    let run = fitting.first { smallest == nil || $0.count == smallest }
    return run.map { Int($0[0]) }
  }

  /// Of the aligned free runs that are not half of a larger one, the smallest that fits, the lowest.
  private func buddyStart(_ count: Int) -> Int? {
    var size = whole(count)
    while size <= blocks {
      for first in stride(from: 1, through: blocks - size + 1, by: size) {
        let double = (first - 1) / (2 * size) * 2 * size + 1
        let isHalf = double + 2 * size - 1 <= blocks && isAllFresh(double, 2 * size)
        if isAllFresh(first, size) && !isHalf { return first }
      }
      size *= 2
    }
    return nil
  }

  private func isAllFresh(_ first: Int, _ count: Int) -> Bool {
    (first..<first + count).allSatisfy { isFresh($0) }
  }

  private func mayBegin(_ first: Int, _ count: Int) -> Bool {
    if strategy == .buddy && (first - 1) % whole(count) != 0 { return false }
    return isAllFresh(first, whole(count))
  }

  private func hasRun(_ count: Int) -> Bool {
    if runStart(count) != nil { return true }
    return !needsRuns && runs(of: line).contains { $0.count >= count }
  }

  /// Whether there was a run if nobody of the session ran but this sequence.
  func hasRun(_ count: Int, without asking: Key) -> Bool {
    var others = self
    for key in state.running where key.session == session && key != asking { others.preempt(key) }
    return whole(count) + promised <= others.available && others.hasRun(count)
  }

  func checkRun(
    _ count: Int, _ reserved: Int, _ watermark: Int = 0, _ id: SequenceID = 0
  ) throws(Refusal) {
    if hasRun(count) { return }
    var longest = runs(of: line).map(\.count).max() ?? 0
    if strategy == .buddy {
      longest = 0
      for size in [1, 2, 4, 8, 16, 32, 64, 128, 256] where runStart(size) != nil { longest = size }
    }
    throw Refusal(
      .noRun, needed: UInt32(whole(count)), available: UInt32(available),
      evictable: UInt32(line.count { content($0) != nil }), reserved: UInt32(reserved),
      watermark: UInt32(watermark), limit: UInt64(longest), sequence: id)
  }

  // MARK: Taking and giving back

  /// Hands these out, and what the strategy takes with them.
  mutating func handOut(_ taken: [BlockID]) {
    var rest: [BlockID] = []
    if strategy == .buddy, let first = taken.first, whole(taken.count) > taken.count {
      rest = (taken.count..<whole(taken.count)).map { first + BlockID($0) }
      let place = Int(first)...Int(first) + whole(taken.count) - 1
      state.rounded.append(RoundedRun(asked: taken, rest: rest, place: place))
    }
    noteDirty(taken)
    for block in taken + rest {
      if content(block) != nil { evicted(block) }
      state.queue.removeAll { $0 == block }
      if forget(block) { state.evictions += 1 }
      state.references[Int(block)] = 1
      state.generation[Int(block)] = UInt32(truncatingIfNeeded: revision + 1)
    }
    state.handedOut += taken.count + rest.count
    state.mostUsed = max(state.mostUsed, blocks - availableInAll)
    if !taken.isEmpty { changed = true }
  }

  /// These are no longer held. Returns what comes back with the last blocks of rounded runs.
  mutating func leaveRuns(_ free: [BlockID]) -> [BlockID] {
    var back: [BlockID] = []
    for block in free {
      for i in state.rounded.indices { state.rounded[i].asked.removeAll { $0 == block } }
    }
    for run in state.rounded where run.asked.isEmpty { back += run.rest }
    state.rounded.removeAll { $0.asked.isEmpty }
    for block in back { state.references[Int(block)] = 0 }
    return back
  }

  mutating func place(
    _ count: Int, _ isContiguous: Bool, _ preferred: [BlockID], _ result: inout Seen.Result
  ) throws(Refusal) {
    if count == 0 { throw Refusal(.invalid, field: .count, limit: 1) }
    for id in preferred where !(1...blocks).contains(Int(id)) {
      throw Refusal(
        .invalid, field: .preferredBlockIDs, limit: UInt64(blocks), subject: UInt64(id))
    }
    let takes = count > capacity ? 1 << 40 : whole(count)
    if takes > available - promised {
      let needed = count > 1 << 31 && strategy == .buddy ? Int(UInt32.max) : whole(count)
      throw Refusal(
        takes > capacity ? .never : .later, needed: UInt32(needed), available: UInt32(available),
        reserved: UInt32(promised))
    }
    if flushPending() > 0 { changed = true }
    if isContiguous || needsRuns {
      try checkRun(count, promised)
      var start = preferred.first { mayBegin(Int($0), count) }.map { Int($0) } ?? runStart(count)
      while start == nil, let victim = line.first(where: { content($0) != nil }) {
        evicted(victim)
        _ = forget(victim)
        state.evictions += 1
        start = runStart(count)
      }
      result.newBlocks = (0..<count).map { BlockID((start ?? 0) + $0) }
      handOut(result.newBlocks)
    } else {
      for id in preferred where isFresh(Int(id)) && result.newBlocks.count < count {
        handOut([id])
        result.newBlocks.append(id)
      }
      let others = chosen(count - result.newBlocks.count)
      handOut(others)
      result.newBlocks += others
    }
    for block in result.newBlocks { state.raw[session, default: [:]][block] = 1 }
  }
}
