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
  /// Records, the sentinels' included.
  let places: Int
  /// Raw references beyond the one that a record can name: (block, session slot) -> count.
  let sharedHolds: WideMap
  var counters: BlockCounters
  /// The high watermark of the time before `resetPeaks`.
  var peakBefore: UInt32 = 0
  /// What the blocks hold; nil in a pool that caches nothing.
  let index: PrefixIndex?
  /// The same, for what every block of a step asks: to count references to it took some percent of a step.
  let unretainedIndex: Unmanaged<PrefixIndex>?
  let undo: UndoLog
  /// nil where one queue has all available blocks.
  var split: SplitBlocks? { didSet { setDetour() } }
  /// nil where frees are given back at once.
  var lazy: LazyFrees? { didSet { setDetour() } }
  /// Where what happens to blocks is recorded, if it is.
  let log: ChangeLog
  /// Whether what becomes of content is.
  var isLogging = false
  /// Whether who takes and gives back blocks is, too.
  var logsReferences = false { didSet { setDetour() } }
  /// Any of them: the one test that the common case pays for all.
  private(set) var hasDetour = false
  /// Nothing but that somebody follows.
  private(set) var isOnlyTouched = false
  /// Whose blocks these are.
  let tier: Tier
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
      undo: UndoLog(), log: ChangeLog())
  }

  init(
    capacity: UInt32, hashBytes: Int, strategy: AllocationStrategy = .freeQueue,
    eviction: EvictionPolicy = .lru, classes: [SizeClass] = [], tier: Tier = .device,
    secret: MapSecret, undo: UndoLog, log: ChangeLog
  ) {
    self.tier = tier
    self.log = log
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
    places = Int(capacity) + 2 + 2 * classes.count
    self.records = .allocate(capacity: places)
    (self.records + Int(capacity) + 2).initialize(
      repeating: BlockRecord(), count: 2 * classes.count)
    index =
      hashBytes == 0
      ? nil
      : PrefixIndex(
        capacity: capacity, hashBytes: hashBytes, records: self.records, secret: secret, undo: undo)
    unretainedIndex = index.map { .passUnretained($0) }
    makeAllFree()
    if strategy != .freeQueue || eviction != .lru { split(by: strategy, eviction) }
  }

  deinit { records.deallocate() }

  /// As created: everything free, the queue in the order of the ids.
  func makeAllFree() {
    sharedHolds.removeAll()
    index?.removeAll()
    counters = BlockCounters(free: capacity)
    peakBefore = 0
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
  func save(_ id: BlockID) { undo.note(id, records) }

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
      if isOnlyTouched {
        return takeTouching(count, for: holder, generation: generation, into: room)
      }
      return takeByDetour(count, for: holder, generation: generation, into: room)
    }
    takeFromQueue(count, for: holder, generation: generation, into: room)
  }

  func setDetour() {
    let isOdd = split != nil || lazy != nil || logsReferences
    hasDetour = isOdd || undo.touched != nil
    isOnlyTouched = hasDetour && !isOdd
  }

  @inline(never)
  private func takeTouching(
    _ count: UInt32, for holder: Holder, generation: UInt32,
    into room: UnsafeMutablePointer<BlockID>
  ) {
    takeFromQueue(count, for: holder, generation: generation, into: room)
    undo.touch(room, Int(count))
  }

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
      if record.pointee.twin != 0 { evict(id, .handOut, for: holder) }
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
  func evict(_ id: BlockID, _ cause: ChangeLog.Cause, for holder: Holder) {
    forget(id, cause, for: holder)
    counters.evictions += 1
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
