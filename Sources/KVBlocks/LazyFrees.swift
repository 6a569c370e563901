/// Blocks whose free waits for its batch: nobody holds them, they are available and can be hit, and
/// have no place among the free and cached ones yet.
///
/// A list of frees, each with its blocks in their order. A pending block's record says so by its
/// holder, and `previous` has its place in the list (from 1).
final class LazyFrees {
  /// Blocks that are collected before they are given back, at least 1.
  var batch: UInt32
  /// Ids, 0 where the block has left again; the first of a free is marked.
  private(set) var list = FlatList<UInt32>()
  private var state = State()
  private var saved: [UInt32] = []
  private var savedState = State()

  private struct State {
    /// Blocks that wait, and those of them that have content.
    var count: UInt32 = 0
    var cached: UInt32 = 0
    var batch: UInt32 = 0
  }

  static let maximumBatch: UInt32 = 1 << 16
  /// Of the first block of a free; a pool has fewer blocks.
  private static let begins: UInt32 = 1 << 31

  init(batch: UInt32) { self.batch = batch }

  var count: UInt32 { state.count }
  var cached: UInt32 {
    get { state.cached }
    set { state.cached = newValue }
  }
  var free: UInt32 { state.count - state.cached }

  /// Returns the block's place.
  func append(_ id: BlockID, isFirst: Bool, hasContent: Bool) -> UInt32 {
    list.append(isFirst ? id | Self.begins : id)
    state.count += 1
    if hasContent { state.cached += 1 }
    return UInt32(list.count)
  }

  /// The block at `place` leaves; the one behind it may begin its free now.
  func remove(at place: UInt32, hasContent: Bool) {
    var i = Int(place) - 1
    let begins = list[i] & Self.begins != 0
    list[i] = 0
    state.count -= 1
    if hasContent { state.cached -= 1 }
    if !begins { return }
    i += 1
    while i < list.count && list[i] == 0 { i += 1 }
    if i < list.count { list[i] |= Self.begins }
  }

  func removeAll() {
    list.removeAll()
    state = State()
  }

  /// The blocks of each free, in turn.
  func forEachFree(_ body: ([BlockID]) -> Void) {
    var free: [BlockID] = []
    for entry in list.elements where entry != 0 {
      if entry & Self.begins != 0 && !free.isEmpty {
        body(free)
        free.removeAll(keepingCapacity: true)
      }
      free.append(entry & ~Self.begins)
    }
    if !free.isEmpty { body(free) }
  }

  /// The blocks of the last so many places, in turn.
  func forEachPending(last count: Int, _ body: (BlockID) -> Void) {
    for i in list.count - count..<list.count where list[i] != 0 { body(list[i] & ~Self.begins) }
  }

  // MARK: Undo

  /// Keeps the list as it is, for `restore`.
  func mark() {
    saved = Array(list.elements)
    savedState = state
    savedState.batch = batch
  }

  func restore() {
    list.removeAll()
    for entry in saved { list.append(entry) }
    state = savedState
    batch = savedState.batch
    saved = []
  }
}

/// Frees in batches. Whatever is pending counts as free or cached in `counters`; the structures have
/// the rest.
extension BlockPool {
  /// Blocks that wait for their batch.
  var pendingCount: UInt32 { lazy?.count ?? 0 }

  /// `take` where frees are pending or free and cached blocks are apart.
  @inline(never)
  func takeByDetour(
    _ count: UInt32, for holder: Holder, generation: UInt32,
    into room: UnsafeMutablePointer<BlockID>
  ) {
    if split == nil && lazy == nil {
      takeFromQueue(count, for: holder, generation: generation, into: room)
      undo.touch(room, Int(count))
      if logsReferences { log.note(.handedOut, by: holder, room, Int(count), of: self) }
      return
    }
    if let lazy, lazy.count > 0 {
      // Nothing is evicted while a free block waits. (Of size classes, another's may wait as well.)
      let placed = placed(lazy)
      if count > placed.available || (count > placed.free && lazy.free > 0) { flushPending() }
    }
    if let split { return take(split, count, for: holder, generation: generation, into: room) }
    takeFromQueue(count, for: holder, generation: generation, into: room)
    undo.touch(room, Int(count))
    if logsReferences { log.note(.handedOut, by: holder, room, Int(count), of: self) }
  }

  @inline(never)
  func dropByDetour(
    _ first: UnsafePointer<BlockID>, _ count: Int, _ stride: Int, _ holder: Holder,
    _ cause: ChangeLog.Cause
  ) -> UInt32 {
    if logsReferences {
      log.note(.released, cause, by: holder, first, count, stride: stride, of: self)
    }
    if let lazy { return dropLazily(lazy, first, count, stride) }
    if let split { return dropReferences(split, first, count, stride) }
    undo.touch(first, count, stride: stride)
    return dropToQueue(first, count, stride)
  }

  /// The blocks that wait, in the order in which they came. O(pending).
  func pendingFrees() -> [BlockID] {
    var ids: [BlockID] = []
    lazy?.forEachFree { ids += $0 }
    return ids
  }

