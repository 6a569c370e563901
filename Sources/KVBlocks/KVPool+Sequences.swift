/// Sequences come, grow, branch, shrink and go.
extension KVPool {
  func add(_ new: AddSequence, _ result: inout OperationResult) throws(Refusal) {
    try checkNew(new)
    create(new, hashes(of: new))
    result.tokens = new.tokens
    result.blocksNeeded = blocksFor(UInt64(new.tokens))
  }

  func checkNew(_ new: AddSequence) throws(Refusal) {
    try checkContent(of: new)
    if run.slot != SequenceSlot.none
      && sequences.find(new.sequence, session: run.slot) != SequenceSlot.none
    {
      throw Refusal(.sequenceExists, sequence: new.sequence)
    }
    try checkSequences(1, .none, new.sequence)
  }

  func checkContent(of new: AddSequence) throws(Refusal) {
    useClass(try sizeClass(of: new))
    if new.tokens == 0 {
      throw Refusal(.invalid, field: .tokenCount, limit: 1, sequence: new.sequence)
    }
    if new.tokens > tokenLimit {
      throw Refusal(
        .invalid, field: .tokenCount, limit: UInt64(tokenLimit), sequence: new.sequence)
    }
    try checkHashes(
      new.blockHashes, of: SequenceSlot.none, tokens: new.tokens, new.sequence)
    try checkTokenIDs(new.tokenIDs, tokens: new.tokens, new.blockHashes, new.sequence)
    if let chains, new.extraKeys.count > 0 && new.tokenIDs.count > 0 {
      try checkKeys(
        new.extraKeys, from: 0, to: chains.hashable(new.tokens) * blockSize,
        new.sequence)
    }
    try checkRetention(new)
  }

  /// The hashes that a new sequence comes with, or those of its tokens; until the next such call.
  func hashes(of new: AddSequence) -> UnsafeBufferPointer<UInt8> {
    guard let chains, new.tokenIDs.count > 0 else { return new.blockHashes }
    return chains.hashesOfNew(new.tokenIDs, extraKeys: new.extraKeys)
  }

  /// The waiting sequence that `checkNew` let through.
  @discardableResult
  func create(_ new: AddSequence, _ hashes: UnsafeBufferPointer<UInt8>) -> UInt32 {
    let session = ensureSession()
    let slot = sequences.create(
      new.sequence, session: session, state: .waiting, tokens: new.tokens, priority: new.priority,
      expectedTokens: new.expectedTokens, sizeClass: run.sizeClass, label: new.label)
    if let chains {
      chains.start(
        slot, hashes, extraKeys: new.extraKeys, skipsLookup: new.skipsPrefixLookup)
      chains.startRetention(new.retention, of: slot)
      chains.startTokens(new.tokenIDs, of: slot)
    }
    sequences.index.set(new.sequence, session, to: slot + 1)
    sessions.save(session)
    sessions.slots[Int(session)].sequences += 1
    run.changed = true
    return slot
  }

  /// The slot of a sequence that must exist.
  @inline(__always)
  func slot(of id: SequenceID) throws(Refusal) -> UInt32 {
    let slot =
      run.slot == SequenceSlot.none ? SequenceSlot.none : sequences.find(id, session: run.slot)
    if slot == SequenceSlot.none { throw Refusal(.unknownSequence, sequence: id) }
    useClass(of: slot)
    return slot
  }

  func append(
    _ id: SequenceID, _ tokens: UInt32, _ hashes: UnsafeBufferPointer<UInt8>,
    _ ids: UnsafeBufferPointer<UInt32>, _ result: inout OperationResult
  ) throws(Refusal) {
    let slot = try slot(of: id)
    if tokens == 0 { throw Refusal(.invalid, field: .tokenCount, limit: 1, sequence: id) }
    try append(tokens, hashes, ids, to: slot)
    result.tokens = sequences.slots[Int(slot)].tokens
  }

  /// Records tokens: a fact, whatever becomes of their slots.
  func append(
    _ tokens: UInt32, _ hashes: UnsafeBufferPointer<UInt8>, _ ids: UnsafeBufferPointer<UInt32>,
    to slot: UInt32
  ) throws(Refusal) {
    if tokens == 0 && hashes.count == 0 && ids.count == 0 { return }
    let sequence = sequences.slots + Int(slot)
    if tokens > tokenLimit - sequence.pointee.tokens {
      throw Refusal(
        .invalid, field: .tokenCount, limit: UInt64(tokenLimit), sequence: sequence.pointee.id)
    }
    try checkHashes(
      hashes, of: slot, tokens: sequence.pointee.tokens + tokens, sequence.pointee.id)
    try checkTokenIDs(ids, tokens: tokens, hashes, sequence.pointee.id)
    if ids.count > 0 { try checkKeys(of: slot, appending: tokens) }
    chains?.append(hashes, to: slot)
    chains?.append(ids, behind: sequence.pointee.tokens, to: slot)
    sequences.save(slot)
    sequence.pointee.tokens += tokens
    activity.tally.appendedTokens += UInt64(tokens)
    settle(slot)
    run.changed = true
  }

