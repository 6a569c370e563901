import KVBlocks
import TestSupport

/// Draws commands that are plausible in the model's state, and now and then ones that are not.
struct Walk {
  var random: SplitMix64
  let blocks: UInt32
  let size: UInt32
  /// Nothing below is drawn for a pool without a cache, so that its walks stay what they were.
  let caches: Bool
  /// The same for pins and clocks, and for a pool with a host tier.
  var pins = false
  var swaps = false
  /// The same for token ids.
  var feedsTokens = false
  /// The same for promises, lazy frees and the like.
  var admission = false
  /// The same for flushes.
  var flushes = false
  /// The same for sequences that say how long they will be.
  var reserves = false
  var lazies = false
  var keepsFree = false
  /// The same for allocations that say where.
  var places = false
  /// Nor for size classes.
  var classes: [SizeClass] = []
  /// Nor is anything drawn for windows in a pool that has none.
  var hasWindow = false
  /// Whether eviction policies are switched.
  var switches = true
  var moves = false
  /// Whether steps say how victims are chosen.
  var choosesVictims = false
  /// Whether runs are recovered.
  var recovers = false
  static let sessions: [SessionID] = [0, 7, 1 << 40]

  init(seed: UInt64, blocks: UInt32, size: UInt32, caches: Bool = false) {
    self.caches = caches
    random = SplitMix64(seed: seed)
    self.blocks = blocks
    self.size = size
  }

  mutating func below(_ n: Int) -> Int { Int(random.next() % UInt64(n)) }
  mutating func one(in n: Int) -> Bool { below(n) == 0 }
  mutating func pick<T>(_ list: [T]) -> T { list[below(list.count)] }

  mutating func command(_ model: Model) -> TestCommand {
    var command = TestCommand()
    command.session = one(in: 3) ? pick(Self.sessions) : 0
    command.isStep = one(in: 3)
    command.isDryRun = one(in: 12)
    if one(in: 12) { command.ifRevision = one(in: 3) ? model.revision + 1 : model.revision }
    if one(in: 12) {
      let last = model.state.lastCopy[command.session, default: 0]
      command.acknowledgedCopyID = one(in: 6) ? last + 1 : UInt64(below(Int(last) + 1))
    }
    if one(in: 5) { command.tokenBudget = UInt32(1 + below(Int(size) * 8)) }
    command.refusesAdmissionAfterPreemption = one(in: 4)
    command.onRefusal = mode()
    if choosesVictims { command.victimPolicy = pick([.fcfs, .priority, .priority, .cost]) }
    if pins { addClock(to: &command, model) }
    for _ in 0..<(one(in: 3) ? 1 + below(6) : 1) {
      var operation = TestOperation(kind(model, command.session))
      if one(in: 3) { operation.onRefusal = mode() }
      command.operations.append(operation)
    }
    if !classes.isEmpty { chooseClasses(&command, model) }
    if feedsTokens { feedTokens(&command, model) }
    return command
  }

  private mutating func mode() -> OnRefusal {
    pick([.inherit, .continue, .continue, .stop, .preempt, .preempt, .abort])
  }

  // MARK: Names

  mutating func sequence() -> SequenceID { SequenceID(1 + below(14)) }

  mutating func sequences(_ model: Model, _ session: SessionID) -> [SequenceID] {
    if one(in: 4) { return (0..<below(5)).map { _ in sequence() } }
    var ids = model.state.running.filter { $0.session == session }.map(\.id)
    if one(in: 2) { ids.shuffle(using: &random) }
    if one(in: 2) { ids = Array(ids.prefix(1 + below(4))) }
    if one(in: 20), let first = ids.first { ids.append(first) }
    return ids
  }

  mutating func block(_ model: Model, _ session: SessionID) -> BlockID {
    if one(in: 12) { return UInt32(below(Int(blocks) + 2)) }
    let raw = (model.state.raw[session] ?? [:]).keys.sorted()
    if raw.isEmpty || one(in: 5) {
      let tables = model.state.sequences.values.flatMap(\.table).sorted()
      return tables.isEmpty ? UInt32(1 + below(Int(blocks))) : pick(tables)
    }
    return pick(raw)
  }

  private mutating func generations(_ ids: [BlockID], _ model: Model) -> [UInt32] {
    switch below(8) {
    case 0:
      return ids.map { $0 <= blocks ? model.state.generation[Int($0)] : 0 }
    case 1: return ids.prefix(1).map { $0 <= blocks ? model.state.generation[Int($0)] : 0 }
    case 2 where one(in: 3): return ids.map { _ in UInt32(below(9)) }
    case 3 where one(in: 3): return (0..<below(4)).map { _ in 1 }
    default: return []
    }
  }