  /// Drops one reference to each of `count` blocks, as one free that is pending. Returns how many blocks
  /// became available.
  private func dropLazily(
    _ lazy: LazyFrees, _ first: UnsafePointer<BlockID>, _ count: Int, _ stride: Int
  ) -> UInt32 {
    var freed: UInt32 = 0
    for i in 0..<count {
      let id = first[i * stride]
      if !loseReference(id) { continue }
      let record = records + Int(id)
      let hasContent = record.pointee.twin != 0
      if hasContent { counters.cached += 1 } else { counters.free += 1 }
      countPart(id, free: hasContent ? 0 : 1, cached: hasContent ? 1 : 0)
      countPending(id, hasContent: hasContent, 1)
      record.pointee.holder = .pending
      record.pointee.previous = lazy.append(id, isFirst: freed == 0, hasContent: hasContent)
      freed += 1
    }
    counters.freedBlocks += UInt64(freed)
    counters.releasedReferences += UInt64(count)
    if logsReferences {
      lazy.forEachPending(last: Int(freed)) {
        log.note(.lazilyFreed, .none, by: .none, one: $0, of: self)
      }
    }
    if lazy.count >= lazy.batch {
      flushPending()
    } else if lazy.list.count > 2 * Int(lazy.batch) + 64 {
      compact(lazy)
    }
    return freed
  }

  /// A pending block leaves before its batch does: it is hit, or pinned. The caller has saved it.
  func leavePending(_ id: BlockID) {
    guard let lazy else { preconditionFailure("a pending block without a batch") }
    let hasContent = records[Int(id)].twin != 0
    lazy.remove(at: records[Int(id)].previous, hasContent: hasContent)
    countPending(id, hasContent: hasContent, -1)
    records[Int(id)].previous = 0
    records[Int(id)].holder = .none
  }

  /// Gives back what is pending: the order is as if each free had happened just now, in turn. Returns
  /// how many blocks they were. O(pending).
  @discardableResult
  func flushPending() -> UInt32 {
    guard let lazy, lazy.list.count > 0 else { return 0 }
    let count = lazy.count
    if logsReferences {
      lazy.forEachPending(last: lazy.list.count) {
        log.note(.flushed, .none, by: .none, one: $0, of: self)
      }
    }
    lazy.forEachFree { place($0) }
    lazy.removeAll()
    countNothingPending()
    return count
  }

  /// The blocks of one free go where they belong.
  private func place(_ ids: [BlockID]) {
    save(0)
    save(records[0].next)
    let oldHead = records[0].next
    var last: BlockID = 0
    for id in ids {
      save(id)
      records[Int(id)].holder = .none
      records[Int(id)].previous = 0
      if records[Int(id)].twin != 0 { continue }
      if let split {
        part(of: id, split).free.insert(
          id, after: parts.isEmpty ? last : lastOfClass(before: id, last))
      } else {
        records[Int(id)].previous = last
        records[Int(last)].next = id
      }
      last = id
    }
    if split == nil && last != 0 {
      records[Int(last)].next = oldHead
      records[Int(oldHead)].previous = last
    }
    for id in ids where records[Int(id)].twin != 0 {
      if let split {
        part(of: id, split).cached.insert(id)
        continue
      }
      let tail = records[0].previous
      save(tail)
      records[Int(id)].previous = tail
      records[Int(id)].next = 0
      records[Int(tail)].next = id
      records[0].previous = id
    }
  }

  /// Forgets the places of those that left.
  private func compact(_ lazy: LazyFrees) {
    var frees: [[BlockID]] = []
    lazy.forEachFree { frees.append($0) }
    lazy.removeAll()
    for free in frees { append(free, to: lazy) }
  }

  private func append(_ free: [BlockID], to lazy: LazyFrees) {
    for (i, id) in free.enumerated() {
      save(id)
      records[Int(id)].previous = lazy.append(
        id, isFirst: i == 0, hasContent: records[Int(id)].twin != 0)
    }
  }

  /// From here on so many blocks are collected; 0 = none, and what is pending is given back.
  func setLazyBatch(_ batch: UInt32) {
    if batch == 0 {
      flushPending()
      lazy = nil
      return
    }
    if lazy == nil { lazy = LazyFrees(batch: batch) }
    guard let lazy else { return }
    lazy.batch = batch
    if lazy.count >= batch { flushPending() }
  }

  // MARK: State

  func writePending(to writer: StateWriter) {
    guard let lazy, lazy.count > 0 else { return }
    writer.section("LAZY")
    var frees: [[BlockID]] = []
    lazy.forEachFree { frees.append($0) }
    writer.u32(UInt32(frees.count))
    for free in frees {
      writer.u32(UInt32(free.count))
      for id in free { writer.u32(id) }
    }
  }

  /// After the records and the contents.
  func readPending(from reader: inout StateReader) throws(StateFailure) {
    guard let lazy, reader.begins("LAZY") else { return }
    try reader.section("LAZY")
    for _ in 0..<(try reader.count("pending frees", bytesEach: 8)) {
      var free: [BlockID] = []
      for _ in 0..<(try reader.count("blocks of a free", bytesEach: 4)) {
        let id = try reader.u32("a block", 1, through: capacity)
        if records[Int(id)].holder != .pending || records[Int(id)].previous != 0 {
          throw reader.failure("block \(id) is pending and says otherwise")
        }
        records[Int(id)].previous = .max
        free.append(id)
      }
      append(free, to: lazy)
    }
  }

  /// What is wrong with the pending frees; nil when nothing is. O(blocks).
  func checkPending() -> String? {
    var listed: UInt32 = 0
    var cached: UInt32 = 0
    var wrong: String?
    lazy?.forEachFree { free in
      for id in free {
        listed += 1
        if records[Int(id)].twin != 0 { cached += 1 }
        if records[Int(id)].holder != .pending { wrong = "block \(id) is pending and held" }
      }
    }
    if let wrong { return wrong }
    var marked: UInt32 = 0
    for id in 1...Int(capacity) where records[id].holder == .pending { marked += 1 }
    if listed != marked || listed != pendingCount || cached != lazy?.cached ?? 0 {
      return "\(listed) frees are pending, \(marked) marked, \(pendingCount) counted"
    }
    return lazy.map { $0.count >= $0.batch } ?? false ? "a batch is full and pending" : nil
  }
}
