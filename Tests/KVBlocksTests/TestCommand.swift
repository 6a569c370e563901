import KVBlocks

/// A command that owns its lists, so that tests can write it down, record it and repeat it.
struct TestCommand {
  var session: SessionID = 0
  var ifRevision: Revision = 0
  var now: UInt64 = 0
  var isDryRun = false
  var isStep = false
  var acknowledgedCopyID: UInt64 = 0
  var tokenBudget: UInt32 = 0
  var refusesAdmissionAfterPreemption = false
  var onRefusal = OnRefusal.continue
  var victimPolicy = VictimPolicy.fcfs
  var operations: [TestOperation] = []
}

/// One operation with its own `onRefusal`.
struct TestOperation {
  var kind: Kind
  var onRefusal = OnRefusal.inherit

  init(_ kind: Kind, onRefusal: OnRefusal = .inherit) {
    self.kind = kind
    self.onRefusal = onRefusal
  }

  struct New {
    var id: SequenceID
    var tokens: UInt32
    var priority: Int32 = 0
    var expected: UInt32 = 0
    var label: [UInt8] = []
    /// Block hashes by a number each, everywhere in here.
    var hashes: [UInt64] = []
    var skips = false
    var tokenIDs: [UInt32] = []
    var keys: [UInt8] = []
    var sizeClass: UInt32 = 0
    var retention: [RetentionRange] = []
  }

  struct TestAdmit {
    var id: SequenceID
    var add: New?
    var keeps = false
    var maxTokensNow: UInt32 = 0
    var lookahead: UInt32 = 0
    var partial = false
    var reserved: UInt32 = 0
    var delays = false
    var ignoresWatermark = false
    var external: UInt32 = 0
  }

  struct TestDecode {
    var ids: [SequenceID]
    var append: [UInt32] = []
    var schedule: [UInt32] = []
    var lookahead: [UInt32] = []
    var victims: [SequenceID] = []
    var hashes: [UInt64] = []
    var hashCounts: [UInt32] = []
    /// Token ids, where `ids` are sequences.
    var tokens: [UInt32] = []
    var inFlight: [UInt32] = []
    var delays = false
    var commitsPrevious = false
  }

  enum Kind {
    case allocate(UInt32)
    case place(UInt32, contiguous: Bool = false, preferred: [BlockID] = [], sizeClass: UInt32 = 0)
    case freeBlocks([BlockID], generations: [UInt32] = [])
    case forkBlocks([BlockID], generations: [UInt32] = [])
    case copyOnWrite(BlockID, filled: UInt32 = 0)
    case acknowledge([UInt64], upTo: UInt64 = 0)
    case add(New)
    case admit(TestAdmit)
    case extend(Extend, hashes: [UInt64] = [], ids: [UInt32] = [])
    case append(SequenceID, UInt32, hashes: [UInt64] = [], ids: [UInt32] = [])
    case commit(SequenceID, UInt32 = 0)
    case acquire([UInt64], UInt32, sizeClass: UInt32 = 0)
    case cacheBlocks([BlockID], [UInt64])
    case evictBlocks([BlockID])
    case resetPrefixCache
    case updatePool(PoolUpdate)
    case resetAfterPreempting
    case pin(
      [UInt64], ttl: UInt64 = 0, unpins: Bool = false, ids: [UInt32] = [], sizeClass: UInt32 = 0)
    case fork(SequenceID, [SequenceID])
    case rewind(Rewind)
    case preempt([SequenceID])
    case swapOut([SequenceID])
    case swapIn([SequenceID])
    case applyDefragment(Revision, [BlockMove])
    case free([SequenceID], ignoresMissing: Bool = false)
    case reserve(Reserve)
    case flush
    case recover(
      UInt32, rungs: [UInt32] = [], keep: [SequenceID] = [], contiguous: Bool = false,
      maxMoves: UInt32 = 0, sizeClass: UInt32 = 0)
    case decode(TestDecode)
  }
}

/// Memory for the lists of one command.
private final class Arena {
  private var memory: [UnsafeMutableRawPointer] = []
  private let hashBytes: Int

  init(hashBytes: Int) { self.hashBytes = hashBytes }

  deinit { for pointer in memory { pointer.deallocate() } }

  func copy<T: BitwiseCopyable>(_ list: [T]) -> UnsafeBufferPointer<T> {
    if list.isEmpty { return .init(start: nil, count: 0) }
    let copy = UnsafeMutableBufferPointer<T>.allocate(capacity: list.count)
    _ = copy.initialize(from: list)
    if let base = copy.baseAddress { memory.append(UnsafeMutableRawPointer(base)) }
    return UnsafeBufferPointer(copy)
  }

