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
///
/// That is the default, the strategy `freeQueue` with the policy `lru`, in which one queue is
/// everything. With any other strategy or policy the pool is split (`BlockPool+Split.swift`): the
/// strategy keeps the free blocks and the policy the cached ones.
package final class BlockPool {
  /// Usable blocks; their ids are 1 ... `capacity`.
  package let capacity: UInt32
  let records: UnsafeMutablePointer<BlockRecord>
  /// Raw references beyond the one that a record can name: (block, session slot) -> count.
  let sharedHolds: WideMap
  var counters: BlockCounters
  /// What the blocks hold; nil in a pool that caches nothing.
  let index: PrefixIndex?
  let undo: UndoLog
  /// nil where one queue has all available blocks.
  var split: SplitBlocks? { didSet { setDetour() } }
  /// nil where frees are given back at once.
  var lazy: LazyFrees? { didSet { setDetour() } }
  /// Either of them: the one test that the common case pays for both.
  private(set) var hasDetour = false
  /// Made by the command at hand and replaced by it again: undone, words in their memory are put back.
  var replaced: [SplitBlocks] = []
  let strategy: AllocationStrategy
  /// Every allocation is one run.
  let needsRuns: Bool
  /// Empty where all blocks are of one size; else each class has its part, `split` is the first, and
  /// `partCounts` says what is available of it.
  let classes: [SizeClass]
  let hasClasses: Bool
  var parts: [SplitBlocks] = []
  var partCounts: [PartCounts] = []
  /// Of the list of frees at hand, the last block of each class.
  var lastGivenBack: [BlockID] = []
  /// Where a block is given from a run that has to be looked for.
  let searches: Bool
  /// Places that searches for runs have passed in the command at hand, and what they found.
  var searched: UInt64 = 0
  var knownRuns = KnownRuns()
  var knowsRuns = false
  var swept = Swept()

  /// References to one block that raw holders may take; sequences stay far below the rest of 2^32.
  package static let maximumReferences: UInt32 = 1 << 31
  /// Copies under way that may touch one block. A write looks at each of them, so this bounds its
  /// time.
  package static let maximumPins: UInt16 = 1_024

  /// Memory of a block's record; `memoryPerBlock` has the rest.
  package static let bytesPerBlock = MemoryLayout<BlockRecord>.stride

  /// `hashBytes` is 32 or 16 where the pool caches prefixes, and 0 where it does not.
  package convenience init(
    capacity: UInt32, hashBytes: Int = 0, strategy: AllocationStrategy = .freeQueue
  ) {
    self.init(
      capacity: capacity, hashBytes: hashBytes, strategy: strategy, secret: MapSecret(),
      undo: UndoLog())
  }

  init(
    capacity: UInt32, hashBytes: Int, strategy: AllocationStrategy = .freeQueue,
    eviction: EvictionPolicy = .lru, classes: [SizeClass] = [], secret: MapSecret, undo: UndoLog
  ) {
    self.classes = classes
    hasClasses = !classes.isEmpty
    self.capacity = capacity
    self.undo = undo
    self.strategy = strategy
    needsRuns = strategy.needsRuns
    searches = strategy == .bestFit || (strategy.needsRuns && strategy != .buddy)
    sharedHolds = WideMap(.holds, undo: undo)
    counters = BlockCounters(free: capacity)
    // One more than there are ids: the sentinel of the cached blocks in split mode. Classes have two
    // sentinels each behind it.
    let records = Int(capacity) + 2 + 2 * classes.count
    self.records = .allocate(capacity: records)
    (self.records + Int(capacity) + 2).initialize(
      repeating: BlockRecord(), count: 2 * classes.count)
    index =
      hashBytes == 0
      ? nil
      : PrefixIndex(
        capacity: capacity, hashBytes: hashBytes, records: self.records, secret: secret, undo: undo)
    makeAllFree()
    if strategy != .freeQueue || eviction != .lru { split(by: strategy, eviction) }
  }

  deinit { records.deallocate() }

  /// As created: everything free, the queue in the order of the ids.
  func makeAllFree() {
    sharedHolds.removeAll()
    index?.removeAll()
    counters = BlockCounters(free: capacity)
    swept = Swept()
    for id in 0...capacity {
      var record = BlockRecord()
      record.previous = id == 0 ? capacity : id - 1
      record.next = id == capacity ? 0 : id + 1
      (records + Int(id)).initialize(to: record)
    }
    (records + Int(capacity) + 1).initialize(to: BlockRecord())
    lazy?.removeAll()
    if !classes.isEmpty { return makeParts() }
    if let split { makeAllFree(split) }
  }

  /// What an allocation can take.
  package var available: UInt32 { counters.free + counters.cached }

  /// To be called before a record is changed.
  @inline(__always)
  func save(_ id: BlockID) {
    if undo.isRecording { record(id) }
  }

  @inline(never)
  private func record(_ id: BlockID) {
    undo.blocks.append(.init(id: id, record: records[Int(id)]))
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
    if hasDetour {
      return takeByDetour(count, for: holder, generation: generation, into: room)
    }
    takeFromQueue(count, for: holder, generation: generation, into: room)
  }

  private func setDetour() { hasDetour = split != nil || lazy != nil }

  /// `take` where one queue has all available blocks.
  @inline(__always)
  func takeFromQueue(
    _ count: UInt32, for holder: Holder, generation: UInt32,
    into room: UnsafeMutablePointer<BlockID>
  ) {
    if undo.isRecording { saveHead(count) }
    let records = self.records
    var id = records[0].next
    for i in 0..<Int(count) {
      let record = records + Int(id)
      assert(record.pointee.refCount == 0 && record.pointee.pins == 0, "a used block was queued")
      if record.pointee.twin != 0 { evict(id) }
      let next = record.pointee.next
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
    records[Int(id)].previous = 0
    counters.free -= count
    counters.active += count
    counters.allocatedBlocks += UInt64(count)
    counters.highWatermark = max(counters.highWatermark, capacity - available)
  }

  /// What `take` is about to change: the first `count` blocks of the queue and the one behind them.
  @inline(never)
  private func saveHead(_ count: UInt32) {
    save(0)
    var id = records[0].next
    for _ in 0...count where id != 0 {
      save(id)
      id = records[Int(id)].next
    }
  }

  /// Takes the content off a block that is about to be handed out: the only way in which a pool
  /// evicts by itself.
  @inline(never)
  func evict(_ id: BlockID) {
    forget(id)
    counters.evictions += 1
  }

  // MARK: Giving back

  /// Drops one reference to each of `count` blocks, from `first` on in steps of `stride`: one
  /// `free_blocks` of vLLM. On its way to 0, and only then, a block is classified.
  ///
  /// - Returns: How many blocks became available.
  /// - Complexity: O(`count`), no memory is allocated.
  @inline(__always)
  @discardableResult
  func dropReferences(
    _ first: UnsafePointer<BlockID>, _ count: Int, stride: Int = 1
  ) -> UInt32 {
    if hasDetour { return dropByDetour(first, count, stride) }
    if undo.isRecording { save(first, count, stride) }
    let records = self.records
    let oldHead = records[0].next
    var others = Others()
    var last: BlockID = 0
    var freed: UInt32 = 0
    var place = first
    for _ in 0..<count {
      let id = place.pointee
      place += stride
      let record = records + Int(id)
      if record.pointee.refCount == 1 && record.pointee.pins == 0 && record.pointee.twin == 0 {
        record.pointee.refCount = 0
        record.pointee.holder = .none
        record.pointee.previous = last
        // For the first one this is the sentinel, whose `next` is the queue's new head.
        records[Int(last)].next = id
        last = id
        freed &+= 1
      } else {
        drop(id, &others)
      }
    }
    if freed > 0 { spliceFront(last, oldHead) }
    // Before `freed` is taken off: blocks may have become active only in here.
    let cached = others.isEmpty ? 0 : finish(others)
    counters.free += freed
    counters.active -= freed
    counters.freedBlocks += UInt64(freed)
    counters.releasedReferences += UInt64(count)
    return freed + cached
  }

  /// Frees blocks that the session in `slot` alone holds, raw and once each: the common case, in one
  /// pass instead of two.
  ///
  /// - Returns: False, and nothing changed, when one of them is anything else. The caller then takes
  ///   the long way, which also says what is wrong.
  @inline(__always)
  func freeExclusive(_ first: UnsafePointer<BlockID>, _ count: Int, heldBy slot: UInt32) -> Bool {
    if undo.isRecording || hasDetour { return false }
    let records = self.records
    let capacity = self.capacity
    let holder = Holder.raw(slot)
    let oldHead = records[0].next
    var last: BlockID = 0
    var i = 0
    while i < count {
      let id = first[i]
      let record = records + Int(id)
      // A block named twice has no holder any more the second time.
      guard
        id &- 1 < capacity && record.pointee.holder == holder && record.pointee.pins == 0
          && record.pointee.twin == 0
      else { break }
      record.pointee.refCount = 0
      record.pointee.holder = .none
      record.pointee.previous = last
      records[Int(last)].next = id
      last = id
      i &+= 1
    }
    if i < count {
      takeBack(first, i, holder, oldHead)
      return false
    }
    if last != 0 { spliceFront(last, oldHead) }
    counters.free += UInt32(count)
    counters.active -= UInt32(count)
    counters.freedBlocks += UInt64(count)
    counters.releasedReferences += UInt64(count)
    return true
  }

  @inline(never)
  private func takeBack(
    _ first: UnsafePointer<BlockID>, _ count: Int, _ holder: Holder, _ head: BlockID
  ) {
    for i in 0..<count {
      let record = records + Int(first[i])
      record.pointee.refCount = 1
      record.pointee.holder = holder
      record.pointee.previous = 0
      record.pointee.next = 0
    }
    records[0].next = head
  }

  /// The blocks of a `dropReferences` that take the slower way.
  fileprivate struct Others {
    var tailFirst: BlockID = 0
    var tailLast: BlockID = 0
    var cached: UInt32 = 0
    var unshared: UInt32 = 0
    var pinned: UInt32 = 0
    var isEmpty = true
  }

  @inline(never)
  private func drop(_ id: BlockID, _ others: inout Others) {
    others.isEmpty = false
    let record = records + Int(id)
    precondition(record.pointee.refCount > 0, "released a block that nobody holds")
    record.pointee.refCount -= 1
    if record.pointee.refCount > 0 {
      if record.pointee.refCount == 1 { others.unshared += 1 }
      return
    }
    record.pointee.holder = .none
    if record.pointee.pins > 0 {
      others.pinned += 1
      return
    }
    appendToTail(id, &others)
  }

  /// A block with a hash goes behind all others: it may be hit until it is taken.
  private func appendToTail(_ id: BlockID, _ others: inout Others) {
    others.cached += 1
    records[Int(id)].previous = others.tailLast
    if others.tailLast == 0 {
      others.tailFirst = id
    } else {
      records[Int(others.tailLast)].next = id
    }
    others.tailLast = id
  }

  @inline(never)
  private func finish(_ others: Others) -> UInt32 {
    if others.tailLast != 0 {
      let tail = records[0].previous
      save(tail)
      records[Int(tail)].next = others.tailFirst
      records[Int(others.tailFirst)].previous = tail
      records[Int(others.tailLast)].next = 0
      records[0].previous = others.tailLast
    }
    counters.shared -= others.unshared
    counters.active += others.unshared
    counters.active -= others.cached + others.pinned
    counters.pinned += others.pinned
    counters.cached += others.cached
    counters.freedBlocks += UInt64(others.cached)
    return others.cached
  }

  /// The chain from the sentinel to `last` goes before what was the head of the queue.
  @inline(__always)
  private func spliceFront(_ last: BlockID, _ oldHead: BlockID) {
    records[Int(last)].next = oldHead
    records[Int(oldHead)].previous = last
  }

  @inline(never)
  private func save(_ first: UnsafePointer<BlockID>, _ count: Int, _ stride: Int) {
    save(0)
    save(records[0].next)
    for i in 0..<count { save(first[i * stride]) }
  }

  // MARK: Pins

  /// Blocks whose last pin goes, on their way back to the queue.
  struct Unpinning {
    var last: BlockID = 0
    fileprivate var oldHead: BlockID
    fileprivate var others = Others()
    /// Blocks that became available.
    var freed: UInt32 = 0
  }

  /// Nothing else may touch the queue until `finish`.
  func beginUnpinning() -> Unpinning {
    save(0)
    save(records[0].next)
    return Unpinning(oldHead: records[0].next)
  }

  /// Drops one pin; a block without references and pins becomes available, as on a free.
  func dropPin(_ id: BlockID, _ unpinning: inout Unpinning) {
    save(id)
    let record = records + Int(id)
    precondition(record.pointee.pins > 0, "unpinned a block that is not pinned")
    record.pointee.pins -= 1
    if record.pointee.pins > 0 || record.pointee.refCount > 0 { return }
    if let split {
      counters.pinned -= 1
      countPart(id, pinned: -1)
      unpinning.freed += makeAvailable(split, id, after: &unpinning.last)
      return
    }
    unpinning.freed += 1
    if record.pointee.twin != 0 {
      appendToTail(id, &unpinning.others)
      return
    }
    record.pointee.previous = unpinning.last
    records[Int(unpinning.last)].next = id
    unpinning.last = id
  }

  func finish(_ unpinning: Unpinning) {
    if split != nil { return }
    let cached = unpinning.others.cached
    let free = unpinning.freed - cached
    if free > 0 { spliceFront(unpinning.last, unpinning.oldHead) }
    counters.free += free
    counters.freedBlocks += UInt64(free)
    counters.pinned -= free
    if cached == 0 { return }
    // `finish` counts them as active before.
    counters.pinned -= cached
    counters.active += cached
    _ = finish(unpinning.others)
  }

  // MARK: Looking

  func state(of record: BlockRecord) -> BlockState {
    switch record.refCount {
    case 0:
      record.pins > 0
        ? .pinned : record.holder == .pending ? .pending : record.twin != 0 ? .cached : .free
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

  /// The ids that allocations will hand out, in order; of a strategy that has no order, the free ones
  /// by their id, then the cached ones as they will be evicted. O(blocks); for tests and snapshots.
  package func freeQueue() -> [BlockID] {
    if !parts.isEmpty { return parts.flatMap { $0.free.list() + $0.cached.victims() } }
    if let split { return split.free.list() + split.cached.victims() }
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
