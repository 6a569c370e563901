/// The free blocks of a pool in split mode, those without content, and which of them an allocation
/// gets: the one interface of the allocation strategies.
///
/// Whatever a strategy keeps is a function of the set of its members (the queue's order lies in the
/// records), so that undoing a command is to put every block that it touched back into, or out of,
/// the set. Subclasses override all that does not say otherwise. Who calls `insert` and `remove` has
/// saved the block's record.
class FreeBlocks {
  let capacity: UInt32
  let records: UnsafeMutablePointer<BlockRecord>
  let undo: UndoLog
  /// Every allocation is one run.
  let needsRuns: Bool

  init(
    needsRuns: Bool = false, capacity: UInt32, records: UnsafeMutablePointer<BlockRecord>,
    undo: UndoLog
  ) {
    self.needsRuns = needsRuns
    self.capacity = capacity
    self.records = records
    self.undo = undo
  }

  /// A block joins. `last` is the one before it of those given back together, 0 = it is the first.
  func insert(_ id: BlockID, after last: BlockID) {
    preconditionFailure("a strategy without insert")
  }

  /// This block leaves.
  func remove(_ id: BlockID) { preconditionFailure("a strategy without remove") }

  /// These adjacent blocks leave. To be overridden where there is a shorter way.
  func removeRun(_ start: BlockID, _ count: UInt32) {
    for id in start..<start + count { remove(id) }
  }

  /// Names the `count` members that an allocation is to get, in order; there are that many. Changes
  /// nothing, and adds to `searched` what it passed looking for a run. Not asked of a strategy that needs
  /// runs.
  func choose(
    _ count: UInt32, into room: UnsafeMutablePointer<BlockID>, _ searched: inout UInt64
  ) {
    preconditionFailure("a strategy without choose")
  }

  /// Adjacent blocks that an allocation of `count` takes out. To be overridden where they are more.
  func rounded(_ count: UInt32) -> UInt32 { count }

  /// Where this strategy puts a run of `count`; 0 = there is none, nil = at the lowest that the records
  /// show. Changes nothing. Adds to `searched` what it passed.
  func run(of count: UInt32, _ searched: inout UInt64) -> BlockID? { nil }

  /// Whether a run of `count` may begin at `start`, 1 ... `capacity`; nil = where there is one.
  func mayBegin(at start: BlockID, _ count: UInt32) -> Bool? { nil }

  /// Every maximal run of members. To be overridden where there is a shorter way than to look at each
  /// record; false = there is none, and nothing was counted.
  func countRuns(_ counter: inout RunCounter) -> Bool { false }

  /// The longest run that this strategy places, where that is not just any; nil = any.
  var longestRun: UInt32? { nil }

  /// Another command begins. What a search found may be kept within one, and no longer: what a search
  /// costs is counted, and must not depend on what was asked before.
  func forgetSearches() {}

  /// All blocks join, in the order of their ids.
  func insertAll() { preconditionFailure("a strategy without blocks") }

  /// A rollback has put the block's record back. To be overridden by what does not lie in the records.
  func restored(_ id: BlockID) {}

  /// The members: a queue in its order, others by ascending id. O(blocks).
  func list() -> [BlockID] { preconditionFailure("a strategy without blocks") }

  /// What is wrong with it; nil when nothing is. For tests; O(blocks).
  func check() -> String? { nil }

  /// Bytes beside the records.
  var memory: Int { 0 }

  /// Whether a block is free and without content, by its record.
  @inline(__always)
  final func isFree(_ id: BlockID) -> Bool {
    let record = records + Int(id)
    return record.pointee.refCount == 0 && record.pointee.pins == 0 && record.pointee.twin == 0
      && record.pointee.holder == .none
  }
}

/// vLLM's order without its cached blocks: given back to the front, taken from the front. The links
/// lie in the records; one record is the sentinel: 0, or one behind the blocks for the queue of a size
/// class. O(1) a block; runs are looked for in the records, O(blocks).
final class FreeQueue: FreeBlocks {
  private let sentinel: BlockID

  init(
    sentinel: BlockID = 0, capacity: UInt32, records: UnsafeMutablePointer<BlockRecord>,
    undo: UndoLog
  ) {
    self.sentinel = sentinel
    super.init(capacity: capacity, records: records, undo: undo)
  }

  /// The end of the queue; 0 = it is empty.
  var last: BlockID {
    let last = records[Int(sentinel)].previous
    return last == sentinel ? 0 : last
  }

  func removeAll() {
    records[Int(sentinel)].previous = sentinel
    records[Int(sentinel)].next = sentinel
  }

  override func insert(_ id: BlockID, after last: BlockID) {
    let before = last == 0 ? sentinel : last
    let next = records[Int(before)].next
    save(before)
    save(next)
    records[Int(id)].previous = before
    records[Int(id)].next = next
    records[Int(before)].next = id
    records[Int(next)].previous = id
  }

  override func remove(_ id: BlockID) {
    let record = records[Int(id)]
    save(record.previous)
    save(record.next)
    records[Int(record.previous)].next = record.next
    records[Int(record.next)].previous = record.previous
    records[Int(id)].previous = 0
    records[Int(id)].next = 0
  }