  func fork(
    _ parent: SequenceID, _ children: UnsafeBufferPointer<SequenceID>,
    _ result: inout OperationResult
  ) throws(Refusal) {
    let parentSlot = try slot(of: parent)
    if children.count == 0 { throw Refusal(.invalid, field: .childIDs, limit: 1) }
    try checkSequences(children.count, .childIDs, parent)
    let shares = sharesBlocks(sequences.slots[Int(parentSlot)])
    let table = shares ? sequences.slots[Int(parentSlot)].heldBlocks : 0
    let charge = forkCharge(parentSlot, shares) * UInt64(children.count)
    try checkBlocks(charge, .childIDs, parent)
    let session = run.slot
    // Entering them in the index finds the ids that exist as well as those named twice.
    for i in 0..<children.count {
      if sequences.find(children[i], session: session) != SequenceSlot.none {
        for j in 0..<i { sequences.index.set(children[j], session, to: 0) }
        throw Refusal(.sequenceExists, sequence: children[i])
      }
      sequences.index.set(children[i], session, to: Holder.maximumSlots)
    }
    if isLogging {
      log.noteFork(of: .sequence(parentSlot), children, sizeClass: run.sizeClass)
    }
    for child in children {
      fork(parentSlot, into: child, session)
      if shares { releasePromise(of: child) }
    }
    run.blocks += UInt32(charge)
    sessions.save(session)
    sessions.slots[Int(session)].sequences += UInt32(children.count)
    activity.forks += 1
    result.affected = UInt32(children.count)
    result.sharedBlocks = table
    run.changed = true
  }

  /// What one child counts for against `maximumBlocksPerCommand`: the entries of its table, or, where
  /// these are more, its hashes and what else is copied, a hash's bytes of it for one. A sequence that
  /// waits has no table, and hashes all the same.
  private func forkCharge(_ parent: UInt32, _ shares: Bool) -> UInt64 {
    let sequence = sequences.slots[Int(parent)]
    var hashes: UInt64 = 0
    var bytes = UInt64(sequence.labelCount)
    if let chain = chains?.chains[Int(parent)] {
      hashes = UInt64(chain.count)
      bytes += UInt64(chain.tokensCount) * 4 + UInt64(chain.keysCount)
    }
    let table = shares ? UInt64(sequence.blockCount) : 0
    return max(table, hashes + bytes / UInt64(configuration.hashBytes))
  }

  private func fork(_ parentSlot: UInt32, into id: SequenceID, _ session: UInt32) {
    let parent = sequences.slots[Int(parentSlot)]
    let shares = sharesBlocks(parent)
    let slot = sequences.create(
      id, session: session, state: shares ? .running : .waiting, tokens: parent.tokens,
      priority: parent.priority, expectedTokens: parent.expectedTokens,
      sizeClass: parent.sizeClass, label: parent.labelBytes)
    sequences.index.set(id, session, to: slot + 1)
    chains?.startFork(slot, of: parentSlot, sharesBlocks: shares)
    guard shares else { return }
    defer { settle(slot) }
    sequences.slots[Int(slot)].computed = parent.computed
    sequences.slots[Int(slot)].admittedRevision = revision + 1
    sessions.appendRunning(slot, in: sequences)
    guard parent.blockCount > 0 else { return }
    let table = sequences.extendTable(of: slot, by: parent.blockCount)
    let nulls = Int(parent.nullBlocks)
    for i in 0..<nulls { table[i] = 0 }
    for i in nulls..<parent.blocks.count {
      table[i] = parent.blocks[i]
      blocks.addReference(parent.blocks[i], touch: generation)
    }
    if blocks.logsReferences {
      log.note(
        .shared, by: .sequence(slot), table + nulls, parent.blocks.count - nulls, of: blocks)
    }
    sequences.slots[Int(slot)].nullBlocks = parent.nullBlocks
  }

  func rewind(_ request: Rewind, _ result: inout OperationResult) throws(Refusal) {
    let slot = try slot(of: request.sequence)
    let old = sequences.slots[Int(slot)]
    if old.state == .swapped { throw Refusal(.wrongState, sequence: old.id) }
    let least = leastComputed(slot)
    if request.uncomputeTokens > old.computed - least {
      throw Refusal(
        .invalid, field: .uncomputeTokens, limit: UInt64(old.computed - least), sequence: old.id)
    }
    if request.dropTokens > old.tokens - max(least, 1) {
      throw Refusal(
        .invalid, field: .dropTokens, limit: UInt64(old.tokens - max(least, 1)), sequence: old.id)
    }
    let left = old.tokens - request.dropTokens
    if let most = chains?.tooFar(slot, tokens: old.tokens, left: left) {
      throw Refusal(.invalid, field: .keptTokens, limit: UInt64(most), sequence: old.id)
    }
    sequences.save(slot)
    let sequence = sequences.slots + Int(slot)
    sequence.pointee.tokens = left
    sequence.pointee.computed = min(old.computed - request.uncomputeTokens, sequence.pointee.tokens)
    result.tokens = sequence.pointee.tokens
    result.computedTokens = sequence.pointee.computed
    if request.uncomputeTokens > 0 || request.dropTokens > 0 { run.changed = true }
    defer { settle(slot) }
    rewindChain(slot)
    if request.releasesBlocks {
      let kept = blocksFor(UInt64(sequence.pointee.computed))
      if kept < old.blockCount {
        result.freedBlocks = cutTable(of: slot, to: kept, .rewind)
        run.changed = true
      }
    }
  }

