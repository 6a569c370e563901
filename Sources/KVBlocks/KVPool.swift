/// One pool: its blocks, the sequences and raw references that hold them, the copies under way.
///
/// A state machine. The same commands from the same configuration give the same outcomes, always: no
/// clock, no randomness, no I/O. Confined to the thread that owns it. It owns every reference to its
/// blocks: what comes in from outside is checked here and refused as a value, and a refused
/// operation changes nothing. It never formats, logs or sends anything.
package final class KVPool {
  /// As it is by now; `updatePool` changes some of it.
  package internal(set) var configuration: PoolConfiguration
  package internal(set) var revision: Revision = 0

  /// What commands do to blocks, where somebody wants to know. It is always there, so that a look at
  /// it counts no references.
  let log: ChangeLog
  var isLogging = false
  /// Blocks that may have changed, where somebody follows the pool.
  package internal(set) var touched: TouchedBlocks?
  /// Another after each reset. No part of the state.
  package internal(set) var life = PoolLife()
  /// Either: the one test that a command pays.
  var isFollowed = false
  let blocks: BlockPool
  /// The host tier, with ids, order and undo of its own; nil in a pool without.
  let host: BlockPool?
  let sequences: SequenceTable
  let sessions: SessionTable
  let copies: CopyTable
  let pins: PinTable
  /// Blocks held back: (sequence, session slot) -> count; `promised` is their sum.
  let reservations: WideMap
  var promised: UInt32 = 0
  /// Whether there is a threshold for admissions; the blocks it lets them fill; and those that running
  /// sequences still need for their tokens, kept only then.
  let tracksOwed: Bool
  let admissionLimit: UInt32
  var owed: UInt64 = 0
  /// nil in a pool that caches nothing.
  let chains: HashChains?
  /// The same, for what every sequence of a step asks: to count references to it took some percent of a step.
  let unretainedChains: Unmanaged<HashChains>?
  /// nil in a pool that marks no blocks to be zeroed.
  let dirty: DirtyBlocks?
  /// Of each size class; empty in a pool without.
  var shapes: [ClassShape]
  let hasClasses: Bool
  /// Most tokens of a sequence, and most slots it is given.
  package let tokenLimit: UInt32
  /// 0 with full attention.
  let window: UInt32
  /// Of the size class at hand, or of the pool: tokens of a block, usable blocks, and blocks that a hit
  /// must have at its end, `.max`, all there are, with full attention.
  var blockSize: UInt32
  var capacity: UInt32
  var reach: UInt32
  /// Of a decode, how far its list of victims is used up for each size class.
  var victimPlaces: [Int] = []
  let undo = UndoLog()
  var activity = Activity()
  var history = Digest()
  /// Milliseconds: the last clock that counted.
  var clock: UInt64 = 0
  /// By `Refusal.Reason`; refusals are counted, but they are no part of the state.
  let refusalCounts: UnsafeMutablePointer<UInt64>
  static let refusalReasons = 17
  /// Finds repetitions within one list; no part of the state.
  var stamp: UInt64 = 0
  /// Slots of the sequences of the decode at hand.
  var scratch = FlatList<UInt32>(minimumCapacity: 256)
  /// Hits of the admission at hand.
  var hits = FlatList<BlockID>(minimumCapacity: 256)
  /// Copies of moves that the command at hand gave up.
  var abandoned = FlatList<UInt64>(minimumCapacity: 1)
  /// Of the acknowledgements at hand; nil where no table had to be searched.
  var searchedMoves: SearchedMoves?
  /// By slot: tokens that the command at hand scheduled, where it may have to give them back.
  var scheduledNow: [UInt32: UInt32] = [:]
  /// What holds for the command at hand only.
  var run = Run()
  /// The operation of a command that has one.
  let single: UnsafeMutablePointer<Operation>

  /// Counts of what happened, beside those that `BlockPool` keeps.
  struct Activity: Equatable, BitwiseCopyable {
    var allocateCalls: UInt64 = 0
    var freeCalls: UInt64 = 0
    var forks: UInt64 = 0
    var copies: UInt64 = 0
    var preemptions: UInt64 = 0
    var evictionsAhead: UInt64 = 0
    var swappedOutBlocks: UInt64 = 0
    var swappedInBlocks: UInt64 = 0
    /// Moves that were made, and that were given up.
    var movedBlocks: UInt64 = 0
    var abandonedMoves: UInt64 = 0
    var prefixQueryTokens: UInt64 = 0
    var prefixHitTokens: UInt64 = 0
    var preemptedQueryTokens: UInt64 = 0
    var preemptedHitTokens: UInt64 = 0
    var tally = SequenceTally()
  }

  struct Run: BitwiseCopyable {
    var session: SessionID = 0
    /// `SequenceSlot.none` until the session has a slot.
    var slot = SequenceSlot.none
    /// The command's clock, and whether anything has asked for it.
    var now: UInt64 = 0
    var readsClock = false
    var changed = false
    /// A dry run of one operation: nothing comes behind it.
    var countsOnly = false
    var preempted = false
    var isBudgeted = false
    var budget: UInt32 = 0
    var victimPolicy = VictimPolicy.fcfs
    /// Whether `scheduledNow` is kept.
    var notesScheduled = false
    var refusesAdmissionAfterPreemption = false
    /// Whether what was refused for now would fit if nobody else held anything. Reserved blocks may
    /// be more than that leaves; they become fewer without anyone's preemption.
    var preemptingHelps = true
    /// Of what was refused for now, the adjacent blocks, where a strategy needs runs; else 0.
    var refusedRun: UInt32 = 0
    /// Blocks that sliding windows gave back.
    var droppedBlocks: UInt32 = 0
    /// Blocks handed out or shared, up to `maximumBlocksPerCommand`.
    var blocks: UInt32 = 0
    /// Entries looked at, up to `workLimit`.
    var work: UInt64 = 0
    /// Blocks evicted by flushes, up to `evictionsAheadLimit`.
    var evictedAhead: UInt32 = 0
    /// Bytes of extra keys that were hashed, up to `maximumKeyBytesPerCommand`.
    var keyBytes: UInt64 = 0
    /// That of the sequence or block that is looked at; 0 in a pool without size classes.
    var sizeClass: UInt8 = 0
  }

  /// Most tokens of one sequence.
  package static let maximumTokens: UInt32 = 1 << 31 - 1
  /// Most blocks that one command hands out, or shares by forking sequences. A short command can ask
  /// for the whole pool again and again; this bounds its outcome and its time.
  package static let maximumBlocksPerCommand: UInt32 = 1 << 20
  /// Most entries of tables and of the prefix cache that one command looks at; `KVPool+Work.swift`.
  package static let maximumWorkPerCommand: UInt64 = 1 << 24
  /// Smaller in tests only.
  package var workLimit = KVPool.maximumWorkPerCommand
  package var evictionsAheadLimit = KVPool.maximumEvictionsAhead
  /// Most sequences, in any state, of all sessions.
  package static let maximumSequences: UInt32 = 1 << 20

  /// A pool that takes the place of another goes on from its revision and its copy ids, as `reset`
  /// does: who knew the other must not mistake a new block or copy for an old one.
  /// `secret` spreads the ids that clients choose for their sequences. `hasher` makes hashes of token
  /// ids; without one they are counted and not cached.
  package init(
    _ configuration: PoolConfiguration, replacing other: KVPool? = nil,
    secret: MapSecret = MapSecret(), hasher: (any TokenHashing)? = nil
  ) {
    self.configuration = configuration
    revision = other.map { $0.revision + 1 } ?? 0
    log = other.flatMap { $0.changeLog } ?? ChangeLog()
    blocks = BlockPool(
      capacity: configuration.blocks,
      hashBytes: configuration.cachesPrefixes ? configuration.hashBytes : 0,
      strategy: configuration.strategy, eviction: configuration.eviction,
      classes: configuration.sizeClasses, secret: secret, undo: undo, log: log)
    host =
      configuration.hostBlocks == 0
      ? nil
      : BlockPool(
        capacity: configuration.hostBlocks, hashBytes: 0, tier: .host, secret: secret,
        undo: UndoLog(), log: log)
    sequences = SequenceTable(undo: undo, secret: secret)
    sessions = SessionTable(undo: undo, spentCopyIDs: other?.sessions.lastCopyID ?? 0)
    copies = CopyTable(sessions: sessions, undo: undo)
    pins = PinTable(sessions: sessions, undo: undo, secret: secret)
    reservations = WideMap(.reservations, undo: undo, secret: secret)
    blocks.setLazyBatch(configuration.admission.lazyFreeBatch)
    tracksOwed = configuration.admission.threshold != nil
    admissionLimit = configuration.admission.limit(of: configuration.blocks)
    chains =
      configuration.cachesPrefixes
      ? HashChains(configuration, hasher: hasher, undo: undo) : nil
    unretainedChains = chains.map { .passUnretained($0) }
    dirty =
      configuration.zeroesOnFree ? DirtyBlocks(capacity: configuration.blocks, undo: undo) : nil
    tokenLimit =
      configuration.maxModelTokens == 0
      ? Self.maximumTokens : min(configuration.maxModelTokens, Self.maximumTokens)
    let window = configuration.slidingWindow
    self.window = window
    let reach = { window == 0 ? UInt32.max : configuration.windowReach($0) }
    blockSize = configuration.blockSize
    capacity = configuration.blocks
    self.reach = reach(configuration.blockSize)
    hasClasses = !configuration.sizeClasses.isEmpty
    shapes = zip(configuration.sizeClasses, configuration.classStarts).map {
      ClassShape(
        blockSize: $0.blockSize, start: $1, blocks: $0.blocks, reach: reach($0.blockSize))
    }
    refusalCounts = .allocate(capacity: Self.refusalReasons)
    refusalCounts.initialize(repeating: 0, count: Self.refusalReasons)
    single = .allocate(capacity: 1)
    single.initialize(to: Operation(.flush))
    if let other {
      inheritDirty(from: other)
      inheritChangeLog(from: other)
      inheritTouches(from: other)
    }
  }

  deinit {
    if isLogging { log.follow(nil) }
    refusalCounts.deallocate()
    single.deallocate()
  }

  /// Low 32 bits of the revision that this command makes, if it changes anything.
  @inline(__always)
  var generation: UInt32 { UInt32(truncatingIfNeeded: revision &+ 1) }

  /// Whether the command may hand out or share so many more blocks.
  @inline(__always)
  func checkBlocks(
    _ count: UInt64, _ field: Refusal.StaticName = .none, _ sequence: SequenceID = 0
  ) throws(Refusal) {
    if UInt64(run.blocks) + count > UInt64(Self.maximumBlocksPerCommand) {
      throw Refusal(
        .quota, field: field, needed: UInt32(clamping: count),
        limit: UInt64(Self.maximumBlocksPerCommand), sequence: sequence)
    }
  }

  /// Whether the pool may have so many more sequences.
  func checkSequences(
    _ count: Int, _ field: Refusal.StaticName, _ sequence: SequenceID
  ) throws(Refusal) {
    if sequences.index.count + count > Int(Self.maximumSequences) {
      throw Refusal(
        .quota, field: field, limit: UInt64(Self.maximumSequences), sequence: sequence)
    }
  }

  /// The slot of the command's session, made if it has none yet.
  func ensureSession() -> UInt32 {
    if run.slot == SequenceSlot.none { run.slot = sessions.findOrCreate(run.session) }
    return run.slot
  }
}

extension Refusal: Error {}
