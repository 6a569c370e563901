/// The blocks of one pool: their records, the free queue and the references.
///
/// Owns one record per block, the order in which free blocks are handed out, and the exact partition
/// of the pool into free, cached, active, shared and pinned blocks. Knows holders only as tags; never
/// looks at a sequence, never decides whether a command is allowed. Its callers check first, so what
/// is wrong in here is a bug and traps.
///
/// The free queue is vLLM's (`FreeKVCacheBlockQueue`, `free_blocks`): blocks are taken from the head
/// in order; of the blocks that lose their last reference, those without a hash go to the front and
/// those with one to the tail, each keeping the order in which they were given back. Record 0 is the
/// queue's sentinel: its `next` is the head, its `previous` the tail.
package final class BlockPool {
  /// Usable blocks; their ids are 1 ... `capacity`.
  package let capacity: UInt32
  let records: UnsafeMutablePointer<BlockRecord>
  /// Raw references beyond the one that a record can name: (block, session slot) -> count.
  let sharedHolds: WideMap
  var counters: BlockCounters
  let undo: UndoLog

  /// References to one block that raw holders may take; sequences stay far below the rest of 2^32.
  package static let maximumReferences: UInt32 = 1 << 31
  /// Copies under way that may touch one block.
  package static let maximumPins: UInt16 = .max

  package convenience init(capacity: UInt32) {
    self.init(capacity: capacity, undo: UndoLog())
  }

  init(capacity: UInt32, undo: UndoLog) {
    self.capacity = capacity
    self.undo = undo
    sharedHolds = WideMap(.holds, undo: undo)
    counters = BlockCounters(free: capacity)
    records = .allocate(capacity: Int(capacity) + 1)
    makeAllFree()
  }

  deinit { records.deallocate() }

  /// As created: everything free, the queue in the order of the ids.
  func makeAllFree() {
    sharedHolds.removeAll()
    counters = BlockCounters(free: capacity)
    for id in 0...capacity {
      var record = BlockRecord()
      record.previous = id == 0 ? capacity : id - 1
      record.next = id == capacity ? 0 : id + 1
      (records + Int(id)).initialize(to: record)
    }
  }

  /// What an allocation can take.
  package var available: UInt32 { counters.free + counters.cached }

  @inline(__always)
  func save(_ id: BlockID) {
    if undo.isRecording { undo.blocks.append(.init(id: id, record: records[Int(id)])) }
  }

  // MARK: Taking

  /// Takes the first `count` blocks of the queue into `room`, each with one reference.
  ///
  /// The caller has checked that there are that many. O(`count`), no memory is allocated.
  @inline(__always)
  func take(
    _ count: UInt32, for holder: Holder, generation: UInt32,
    into room: UnsafeMutablePointer<BlockID>
  ) {
    precondition(count <= available, "took more blocks than there are")
    save(0)
    var id = records[0].next
    var evicted: UInt32 = 0
    for i in 0..<Int(count) {
      save(id)
      let record = records + Int(id)
      let next = record.pointee.next
      assert(
        record.pointee.refCount == 0 && record.pointee.pins == 0, "a used block was in the queue")
      if record.pointee.hashSlot != 0 {
        record.pointee.hashSlot = 0
        evicted += 1
      }
      record.pointee.refCount = 1
      record.pointee.previous = 0
      record.pointee.next = 0
      record.pointee.holder = holder
      record.pointee.generation = generation
      record.pointee.lastTouch = generation
      room[i] = id
      id = next
    }
    records[0].next = id
    if id != 0 { save(id) }
    records[Int(id)].previous = 0
    if id == 0 { records[0].previous = 0 }
    counters.cached -= evicted
    counters.free -= count - evicted
    counters.active += count
    counters.allocatedBlocks += UInt64(count)
    counters.highWatermark = max(counters.highWatermark, capacity - available)
  }

  // MARK: Giving back

  /// Blocks on their way back to the queue. One batch is one `free_blocks` of vLLM.
  struct Batch {
    fileprivate var frontLast: UInt32 = 0
    fileprivate var oldHead: UInt32
    fileprivate var tailFirst: UInt32 = 0
    fileprivate var tailLast: UInt32 = 0
    /// Blocks that became available.
    fileprivate(set) var freed: UInt32 = 0
    fileprivate var cached: UInt32 = 0
    fileprivate var unshared: UInt32 = 0
    fileprivate var lastReferences: UInt32 = 0
    fileprivate var references: UInt32 = 0
    fileprivate var pinned: UInt32 = 0
    fileprivate var unpinned: UInt32 = 0
  }

  /// Nothing else may touch the queue until `finish`.
  @inline(__always)
  func beginFreeing() -> Batch {
    save(0)
    return Batch(oldHead: records[0].next)
  }

  /// Drops one reference to `id`. On the way to 0, and only then, the block is classified.
  @inline(__always)
  func dropReference(_ id: BlockID, touch: UInt32, in batch: inout Batch) {
    save(id)
    let record = records + Int(id)
    let references = record.pointee.refCount
    precondition(references > 0, "released a block that nobody holds")
    record.pointee.refCount = references - 1
    record.pointee.lastTouch = touch
    batch.references += 1
    if references > 1 {
      if references == 2 { batch.unshared += 1 }
      return
    }
    batch.lastReferences += 1
    record.pointee.holder = .none
    if record.pointee.pins > 0 {
      batch.pinned += 1
      return
    }
    makeAvailable(id, in: &batch)
  }

  /// Drops one pin; a block without references and pins becomes available, as on a free.
  func dropPin(_ id: BlockID, in batch: inout Batch) {
    save(id)
    let record = records + Int(id)
    precondition(record.pointee.pins > 0, "unpinned a block that is not pinned")
    record.pointee.pins -= 1
    if record.pointee.pins == 0 && record.pointee.refCount == 0 {
      batch.unpinned += 1
      makeAvailable(id, in: &batch)
    }
  }

  @inline(__always)
  private func makeAvailable(_ id: BlockID, in batch: inout Batch) {
    let record = records + Int(id)
    batch.freed += 1
    if record.pointee.hashSlot == 0 {
      record.pointee.previous = batch.frontLast
      if batch.frontLast != 0 {
        records[Int(batch.frontLast)].next = id
      } else {
        records[0].next = id
      }
      batch.frontLast = id
    } else {
      batch.cached += 1
      record.pointee.previous = batch.tailLast
      if batch.tailLast != 0 {
        records[Int(batch.tailLast)].next = id
      } else {
        batch.tailFirst = id
      }
      batch.tailLast = id
    }
  }

  /// Splices what was given back into the queue. Returns how many blocks became available.
  @inline(__always)
  @discardableResult
  func finish(_ batch: borrowing Batch) -> UInt32 {
    if batch.frontLast != 0 {
      if batch.oldHead != 0 { save(batch.oldHead) }
      records[Int(batch.frontLast)].next = batch.oldHead
      records[Int(batch.oldHead)].previous = batch.frontLast
    }
    if batch.tailLast != 0 {
      let tail = records[0].previous
      if tail != 0 { save(tail) }
      records[Int(tail)].next = batch.tailFirst
      records[Int(batch.tailFirst)].previous = tail
      records[Int(batch.tailLast)].next = 0
      records[0].previous = batch.tailLast
    }
    counters.cached += batch.cached
    counters.free += batch.freed - batch.cached
    counters.active += batch.unshared
    counters.active -= batch.lastReferences
    counters.shared -= batch.unshared
    counters.pinned += batch.pinned
    counters.pinned -= batch.unpinned
    counters.freedBlocks += UInt64(batch.freed)
    counters.releasedReferences += UInt64(batch.references)
    return batch.freed
  }

  // MARK: Sharing and pinning

  /// One more reference to a block in use; `holder` is who takes it, if it is a session.
  /// The record says `shared` from here until the block is free again.
  func addReference(_ id: BlockID, touch: UInt32) {
    save(id)
    let record = records + Int(id)
    precondition(record.pointee.refCount > 0, "shared a block that nobody holds")
    let holder = record.pointee.holder
    if holder != .shared {
      if holder.isRaw { sharedHolds.set(UInt64(id), holder.slot, to: 1) }
      record.pointee.holder = .shared
    }
    if record.pointee.refCount == 1 {
      counters.active -= 1
      counters.shared += 1
    }
    record.pointee.refCount += 1
    record.pointee.lastTouch = touch
  }

  func addPin(_ id: BlockID) {
    save(id)
    precondition(records[Int(id)].pins < Self.maximumPins, "pinned a block too often")
    records[Int(id)].pins += 1
  }

  // MARK: Raw holds

  /// How many raw references to `id` the session in `slot` holds.
  @inline(__always)
  func rawReferences(_ id: BlockID, by slot: UInt32) -> UInt32 {
    let holder = records[Int(id)].holder
    if holder == .raw(slot) { return 1 }
    return holder == .shared ? sharedHolds.value(UInt64(id), slot) : 0
  }

  /// Notes one more raw reference of the session to a block that `addReference` made shared.
  func addRawHold(_ id: BlockID, by slot: UInt32) {
    let held = sharedHolds.value(UInt64(id), slot)
    sharedHolds.set(UInt64(id), slot, to: held + 1)
  }

  /// Takes one raw reference of the session off the books; the reference itself is dropped later.
  ///
  /// - Returns: How many it held before; 0, and nothing is done, when it held none.
  @inline(__always)
  func takeRawHold(_ id: BlockID, from slot: UInt32) -> UInt32 {
    let record = records + Int(id)
    if record.pointee.holder == .raw(slot) {
      save(id)
      record.pointee.holder = .none
      return 1
    }
    guard record.pointee.holder == .shared else { return 0 }
    let held = sharedHolds.value(UInt64(id), slot)
    if held > 0 { sharedHolds.set(UInt64(id), slot, to: held - 1) }
    return held
  }

  /// Undoes `takeRawHold` before the reference was dropped.
  func returnRawHold(_ id: BlockID, to slot: UInt32) {
    if records[Int(id)].holder == .none {
      save(id)
      records[Int(id)].holder = .raw(slot)
    } else {
      addRawHold(id, by: slot)
    }
  }

  // MARK: Looking

  func state(of record: BlockRecord) -> BlockState {
    switch record.refCount {
    case 0: record.pins > 0 ? .pinned : record.hashSlot != 0 ? .cached : .free
    case 1: .active
    default: .shared
    }
  }

  package func view(_ id: BlockID) -> BlockView {
    precondition(id >= 1 && id <= capacity, "looked at a block that does not exist")
    let record = records[Int(id)]
    return BlockView(
      state: state(of: record), refCount: record.refCount, generation: record.generation,
      pins: record.pins)
  }

  /// The ids that allocations will hand out, in order. O(free blocks); for tests and snapshots.
  package func freeQueue() -> [BlockID] {
    var ids: [BlockID] = []
    ids.reserveCapacity(Int(available))
    var id = records[0].next
    while id != 0 {
      ids.append(id)
      id = records[Int(id)].next
    }
    return ids
  }
}