  private mutating func tokens() -> UInt32 {
    switch below(40) {
    case 0: 0
    case 1: blocks * size + UInt32(below(20))
    case 2: UInt32.max - UInt32(below(3))
    default: UInt32(1 + below(Int(min(size * 6, size * blocks / 3 + 2))))
    }
  }

  private mutating func few() -> UInt32 {
    switch below(30) {
    case 0: size * blocks * 2
    case 1: .max
    case 2...9: UInt32(1 + below(Int(size) * 2 + 2))
    default: 0
    }
  }

  private mutating func new(_ id: SequenceID) -> TestOperation.New {
    var new = TestOperation.New(
      id: id, tokens: tokens(), priority: Int32(below(7)) - 3,
      label: (0..<(one(in: 3) ? below(20) : 0)).map { _ in UInt8(97 + below(26)) })
    if reserves { new.expected = one(in: 3) ? 0 : UInt32(below(Int(size * blocks) / 3)) }
    if !classes.isEmpty { chooseClass(of: &new) }
    if caches {
      new.hashes = hashes(behind: [], tokens: Int(new.tokens), sizeOf(new))
      new.skips = one(in: 10)
      if pins { new.retention = retention() }
    }
    return new
  }

  /// Hashes that go on as one of a few documents does, with a turn of their own now and then;
  /// sometimes none, or a wrong number.
  private mutating func hashes(
    behind known: [UInt64], tokens: Int, _ size: UInt32
  ) -> [UInt64] {
    var missing = tokens / Int(size) - known.count
    if missing > 200 || one(in: 12) { return [] }
    if one(in: 30) { missing += 1 - below(3) }
    var list = known
    for _ in 0..<max(0, missing) {
      var last = list.last ?? UInt64(1 + below(3)) * 1_000
      if one(in: 25) { last = UInt64(1 + below(5)) * 1_000 }
      list.append(last / 1_000 * 1_000 + UInt64(list.count) + 1)
    }
    return Array(list.dropFirst(known.count))
  }

  private mutating func more(_ model: Model, _ session: SessionID) -> TestOperation.Kind {
    let document = UInt64(1 + below(4)) * 1_000
    let chain = (0..<UInt64(below(6))).map { document + $0 + 1 }
    let running = sequences(model, session)
    switch below(9) {
    case 0, 1:
      return .commit(
        running.isEmpty ? sequence() : pick(running),
        one(in: 2) ? 0 : UInt32(below(Int(size) * 6)))
    case 2, 3, 4: return .acquire(chain, one(in: 3) ? 0 : UInt32(below(4)))
    case 5, 6:
      let ids = chain.map { _ in block(model, session) }
      return .cacheBlocks(ids, one(in: 20) ? [7] : chain)
    case 7: return .evictBlocks((0..<below(4)).map { _ in block(model, session) })
    default: return .resetPrefixCache
    }
  }

  // MARK: Operations

