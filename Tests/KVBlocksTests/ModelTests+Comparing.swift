import KVBlocks

/// The whole pool beside the whole model.
extension ModelTests {
  /// nil = the log of `other`, if it has one, says of contents what `log` says of them, and nothing else unless it
  /// is of everything.
  func differentContents(_ log: ChangeLog, _ other: KVPool, isOfAll: Bool) -> String? {
    guard let contents = other.changeLog else { return nil }
    if !isOfAll && ContentNotes.hasMore(contents) { return "a log of contents says more than that" }
    let (expected, told) = (ContentNotes(log), ContentNotes(contents))
    return told == expected ? nil : "a log of contents: \(told) instead of \(expected)"
  }

  func differences(_ pool: KVPool, _ model: Model) -> String? {
    if pool.freeQueue() != model.queueByClass {
      return "queue: \(pool.freeQueue()) instead of \(model.queueByClass)"
    }
    var pins = Array(repeating: UInt16(0), count: model.blocks + 1)
    for id in 1...UInt32(model.blocks) where model.isKept(id) { pins[Int(id)] += 1 }
    for copy in model.state.copies {
      for block in model.deviceEnds(copy) { pins[Int(block)] += 1 }
    }
    var parts = [BlockState.free: 0, .cached: 0, .active: 0, .shared: 0, .pinned: 0]
    let waiting = Set(model.pending)
    for id in 1...UInt32(model.blocks) {
      let view = pool.block(id)
      let references = model.state.references[Int(id)]
      if Int(view.refCount) != references || view.pins != pins[Int(id)]
        || view.generation != model.state.generation[Int(id)]
      {
        return "block \(id): \(view), \(references) references in the model"
      }
      let state: BlockState =
        references > 1
        ? .shared
        : references == 1
          ? .active
          : pins[Int(id)] > 0
            ? .pinned
            : waiting.contains(id) ? .pending : model.content(id) != nil ? .cached : .free
      if pool.content(id)?.words.0 != model.content(id) { return "block \(id) holds otherwise" }
      if let content = model.content(id),
        pool.twins(of: id)
          != model.state.holders[content]?.filter({
            model.classOf($0) == model.classOf(id)
          })
      {
        return "content \(content): \(pool.twins(of: id))"
      }
      if view.state != state { return "block \(id) is \(view.state) instead of \(state)" }
      parts[state, default: 0] += 1
    }
    return differentSequences(pool, model) ?? differentStats(pool.stats(), model, parts)
      ?? differentHolds(pool, model) ?? differentHosts(pool, model)
      ?? (model.classes.isEmpty ? nil : model.different(pool.layout()))
  }

  private func differentSequences(_ pool: KVPool, _ model: Model) -> String? {
    var met = 0
    var cursor: UInt32 = 0
    while let (view, next) = pool.nextSequence(from: cursor) {
      cursor = next
      met += 1
      let key = Model.Key(session: view.session, id: view.sequence)
      guard let expected = model.state.sequences[key] else { return "\(key) should not exist" }
      if view.state != expected.state || Int(view.tokens) != expected.tokens
        || Int(view.computedTokens) != expected.computed || Array(view.blocks) != expected.table
        || Int(view.preemptions) != expected.preemptions || view.priority != expected.priority
        || Array(view.label) != expected.label
        || view.admittedRevision != expected.admittedRevision
        || Int(view.knownHashes) != expected.hashes.count
        || Int(view.cachedBlocks) != expected.cached
      {
        return "\(key): \(view) with \(Array(view.blocks)) instead of \(expected)"
      }
      let exclusive = expected.table.count { model.references(of: $0, in: expected) == 1 }
      if Int(view.exclusiveBlocks) != exclusive { return "\(key) has \(exclusive) of its own" }
      let held = expected.table.count { $0 != 0 }
      if Int(view.sharedBlocks) != held - exclusive { return "\(key): shared" }
      if pool.describe(session: key.session, sequence: key.id)?.tokens != view.tokens {
        return "\(key) is not found by its id"
      }
    }
    return met == model.state.sequences.count ? nil : "\(met) sequences"
  }

