import KVBlocks

/// The rules of a pool once more, as naively as they can be put: arrays, dictionaries, copies of the
/// whole state. Shares no code with the implementation, and is far too slow to be one.
struct Model {
  struct Key: Hashable {
    var session: SessionID
    var id: SequenceID
  }

  struct Sequence {
    var state = SequenceState.waiting
    var tokens: Int
    var computed = 0
    var table: [BlockID] = []
    var priority: Int32
    var expected = 0
    var label: [UInt8]
    var preemptions = 0
    var admittedRevision: Revision = 0
    var arrival = 0
    var hashes: [UInt64] = []
    var cached = 0
    /// Of a swapped one: leading blocks that could be hit as it left.
    var hittable = 0
    var skips = false
    var keys: [UInt8] = []
    /// The token ids, nil where there is none, and the range of those that the pool keeps.
    var content: [UInt32?] = []
    var kept = 0..<0
    /// Hashes of it came from outside.
    var isHashFed = false
    var retention: [RetentionRange] = []
    var sizeClass = 0
  }

  struct Copy: Equatable {
    var session: SessionID
    var id: UInt64
    var source: BlockID
    var target: BlockID
    var tokens: Int
    var kind = CopyKind.write
  }

  /// Everything that a refused command must leave alone.
  struct State {
    var queue: [BlockID]
    var references: [Int]
    var generation: [UInt32]
    var raw: [SessionID: [BlockID: Int]] = [:]
    var sequences: [Key: Sequence] = [:]
    /// In the order of their admission, of all sessions.
    var running: [Key] = []
    var copies: [Copy] = []
    var promises: [Key: Promise] = [:]
    var lastCopy: [SessionID: UInt64] = [:]
    var arrivals = 0
    var mostUsed = 0
    var handedOut = 0
    var cameBack = 0
    var allocateCalls = 0
    var freeCalls = 0
    var forks = 0
    var copiesOrdered = 0
    var preemptions = 0
    var host = Host()
    var movesMade = 0
    var movesGivenUp = 0
    /// What a block holds, and the blocks that hold something, in the order they came to it.
    var contents: [BlockID: UInt64] = [:]
    var holders: [UInt64: [BlockID]] = [:]
    var evictions = 0
    var evictionsAhead = 0
    var keptFree = 0
    var evictionsBy: [EvictionPolicy: Int] = [:]
    var batch = 0
    var lazy: [[BlockID]] = []
    var rounded: [RoundedRun] = []
    /// Tokens asked for and found, of sequences that were never preempted and of the others.
    var watermark = 0.0
    var eviction = EvictionPolicy.lru
    var known = Known()
    var pins: [Pin] = []
    /// Blocks that anybody ever had.
    var dirty: Set<BlockID> = []
    var clock: UInt64 = 0
    var queries = [0, 0]
    var found = [0, 0]
  }

  let blocks: Int
  let onlySize: Int
  /// Empty in a pool without size classes.
  let classes: [Class]
  /// The class that is looked at.
  var at = 0
  let strategy: AllocationStrategy
  let ack: CopyAck
  let caches: Bool
  let hashBytes: Int
  let eagle: Bool
  let most: Int
  let pinBudget: Int
  let threshold: Double?
  let window: Int
  let mostInFlight: Int
  let lookahead: Int
  let keepsTokens: Bool
  let zeroes: Bool
  /// Sequences are given as token ids, too.
  var hasTokens = false
  var revision: Revision = 0
  var state: State
  var refusals = Array(repeating: 0, count: 17)