  private func save(_ id: BlockID) { undo.note(id, records) }

  override func choose(
    _ count: UInt32, into room: UnsafeMutablePointer<BlockID>, _ searched: inout UInt64
  ) {
    var id = records[Int(sentinel)].next
    for i in 0..<Int(count) {
      room[i] = id
      id = records[Int(id)].next
    }
  }

  override func insertAll() {
    precondition(sentinel == 0, "all blocks are in the queue of the pool")
    for id in 0...capacity {
      records[Int(id)].previous = id == 0 ? capacity : id - 1
      records[Int(id)].next = id == capacity ? 0 : id + 1
    }
  }

  override func list() -> [BlockID] {
    var ids: [BlockID] = []
    var id = records[Int(sentinel)].next
    while id != sentinel && ids.count <= Int(capacity) {
      ids.append(id)
      id = records[Int(id)].next
    }
    return ids
  }

  override func check() -> String? {
    var previous = sentinel
    for id in list() {
      if records[Int(id)].previous != previous { return "block \(id) has a wrong back link" }
      previous = id
    }
    return records[Int(sentinel)].previous == previous
      ? nil : "the queue's tail is not its last block"
  }
}

/// The lowest ids, or the smallest run that fits. A bit for each member.
///
/// O(1) for a block that comes or goes and for the next lowest id; a run is looked for from run to run,
/// a word at a time: O(runs + blocks / 64).
final class FreeRuns: FreeBlocks {
  private let members: Bitmap
  private let picksSmallest: Bool
  /// What the last search for the smallest run found, until a member joins, one leaves that is not its
  /// first, or the command ends. So those who take one after the other in one command search once for
  /// each length that there is.
  private var smallest: Smallest?

  /// A run that begins at `place` and has `left` members by now. Of the others none is shorter than
  /// `length`, which it had, and none of that length begins before it.
  private struct Smallest: BitwiseCopyable {
    var length: Int
    var place: Int
    var left: Int
  }

  init(
    picksSmallest: Bool, needsRuns: Bool = false, capacity: UInt32,
    records: UnsafeMutablePointer<BlockRecord>,
    undo: UndoLog
  ) {
    self.picksSmallest = picksSmallest
    members = Bitmap(count: Int(capacity))
    super.init(needsRuns: needsRuns, capacity: capacity, records: records, undo: undo)
  }

  deinit { members.deallocate() }

  override func insert(_ id: BlockID, after last: BlockID) {
    members.insert(Int(id) - 1)
    smallest = nil
  }

  override func remove(_ id: BlockID) {
    let place = Int(id) - 1
    members.remove(place)
    guard let known = smallest else { return }
    if known.place == place && known.left > 0 {
      smallest?.place += 1
      smallest?.left -= 1
    } else {
      smallest = nil
    }
  }

  override func choose(
    _ count: UInt32, into room: UnsafeMutablePointer<BlockID>, _ searched: inout UInt64
  ) {
    var next = 0
    if picksSmallest {
      next =
        count == 1
        ? placeOfSmallest(&searched) : members.smallestRun(of: Int(count), &searched) ?? 0
    }
    for i in 0..<Int(count) {
      guard let found = members.first(from: next) else {
        preconditionFailure("chose more blocks than there are")
      }
      room[i] = BlockID(found + 1)
      next = found + 1
    }
  }

  /// Where the smallest run begins, the lowest on a tie; there is one.
  private func placeOfSmallest(_ searched: inout UInt64) -> Int {
    if let known = smallest {
      if known.left > 0 { return known.place }
      if let place = members.lowestRun(ofJust: known.length, from: known.place, &searched) {
        smallest = Smallest(length: known.length, place: place, left: known.length)
        return place
      }
    }
    guard let place = members.smallestRun(of: 1, &searched) else {
      preconditionFailure("chose a block where there is none")
    }
    let length = members.firstGap(from: place) - place
    smallest = Smallest(length: length, place: place, left: length)
    return place
  }

  override func run(of count: UInt32, _ searched: inout UInt64) -> BlockID? {
    let start =
      picksSmallest
      ? members.smallestRun(of: Int(count), &searched)
      : members.lowestRun(of: Int(count), &searched)
    return start.map { BlockID($0 + 1) } ?? 0
  }

  override func countRuns(_ counter: inout RunCounter) -> Bool {
    var place = 0
    while let run = members.run(from: place) {
      counter.add(UInt32(run.count))
      place = run.upperBound
    }
    return true
  }

  override func forgetSearches() { smallest = nil }

  override func insertAll() {
    members.removeAll()
    members.insertAll()
    smallest = nil
  }

  override func restored(_ id: BlockID) {
    if isFree(id) { members.insert(Int(id) - 1) } else { members.remove(Int(id) - 1) }
    smallest = nil
  }

  override func list() -> [BlockID] { members.list() }
  override var memory: Int { members.memory }
}

extension Bitmap {
  /// As block ids.
  func list() -> [BlockID] {
    var ids: [BlockID] = []
    var place = 0
    while let found = first(from: place) {
      ids.append(BlockID(found + 1))
      place = found + 1
    }
    return ids
  }
}