  /// The number in the first word, the rest 0.
  func bytes(_ hashes: [UInt64]) -> UnsafeBufferPointer<UInt8> {
    var bytes: [UInt8] = []
    for hash in hashes {
      for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: hash >> (8 * UInt64(shift)))) }
      bytes += Array(repeating: 0, count: hashBytes - 8)
    }
    return copy(bytes)
  }

  func lower(_ new: TestOperation.New) -> AddSequence {
    AddSequence(
      sequence: new.id, tokens: new.tokens, priority: new.priority,
      expectedTokens: new.expected, label: copy(new.label),
      blockHashes: bytes(new.hashes), tokenIDs: copy(new.tokenIDs), extraKeys: copy(new.keys),
      skipsPrefixLookup: new.skips, retention: copy(new.retention),
      sizeClass: new.sizeClass)
  }

  func lower(_ kind: TestOperation.Kind) -> Operation.Kind {
    switch kind {
    case .allocate(let count): .allocate(count: count)
    case .place(let count, let isContiguous, let preferred, let sizeClass):
      .place(
        PlaceBlocks(
          count, isContiguous: isContiguous, preferred: copy(preferred), sizeClass: sizeClass))
    case .freeBlocks(let ids, let generations):
      .freeBlocks(copy(ids), generations: copy(generations))
    case .forkBlocks(let ids, let generations):
      .forkBlocks(copy(ids), generations: copy(generations))
    case .copyOnWrite(let id, let filled): .copyOnWrite(id, filledTokens: filled)
    case .acknowledge(let ids, let upTo): .acknowledgeCopies(copy(ids), upTo: upTo)
    case .add(let new): .add(lower(new))
    case .admit(let admit):
      .admit(
        Admit(
          sequence: admit.id, add: admit.add.map { lower($0) }, keepsOnRefusal: admit.keeps,
          maxTokensNow: admit.maxTokensNow, lookaheadTokens: admit.lookahead,
          allowsPartialFit: admit.partial, reservedBlocks: admit.reserved,
          delaysCommit: admit.delays, ignoresWatermark: admit.ignoresWatermark,
          externalComputedTokens: admit.external))
    case .extend(let extend, let hashes, let ids):
      .extend(
        Extend(
          sequence: extend.sequence, appendTokens: extend.appendTokens,
          maxTokensNow: extend.maxTokensNow, lookaheadTokens: extend.lookaheadTokens,
          reservedBlocks: extend.reservedBlocks, inFlightTokens: extend.inFlightTokens,
          blockHashes: bytes(hashes), tokenIDs: copy(ids), delaysCommit: extend.delaysCommit))
    case .append(let id, let tokens, let hashes, let ids):
      .append(id, tokens: tokens, blockHashes: bytes(hashes), tokenIDs: copy(ids))
    case .commit(let id, let tokens): .commit(id, tokens: tokens)
    case .acquire(let hashes, let count, let sizeClass):
      .acquire(blockHashes: bytes(hashes), count: count, sizeClass: sizeClass)
    case .cacheBlocks(let ids, let hashes): .cacheBlocks(copy(ids), blockHashes: bytes(hashes))
    case .evictBlocks(let ids): .evictBlocks(copy(ids))
    case .updatePool(let update): .updatePool(update)
    case .resetPrefixCache: .resetPrefixCache(preemptsRunning: false)
    case .resetAfterPreempting: .resetPrefixCache(preemptsRunning: true)
    case .pin(let hashes, let ttl, let unpins, let ids, let sizeClass):
      .pin(
        PinPrefix(
          blockHashes: bytes(hashes), tokens: UInt32(ids.count), tokenIDs: copy(ids),
          timeToLive: ttl, unpins: unpins, sizeClass: sizeClass))
    case .fork(let parent, let children): .fork(parent: parent, children: copy(children))
    case .rewind(let rewind): .rewind(rewind)
    case .preempt(let ids): .preempt(copy(ids))
    case .swapOut(let ids): .swapOut(copy(ids))
    case .swapIn(let ids): .swapIn(copy(ids))
    case .reserve(let request): .reserve(request)
    case .flush: .flush
    case .recover(
      let needed, let rungs, let keep, let isContiguous, let maxMoves, let sizeClass):
      .recover(
        Recover(
          blocksNeeded: needed, rungs: copy(rungs), keep: copy(keep), isContiguous: isContiguous,
          maxMoves: maxMoves, sizeClass: sizeClass))
    case .applyDefragment(let revision, let moves):
      .applyDefragment(revision: revision, copy(moves))
    case .free(let ids, let ignores): .freeSequences(copy(ids), ignoresMissing: ignores)
    case .decode(let decode):
      .decode(
        Decode(
          sequences: copy(decode.ids), appendCounts: copy(decode.append),
          scheduleCounts: copy(decode.schedule), lookaheadTokens: copy(decode.lookahead),
          inFlightTokens: copy(decode.inFlight), victimOrder: copy(decode.victims),
          blockHashes: bytes(decode.hashes), hashCounts: copy(decode.hashCounts),
          tokenIDs: copy(decode.tokens), delaysCommit: decode.delays,
          commitsPrevious: decode.commitsPrevious))
    }
  }
}