  // Of the command at hand.
  var session: SessionID = 0
  var changed = false
  var abandoned: [UInt64] = []
  var now: UInt64 = 0
  var readsClock = false
  /// Of the operation at hand: what it handed out that somebody had before.
  var second: [BlockID] = []
  /// Not undone: they only say that a walk met something.
  var pinsMade = 0
  var pinsEnded = 0
  var preemptedSomething = false
  var budget: Int?
  var policy = VictimPolicy.fcfs
  /// Tokens that each sequence was given slots for.
  var scheduledNow: [Key: Int] = [:]
  var noAdmissions = false
  var gaveBack = false
  var isHopeless = false
  /// Whether a window moved in the decode at hand.
  var slid = false
  /// Admissions of sequences that had a promise, to see that a walk met some.
  var keptPromises = 0
  /// Frees that waited for their batch.
  var flushedFrees = 0
  /// Blocks that flushes evicted.
  var flushed = 0
  /// Refusals by the threshold.
  var overThreshold = 0
  /// Victims of policies.
  var chosenVictims: [VictimPolicy: Int] = [:]
  /// Recoveries that preempted somebody.
  var recovered = 0
  /// Recoveries of runs that did so, that moved blocks, and that did both.
  var recoveredRuns = [0, 0, 0]

  init(_ configuration: PoolConfiguration) {
    blocks = Int(configuration.blocks)
    onlySize = Int(configuration.blockSize)
    classes = Self.classes(of: configuration)
    ack = configuration.copyAck
    strategy = configuration.strategy
    caches = configuration.cachesPrefixes
    hashBytes = configuration.hashBytes
    eagle = configuration.eagle
    most = configuration.maxModelTokens == 0 ? 2_147_483_647 : Int(configuration.maxModelTokens)
    pinBudget = Int(configuration.pinBudgetBlocks)
    threshold = configuration.admission.threshold
    window = Int(configuration.slidingWindow)
    mostInFlight = Int(configuration.maxInFlightTokens)
    lookahead = Int(configuration.hashLookaheadTokens)
    keepsTokens = configuration.keepsTokens
    zeroes = configuration.zeroesOnFree
    state = State(
      queue: (1...configuration.blocks).map { $0 },
      references: Array(repeating: 0, count: blocks + 1),
      generation: Array(repeating: 0, count: blocks + 1), watermark: configuration.watermark,
      eviction: configuration.eviction)
    state.keptFree = Int(configuration.admission.proactiveFreeBlocks)
    state.batch = Int(configuration.admission.lazyFreeBatch)
    if configuration.hostBlocks > 0 {
      state.host.queue = (1...configuration.hostBlocks).map { $0 }
      state.host.size = Int(configuration.hostBlocks)
    }
  }

  // MARK: The command