/// The partition of a pool and its counts of blocks, kept with every change. O(1) to read.
struct BlockCounters: Equatable, BitwiseCopyable {
  var free: UInt32
  var cached: UInt32 = 0
  var active: UInt32 = 0
  var shared: UInt32 = 0
  var pinned: UInt32 = 0
  var highWatermark: UInt32 = 0
  /// Blocks handed out and blocks that became available again, ever.
  var allocatedBlocks: UInt64 = 0
  var freedBlocks: UInt64 = 0
  /// References given back, ever (a copy on write moves one and gives none back).
  var releasedReferences: UInt64 = 0
}

// MARK: - The pool alone, as a scheduler in this process would use it

extension BlockPool {
  /// Takes `count` blocks, all or none, held raw by the session in slot 0.
  ///
  /// - Returns: False, and nothing changed, when fewer are available.
  /// - Complexity: O(`count`); no heap allocation once `list` has grown.
  package func allocate(
    _ count: UInt32, generation: UInt32, appendingTo list: inout FlatList<BlockID>
  ) -> Bool {
    guard count <= available else { return false }
    take(count, for: .raw(0), generation: generation, into: list.extend(by: Int(count)))
    return true
  }

  /// Drops one raw reference of the session in slot 0 to each block, all or none.
  ///
  /// - Returns: False, and nothing changed, when it does not hold them all.
  package func free(_ ids: UnsafeBufferPointer<BlockID>, generation: UInt32) -> Bool {
    for i in 0..<ids.count {
      guard ids[i] >= 1 && ids[i] <= capacity && takeRawHold(ids[i], from: 0) > 0 else {
        for j in 0..<i { returnRawHold(ids[j], to: 0) }
        return false
      }
    }
    var batch = beginFreeing()
    for i in 0..<ids.count { dropReference(ids[i], touch: generation, in: &batch) }
    finish(batch)
    return true
  }
}