extension KVPool {
  func apply(_ command: TestCommand, into outcome: Outcome) {
    let arena = Arena(hashBytes: configuration.hashBytes)
    let operations = command.operations.map {
      Operation(arena.lower($0.kind), onRefusal: $0.onRefusal)
    }
    operations.withUnsafeBufferPointer { buffer in
      apply(
        Command(
          session: command.session, operations: buffer, ifRevision: command.ifRevision,
          now: command.now, isDryRun: command.isDryRun, isStep: command.isStep,
          acknowledgedCopyID: command.acknowledgedCopyID, tokenBudget: command.tokenBudget,
          refusesAdmissionAfterPreemption: command.refusesAdmissionAfterPreemption,
          onRefusal: command.onRefusal, victimPolicy: command.victimPolicy),
        into: outcome)
    }
    withExtendedLifetime(arena) {}
  }
}

/// An outcome as plain values, to be compared and kept.
struct Seen: Equatable {
  struct Result: Equatable {
    var refusal = Refusal.none
    var newBlocks: [BlockID] = []
    var cached: [BlockID] = []
    var cachedTokens: UInt32 = 0
    var evicted: UInt32 = 0
    var counts: [UInt32] = []
    var refused: [UInt32] = []
    var firstRefusal = Refusal.none
    var preempted: [SequenceID] = []
    var reports: [RungReport] = []
    var nulls: UInt32 = 0
    var nullCounts: [UInt32] = []
    var copies: [CopyOrder] = []
    var scheduled: UInt32 = 0
    var tokens: UInt32 = 0
    var blocksNeeded: UInt32 = 0
    var freed: UInt32 = 0
    var affected: UInt32 = 0
    var block: BlockID = 0
    var computed: UInt32 = 0
    var shared: UInt32 = 0
    var pendingCopies: UInt32 = 0
    var budget: UInt32 = 0
    var availableHost: UInt32 = 0
    var mustZero: [BlockID] = []
    var available: UInt32 = 0
  }

  var revision: Revision = 0
  var refusal = Refusal.none
  var available: UInt32 = 0
  var results: [Result] = []
  /// Copies whose moves were given up.
  var abandoned: [UInt64] = []

  init() {}

  init(_ outcome: Outcome) {
    revision = outcome.revision
    refusal = outcome.refusal
    available = outcome.availableBlocks
    abandoned = Array(outcome.abandoned.elements)
    for result in outcome.results.elements {
      results.append(
        Result(
          refusal: result.refusal, newBlocks: Array(outcome.blocks.elements(result.newBlocks)),
          cached: Array(outcome.cached.elements(result.cachedBlocks)),
          cachedTokens: result.cachedTokens, evicted: result.evictedBlocks,
          counts: Array(outcome.counts.elements(result.counts)),
          refused: Array(outcome.refusedIndexes.elements(result.refusedIndexes)),
          firstRefusal: result.firstRefusal,
          preempted: Array(outcome.preempted.elements(result.preempted)),
          reports: Array(outcome.reports.elements(result.reports)),
          nulls: result.nullBlocks,
          nullCounts: Array(outcome.nullCounts.elements(result.nullCounts)),
          copies: Array(outcome.copies.elements(result.copies)),
          scheduled: result.scheduledTokens, tokens: result.tokens,
          blocksNeeded: result.blocksNeeded, freed: result.freedBlocks, affected: result.affected,
          block: result.block, computed: result.computedTokens, shared: result.sharedBlocks,
          pendingCopies: result.pendingCopies, budget: result.budgetBlocks,
          availableHost: result.availableHostBlocks,
          mustZero: Array(outcome.mustZero.elements(result.mustZero)),
          available: result.availableBlocks))
    }
  }
}

/// A pool with short words for what the hand-worked cases do.
final class Bench {
  let pool: KVPool
  private let outcome = Outcome()

  init(blocks: UInt32, blockSize: UInt32 = 16, copyAck: CopyAck = .explicit) {
    pool = KVPool(PoolConfiguration(blocks: blocks, blockSize: blockSize, copyAck: copyAck))
  }

  init(_ configuration: PoolConfiguration, hasher: (any TokenHashing)? = nil) {
    pool = KVPool(configuration, hasher: hasher ?? TestHasher(configuration))
  }

  init(_ pool: KVPool) { self.pool = pool }

  func apply(_ command: TestCommand) -> Seen {
    pool.apply(command, into: outcome)
    return Seen(outcome)
  }

  @discardableResult
  func run(_ kind: TestOperation.Kind, session: SessionID = 0) -> Seen.Result {
    let seen = apply(TestCommand(session: session, operations: [TestOperation(kind)]))
    return seen.results.first ?? Seen.Result(refusal: seen.refusal)
  }

  /// Adds and admits in one.
  @discardableResult
  func admit(_ id: SequenceID, _ tokens: UInt32) -> Seen.Result {
    run(.admit(.init(id: id, add: .init(id: id, tokens: tokens))))
  }

  func table(_ id: SequenceID, session: SessionID = 0) -> [BlockID] {
    guard let view = pool.describe(session: session, sequence: id) else { return [] }
    return Array(view.blocks)
  }

  func state(_ id: SequenceID) -> SequenceState? {
    pool.describe(session: 0, sequence: id)?.state
  }

  var queue: [BlockID] { pool.freeQueue() }
}