  mutating func apply(_ command: TestCommand) -> Seen {
    var seen = Seen()
    seen.revision = revision
    if command.ifRevision != 0 && command.ifRevision != revision {
      seen.refusal = Refusal(.revisionMoved, field: .ifRevision, subject: revision)
    } else if command.acknowledgedCopyID > state.lastCopy[command.session, default: 0] {
      seen.refusal = Refusal(
        .invalid, field: .acknowledgedCopyID, limit: state.lastCopy[command.session, default: 0])
    }
    if seen.refusal.reason != .none {
      seen.available = UInt32(availableInAll)
      if !command.isDryRun { refusals[Int(seen.refusal.reason.rawValue)] += 1 }
      return seen
    }

    let before = state
    at = 0
    session = command.session
    changed = false
    abandoned = []
    preemptedSomething = false
    budget = command.tokenBudget == 0 ? nil : Int(command.tokenBudget)
    policy = command.victimPolicy
    scheduledNow = [:]
    noAdmissions = command.refusesAdmissionAfterPreemption
    startClock(command.now)
    if command.isStep && ack == .nextStep {
      finish(state.copies.filter { $0.session == session })
    } else {
      let last = command.acknowledgedCopyID
      finish(state.copies.filter { $0.session == session && $0.id <= last })
    }

    var isStopped = false
    for operation in command.operations {
      var result = Seen.Result()
      if isStopped {
        result.refusal = Refusal(.notAttempted)
      } else {
        let mode = operation.onRefusal == .inherit ? command.onRefusal : operation.onRefusal
        let handedOut = state.handedOut
        let evictions = state.evictions
        gaveBack = false
        at = 0
        do throws(Refusal) {
          second = []
          try perform(operation.kind, mode, &result)
          listDirty(&result)
        } catch {
          result.refusal = error
          // Host blocks are of no class.
          if case .swapOut = operation.kind {} else { result.refusal = named(error) }
        }
        if state.handedOut > handedOut { state.allocateCalls += 1 }
        if gaveBack { state.freeCalls += 1 }
        result.evicted = UInt32(state.evictions - evictions)
        let refusal = result.refusal.reason == .none ? result.firstRefusal : result.refusal
        if refusal.reason != .none {
          if mode == .abort {
            state = before
            var aborted = Seen()
            aborted.revision = revision
            aborted.refusal = refusal
            aborted.available = UInt32(availableInAll)
            if !command.isDryRun { refusals[Int(refusal.reason.rawValue)] += 1 }
            return aborted
          }
          if mode == .stop { isStopped = true }
          if mode == .preempt, case .admit = operation.kind { isStopped = true }
        }
      }
      result.available = UInt32(availableInAll)
      seen.results.append(result)
    }
    seen.abandoned = abandoned
    seen.available = UInt32(availableInAll)
    if command.isDryRun {
      state = before
      return seen
    }
    for result in seen.results {
      if result.refusal.reason != .none { refusals[Int(result.refusal.reason.rawValue)] += 1 }
      if result.firstRefusal.reason != .none {
        refusals[Int(result.firstRefusal.reason.rawValue)] += 1
      }
    }
    if changed {
      revision += 1
      if readsClock { state.clock = max(state.clock, now) }
    }
    seen.revision = revision
    return seen
  }

  private mutating func perform(
    _ kind: TestOperation.Kind, _ mode: OnRefusal, _ result: inout Seen.Result
  ) throws(Refusal) {
    switch kind {
    case .allocate(let count):
      try allocate(Int(count), &result)
    case .place(let count, let isContiguous, let preferred, let sizeClass):
      try look(atNumber: sizeClass)
      try place(Int(count), isContiguous, preferred, &result)
    case .freeBlocks(let ids, let generations): try freeBlocks(ids, generations, &result)
    case .forkBlocks(let ids, let generations): try forkBlocks(ids, generations, &result)
    case .copyOnWrite(let id, let filled): try copyOnWrite(id, Int(filled), &result)
    case .acknowledge(let ids, let upTo): try acknowledge(ids, upTo, &result)
    case .add(let new):
      try check(new)
      create(new)
      result.tokens = new.tokens
      result.blocksNeeded = UInt32(blocksFor(Int(new.tokens)))
    case .admit(let admit): try self.admit(admit, &result)
    case .extend(let extend, let hashes, let ids):
      try self.extend(extend, hashes, ids, mode, &result)
    case .append(let id, let tokens, let hashes, let ids):
      try append(id, Int(tokens), hashes, ids, &result)
    case .commit(let id, let tokens): try commit(id, Int(tokens), &result)
    case .acquire(let hashes, let count, let sizeClass):
      try look(atNumber: sizeClass)
      try acquire(hashes, Int(count), &result)
    case .cacheBlocks(let ids, let hashes): try cacheBlocks(ids, hashes, &result)
    case .evictBlocks(let ids): try evictBlocks(ids, &result)
    case .resetPrefixCache: try resetCache(&result)
    case .updatePool(let update): try self.update(update)
    case .resetAfterPreempting: try resetAfterPreempting(&result)
    case .pin(let hashes, let ttl, let unpins, let ids, let sizeClass):
      try look(atNumber: sizeClass)
      try pin(hashesToPin(hashes, ids), ttl, unpins, &result)
    case .fork(let parent, let children): try fork(parent, children, &result)
    case .rewind(let rewind): try self.rewind(rewind, &result)
    case .preempt(let ids): try preempt(ids, &result)
    case .swapOut(let ids): try swapOut(ids, &result)
    case .swapIn(let ids): try swapIn(ids, &result)
    case .applyDefragment(let planned, let moves): try apply(planned, moves, &result)
    case .free(let ids, let ignores): try free(ids, ignores, &result)
    case .reserve(let request): try reserve(request, &result)
    case .flush: flush(&result)
    case .recover(let needed, let rungs, let keep, let isContiguous, let most, let sizeClass):
      try look(atNumber: sizeClass)
      try recover(Int(needed), rungs, keep, run: isContiguous, Int(most), &result)
    case .decode(let decode): try self.decode(decode, mode, &result)
    }
  }