  func preempt(
    _ ids: UnsafeBufferPointer<SequenceID>, _ result: inout OperationResult
  ) throws(Refusal) {
    try checkList(ids)
    for id in ids {
      let slot = try slot(of: id)
      if !sequences.slots[Int(slot)].isRunning { throw Refusal(.wrongState, sequence: id) }
    }
    for id in ids { result.freedBlocks += preempt(try slot(of: id)) }
    result.affected = UInt32(ids.count)
  }

  /// Takes a running sequence's blocks, tail first. Its tokens stay, to be computed again.
  /// Returns how many blocks became available.
  func preempt(_ slot: UInt32) -> UInt32 {
    if run.notesScheduled { scheduledNow[slot] = nil }
    let freed = cutTable(of: slot, to: 0, .preemption)
    sessions.removeRunning(slot, in: sequences)
    sequences.releaseTable(of: slot)
    if let chains {
      chains.save(slot)
      chains.chains[Int(slot)].cachedBlocks = 0
      chains.chains[Int(slot)].hittableAtSwap = 0
    }
    activity.tally.preemptedTokens += UInt64(sequences.slots[Int(slot)].computed)
    sequences.slots[Int(slot)].computed = 0
    sequences.slots[Int(slot)].preemptions &+= 1
    sequences.setState(.preempted, of: slot)
    settle(slot)
    activity.preemptions += 1
    run.preempted = true
    run.changed = true
    return freed
  }

  func freeSequences(
    _ ids: UnsafeBufferPointer<SequenceID>, _ ignoresMissing: Bool,
    _ result: inout OperationResult
  ) throws(Refusal) {
    try checkList(ids)
    if !ignoresMissing {
      for id in ids where !hasPromise(id) { _ = try slot(of: id) }
    }
    guard run.slot != SequenceSlot.none else { return }
    for id in ids {
      releasePromise(of: id)
      let slot = sequences.find(id, session: run.slot)
      if slot == SequenceSlot.none { continue }
      let state = sequences.slots[Int(slot)].state
      if state == .running || state == .swapped {
        activity.tally.finished += 1
      } else {
        activity.tally.cancelled += 1
      }
      if state == .swapped {
        dropHostTable(of: slot, .free)
      } else {
        result.freedBlocks += cutTable(of: slot, to: 0, .free)
      }
      if sequences.slots[Int(slot)].isRunning { sessions.removeRunning(slot, in: sequences) }
      if tracksOwed { owed -= UInt64(sequences.slots[Int(slot)].owed) }
      if run.notesScheduled { scheduledNow[slot] = nil }
      sequences.remove(slot)
      chains?.end(slot)
      sessions.save(run.slot)
      sessions.slots[Int(run.slot)].sequences -= 1
      result.affected += 1
      run.changed = true
    }
  }

  /// Gives back the table's blocks from `kept` on, tail first, so that a shared prefix outlives its
  /// branches. Returns how many became available.
  func cutTable(of slot: UInt32, to kept: UInt32, _ cause: ChangeLog.Cause) -> UInt32 {
    let sequence = sequences.slots + Int(slot)
    let count = sequence.pointee.blockCount
    if kept >= count { return 0 }
    guard let table = sequence.pointee.table else { preconditionFailure("a table without memory") }
    sequences.save(slot)
    let first = max(kept, sequence.pointee.nullBlocks)
    sequence.pointee.blockCount = kept
    sequence.pointee.nullBlocks = min(kept, sequence.pointee.nullBlocks)
    if first == count { return 0 }
    return blocks.dropReferences(
      table + Int(count) - 1, Int(count - first), stride: -1, by: .sequence(slot), cause)
  }

  /// A list of sequences names at least one, and none of those that exist twice.
  func checkList(_ ids: UnsafeBufferPointer<SequenceID>) throws(Refusal) {
    if ids.count == 0 { throw Refusal(.invalid, field: .sequenceIDs, limit: 1) }
    guard run.slot != SequenceSlot.none else { return }
    stamp += 1
    for i in 0..<ids.count {
      let slot = sequences.find(ids[i], session: run.slot)
      if slot == SequenceSlot.none { continue }
      if sequences.slots[Int(slot)].stamp == stamp {
        throw Refusal(.invalid, field: .sequenceIDs, limit: UInt64(i), sequence: ids[i])
      }
      sequences.slots[Int(slot)].stamp = stamp
    }
  }

  /// Blocks for this many slots, up to the largest number there is.
  @inline(__always)
  func blocksFor(_ slots: UInt64) -> UInt32 {
    let size = UInt64(blockSize)
    return UInt32(clamping: (slots + size - 1) / size)
  }
}