  private mutating func kind(_ model: Model, _ session: SessionID) -> TestOperation.Kind {
    if pins && one(in: 9) { return pin(model, session) }
    if pins && one(in: 60) { return update() }
    if moves && one(in: 5) { return defragment(model, session) }
    if swaps && one(in: 5) { return swap(model, session) }
    if recovers && one(in: 8) { return recoverRun(model) }
    if admission && one(in: 8) { return admission(model, session) }
    if places && one(in: 8) { return place(model) }
    if caches && one(in: 6) { return more(model, session) }
    switch below(40) {
    case 0...2:
      return .allocate(one(in: 15) ? few() : UInt32(1 + below(Int(blocks) / 5 + 1)))
    case 3...6:
      var ids = (0..<(1 + below(6))).map { _ in block(model, session) }
      if one(in: 3) {
        ids = (model.state.raw[session] ?? [:]).keys.sorted()
        ids.shuffle(using: &random)
      } else if !one(in: 4) {
        ids = Array(Set(ids)).sorted()
      }
      return .freeBlocks(ids, generations: generations(ids, model))
    case 7, 8:
      let ids = (0..<below(5)).map { _ in block(model, session) }
      return .forkBlocks(ids, generations: generations(ids, model))
    case 9, 10:
      return .copyOnWrite(
        block(model, session), filled: one(in: 3) ? UInt32(below(Int(size) + 2)) : 0)
    case 11, 12:
      let pending = model.state.copies.filter { $0.session == session }.map(\.id)
      var ids: [UInt64] = []
      if !pending.isEmpty {
        ids = (0..<below(4)).map { _ in pick(pending) }
        if !one(in: 3) { ids = Array(Set(ids)).sorted() }
      }
      if one(in: 10) { ids.append(UInt64(below(30))) }
      let last = model.state.lastCopy[session, default: 0]
      return .acknowledge(ids, upTo: one(in: 3) ? UInt64(below(Int(last) + 2)) : 0)
    case 13, 14: return .add(new(sequence()))
    case 15...21:
      var id = sequence()
      var add: TestOperation.New?
      if one(in: 2) {
        add = new(id)
        if one(in: 3) { id = one(in: 5) ? id + 1 : 0 }
      } else if !one(in: 4) {
        let waiting = model.state.sequences.filter {
          $0.key.session == session && $0.value.state != .running
        }
        .keys.map(\.id).sorted()
        if !waiting.isEmpty { id = pick(waiting) }
      }
      var admit = TestOperation.TestAdmit(
        id: id, add: add, keeps: one(in: 3), maxTokensNow: few(), lookahead: few(),
        partial: one(in: 3), reserved: one(in: 4) ? UInt32(below(Int(blocks))) : 0)
      if caches {
        admit.delays = one(in: 4)
        admit.ignoresWatermark = one(in: 3)
        admit.external = one(in: 8) ? UInt32(below(Int(size) * 4)) : 0
      }
      return .admit(admit)
    case 22...24:
      let ids = sequences(model, session)
      var extend = Extend(
        sequence: ids.isEmpty ? sequence() : pick(ids), appendTokens: few(), maxTokensNow: few(),
        lookaheadTokens: few(), reservedBlocks: one(in: 6) ? UInt32(below(Int(blocks))) : 0)
      if hasWindow { extend.inFlightTokens = inFlight() }
      if !caches { return .extend(extend) }
      extend.delaysCommit = one(in: 4)
      return .extend(
        extend, hashes: next(model, session, extend.sequence, Int(extend.appendTokens)))
    case 25:
      let id = sequence()
      let tokens = one(in: 10) ? few() : UInt32(1 + below(Int(size)))
      return .append(id, tokens, hashes: caches ? next(model, session, id, Int(tokens)) : [])
    case 26...28:
      let ids = sequences(model, session)
      return .fork(
        ids.isEmpty ? sequence() : pick(ids), (0..<below(4)).map { _ in sequence() })
    case 29, 30:
      let ids = sequences(model, session)
      return .rewind(
        Rewind(
          sequence: ids.isEmpty ? sequence() : pick(ids),
          uncomputeTokens: one(in: 2) ? UInt32(below(Int(size) + 3)) : 0,
          dropTokens: one(in: 2) ? UInt32(below(Int(size) + 3)) : 0, releasesBlocks: one(in: 2)))
    case 31: return .preempt(Array(sequences(model, session).prefix(2)))
    case 32, 33:
      return .free(
        one(in: 2) ? Array(sequences(model, session).prefix(2)) : [sequence()],
        ignoresMissing: one(in: 2))
    default: return .decode(decode(model, session))
    }
  }

  private mutating func next(
    _ model: Model, _ session: SessionID, _ id: SequenceID, _ tokens: Int
  ) -> [UInt64] {
    guard let sequence = model.state.sequences[.init(session: session, id: id)] else { return [] }
    return hashes(
      behind: sequence.hashes, tokens: sequence.tokens + tokens,
      classes.isEmpty ? size : classes[sequence.sizeClass].blockSize)
  }

  private mutating func addHashes(
    to decode: inout TestOperation.TestDecode, _ model: Model, _ session: SessionID
  ) {
    decode.delays = one(in: 4)
    decode.commitsPrevious = one(in: 3)
    for (i, id) in decode.ids.enumerated() {
      let key = Model.Key(session: session, id: id)
      let isRunning = model.state.sequences[key]?.state == .running
      let tokens = i < decode.append.count ? Int(decode.append[i]) : 1
      let list = isRunning ? next(model, session, id, tokens) : []
      decode.hashes += list
      decode.hashCounts.append(UInt32(list.count))
    }
    if one(in: 4) { decode.hashCounts = [] }
    if one(in: 30) { decode.hashCounts.append(0) }
    if one(in: 30) { decode.hashes.append(1) }
  }

  private mutating func decode(
    _ model: Model, _ session: SessionID
  ) -> TestOperation.TestDecode {
    let ids = sequences(model, session)
    var decode = TestOperation.TestDecode(ids: ids)
    if one(in: 3) { decode.append = ids.map { _ in UInt32(below(Int(size) + 2)) } }
    if one(in: 40) { decode.append = ids.map { _ in few() } }
    if one(in: 5) { decode.schedule = ids.map { _ in UInt32(below(4)) } }
    switch below(8) {
    case 0: decode.lookahead = [UInt32(below(5))]
    case 1: decode.lookahead = ids.map { _ in UInt32(below(5)) }
    case 2 where one(in: 4): decode.lookahead = [1, 2, 3]
    default: break
    }
    if one(in: 40) { decode.schedule.append(1) }
    if one(in: 3) { decode.victims = (0..<below(8)).map { _ in sequence() } }
    if caches { addHashes(to: &decode, model, session) }
    if hasWindow { addInFlight(to: &decode) }
    return decode
  }
}