  // MARK: Blocks

  func blocksFor(_ slots: Int) -> Int { slots / size + (slots % size == 0 ? 0 : 1) }

  func pins(_ block: BlockID) -> Int {
    state.copies.reduce(isKept(block) ? 1 : 0) {
      $0 + deviceEnds($1).count { $0 == block }
    }
  }

  /// Takes from the head of the queue, or where the strategy says.
  mutating func take(_ count: Int) -> [BlockID] {
    flush(for: count)
    let taken = chosen(count)
    handOut(taken)
    return taken
  }

  /// Drops a reference to each, in order. What is free now goes to the front in that order.
  @discardableResult
  mutating func giveBack(_ entries: [BlockID]) -> Int {
    let list = entries.filter { $0 != 0 }
    var free: [BlockID] = []
    for block in list {
      state.references[Int(block)] -= 1
      if state.references[Int(block)] == 0 && pins(block) == 0 { free.append(block) }
    }
    if !list.isEmpty {
      gaveBack = true
      changed = true
    }
    return giveUp(free)
  }

  /// Blocks without content go to the front of the queue, the others to its end. Returns how many
  /// became available.
  @discardableResult
  mutating func line(up given: [BlockID]) -> Int {
    let free = given + leaveRuns(given)
    state.queue.insert(contentsOf: free.filter { state.contents[$0] == nil }, at: 0)
    let cached = free.filter { state.contents[$0] != nil }
    state.queue += cached
    arrived(cached)
    state.cameBack += free.count
    arrange()
    return free.count
  }

  /// The copies are done. Returns how many blocks became available.
  @discardableResult
  mutating func finish(_ done: [Copy]) -> Int {
    var free: [BlockID] = []
    var hostFree: [BlockID] = []
    for copy in done {
      state.copies.removeAll { $0 == copy }
      changed = true
      if copy.kind == .move { settle(copy) }
      hostFree += freedHosts(copy, hostFree)
      for block in deviceEnds(copy)
      where state.references[Int(block)] == 0 && pins(block) == 0 && !free.contains(block) {
        free.append(block)
      }
    }
    let count = line(up: free)
    state.host.queue = hostFree + state.host.queue
    return count
  }

  func mayWrite(_ block: BlockID, from slot: Int) -> Bool {
    if state.references[Int(block)] > 1 || isKept(block) { return false }
    return !state.copies.contains { deviceEnds($0).contains(block) && $0.tokens > slot }
  }

  /// A reference to `source` becomes one to a new block.
  mutating func move(
    _ source: BlockID, tokens: Int, sequence: SequenceID, index: Int, raw: Bool
  ) -> CopyOrder {
    let target = take(1)[0]
    let id = state.lastCopy[session, default: 0] + 1
    state.lastCopy[session] = id
    state.copies.append(
      Copy(session: session, id: id, source: source, target: target, tokens: tokens))
    state.references[Int(source)] -= 1
    state.copiesOrdered += 1
    return CopyOrder(
      id: id, source: source, target: target, tokens: UInt32(tokens), sequence: sequence,
      tableIndex: UInt32(index), isRaw: raw)
  }
}