  private func differentHolds(_ pool: KVPool, _ model: Model) -> String? {
    for session in Walk.sessions {
      let raw = model.state.raw[session] ?? [:]
      let sequences = model.state.sequences.keys.count { $0.session == session }
      let holds = pool.holds(session: session)
      if Int(holds.rawBlocks) != raw.count || Int(holds.sequences) != sequences {
        return "session \(session) holds \(holds)"
      }
      let pins = pool.pinnedPrefixes(session: session)
      let expected = model.state.pins.filter { $0.session == session }
      if pins.map(\.blocks) != expected.map(\.blocks)
        || pins.map(\.expires) != expected.map({ $0.expires ?? 0 })
        || Int(pool.pinnedBlocks(session: session)) != model.keptBlocks(session).count
      {
        return "session \(session) pins \(pins) instead of \(expected)"
      }
      if let wrong = differentPromises(pool, model, session) { return wrong }
      for (block, count) in raw
      where Int(pool.rawReferences(session: session, block: block)) != count {
        return "session \(session) holds block \(block) \(count) times"
      }
    }
    return nil
  }

  private func differentStats(
    _ stats: PoolStats, _ model: Model, _ parts: [BlockState: Int]
  ) -> String? {
    var expected = PoolStats()
    expected.revision = model.revision
    expected.blocks = UInt32(model.blocks)
    expected.blockSize = UInt32(model.onlySize)
    expected.free = UInt32(parts[.free] ?? 0)
    expected.cached = UInt32(parts[.cached] ?? 0)
    expected.lazyPending = UInt32(parts[.pending] ?? 0)
    expected.evictions = UInt64(model.state.evictions)
    expected.evictionsAhead = UInt64(model.state.evictionsAhead)
    var byOthers = 0
    for (policy, count) in model.state.evictionsBy where policy != .lru {
      expected.evictionsByPolicy[Int(policy.rawValue)] = UInt64(count)
      byOthers += count
    }
    expected.evictionsByPolicy[1] = UInt64(model.state.evictions - byOthers)
    expected.prefixQueryTokens = UInt64(model.state.queries[0])
    expected.prefixHitTokens = UInt64(model.state.found[0])
    expected.preemptedQueryTokens = UInt64(model.state.queries[1])
    expected.preemptedHitTokens = UInt64(model.state.found[1])
    expected.active = UInt32(parts[.active] ?? 0)
    expected.shared = UInt32(parts[.shared] ?? 0)
    expected.pinned = UInt32(parts[.pinned] ?? 0)
    expected.reserved = UInt32(model.promisedInAll)
    if model.threshold != nil {
      expected.admissionLimit = UInt32(model.thresholdBlocks)
      expected.owed = UInt64(model.owed)
    }
    expected.rounding = UInt32(model.state.rounded.reduce(0) { $0 + $1.rest.count })
    expected.highWatermark = UInt32(model.state.mostUsed)
    for sequence in model.state.sequences.values {
      switch sequence.state {
      case .waiting: expected.waitingSequences += 1
      case .running: expected.runningSequences += 1
      case .preempted: expected.preemptedSequences += 1
      case .swapped: expected.swappedSequences += 1
      }
    }
    expected.pendingCopies = UInt32(model.state.copies.count)
    expected.allocateCalls = UInt64(model.state.allocateCalls)
    expected.allocatedBlocks = UInt64(model.state.handedOut)
    expected.freeCalls = UInt64(model.state.freeCalls)
    expected.freedBlocks = UInt64(model.state.cameBack)
    expected.forks = UInt64(model.state.forks)
    expected.copies = UInt64(model.state.copiesOrdered)
    expected.preemptions = UInt64(model.state.preemptions)
    expected.movedBlocks = UInt64(model.state.movesMade)
    expected.abandonedMoves = UInt64(model.state.movesGivenUp)
    model.addHost(to: &expected)
    expected.refusals = model.refusals.map { UInt64($0) }
    return stats == expected ? nil : "stats: \(stats) instead of \(expected)"
  }
}
