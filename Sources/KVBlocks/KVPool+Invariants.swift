/// Everything that must hold between two commands, checked the slow way.
extension KVPool {
  /// What is wrong with the pool; nil when nothing is. For tests. O(blocks + table entries + holds).
  package func checkInvariants() -> String? {
    let size = Int(blocks.capacity) + 1
    let expected = UnsafeMutablePointer<ExpectedBlock>.allocate(capacity: size)
    defer { expected.deallocate() }
    expected.initialize(repeating: ExpectedBlock(), count: size)
    // One by one: the compiler gives up on them in one expression.
    if let problem = checkQueue(expected) { return problem }
    if let problem = checkSequences(expected) { return problem }
    if let problem = checkRawHolds(expected) { return problem }
    if let problem = checkCopies(expected) { return problem }
    if let problem = checkBlocks(expected) { return problem }
    if let problem = checkSessions() { return problem }
    if let problem = blocks.index?.check() { return problem }
    if let problem = pins.check(sessions.count) { return problem }
    if let problem = checkChains() { return problem }
    if let problem = checkHost() { return problem }
    if let problem = checkDirty() { return problem }
    if let problem = checkReservedRuns() { return problem }
    if let problem = checkMoves() { return problem }
    return checkReservations() ?? checkOwed() ?? blocks.checkPending()
  }

  /// What the rest of the pool implies about a block.
  private struct ExpectedBlock: BitwiseCopyable {
    var references: UInt32 = 0
    var pins: UInt32 = 0
    var isQueued = false
    /// 1 + the last slot whose table names the block.
    var lastTable: UInt32 = 0
  }

  private func checkQueue(_ expected: UnsafeMutablePointer<ExpectedBlock>) -> String? {
    if let split = blocks.split { return check(split, expected) }
    var previous: BlockID = 0
    var length: UInt32 = 0
    var id = blocks.records[0].next
    while id != 0 {
      if id > blocks.capacity { return "the queue leads to block \(id), which does not exist" }
      if expected[Int(id)].isQueued { return "block \(id) is in the queue twice" }
      if blocks.records[Int(id)].previous != previous { return "block \(id) has a wrong back link" }
      expected[Int(id)].isQueued = true
      length += 1
      previous = id
      id = blocks.records[Int(id)].next
    }
    if blocks.records[0].previous != previous { return "the queue's tail is not its last block" }
    if length != blocks.available - blocks.pendingCount {
      return "\(length) blocks in the queue, \(blocks.available) available"
    }
    return nil
  }

  private func check(
    _ split: SplitBlocks, _ expected: UnsafeMutablePointer<ExpectedBlock>
  ) -> String? {
    let isWhole = blocks.parts.isEmpty
    if isWhole, let wrong = split.free.check() ?? split.cached.check() { return wrong }
    if let wrong = blocks.checkRounding(split) ?? blocks.checkParts() { return wrong }
    let parts = isWhole ? [split] : blocks.parts
    let free = parts.flatMap { $0.free.list() }
    for (i, id) in (free + parts.flatMap { $0.cached.victims() }).enumerated() {
      if id < 1 || id > blocks.capacity { return "block \(id) is available and does not exist" }
      if expected[Int(id)].isQueued { return "block \(id) is available twice" }
      expected[Int(id)].isQueued = true
      if blocks.state(of: blocks.records[Int(id)]) != (i < free.count ? .free : .cached) {
        return "block \(id) is where its content says otherwise"
      }
    }
    for id in 1...Int(blocks.capacity) where blocks.records[id].holder == .rounding {
      expected[id].references += 1
    }
    return nil
  }

  private func checkSequences(_ expected: UnsafeMutablePointer<ExpectedBlock>) -> String? {
    var counts = SequenceTable.Counts()
    var used = 0
    for slot in 0..<sequences.slotCount {
      let sequence = sequences.slots[Int(slot)]
      if !sequence.isUsed { continue }
      used += 1
      useClass(of: slot)
      if sequences.find(sequence.id, session: sequence.session) != slot {
        return "the index does not find sequence \(sequence.id)"
      }
      if sequence.computed > sequence.tokens {
        return "sequence \(sequence.id) computed more tokens than it has"
      }
      if sequence.blockCount < blocksFor(UInt64(sequence.computed)) {
        return "sequence \(sequence.id) has too few blocks for its computed tokens"
      }
      switch sequence.state {
      case .waiting: counts.waiting += 1
      case .running: counts.running += 1
      case .preempted: counts.preempted += 1
      case .swapped: counts.swapped += 1
      }
      if let wrong = checkNulls(slot) { return wrong }
      if sequence.state == .swapped { continue }
      if !sequence.isRunning && sequence.blockCount > 0 {
        return "sequence \(sequence.id) does not run but holds blocks"
      }
      if !sequence.isRunning && sequence.table != nil {
        return "sequence \(sequence.id) does not run but keeps memory for a table"
      }
      for block in sequence.blocks.dropFirst(Int(sequence.nullBlocks)) {
        if block == 0 || block > blocks.capacity {
          return "sequence \(sequence.id) holds block \(block), which does not exist"
        }
        // Hashes are the client's: equal ones twice in a chain are one block twice in a table.
        if expected[Int(block)].lastTable == slot + 1 && chains == nil {
          return "block \(block) is twice in the table of sequence \(sequence.id)"
        }
        if blocks.records[Int(block)].sizeClass != sequence.sizeClass {
          return "block \(block) of sequence \(sequence.id) is of another size class"
        }
        expected[Int(block)].lastTable = slot + 1
        expected[Int(block)].references += 1
        let holder = blocks.records[Int(block)].holder
        if holder != .shared && holder != .sequence(slot) {
          return "block \(block) does not name sequence \(sequence.id) as its holder"
        }
      }
    }
    if let problem = sequences.checkUnused() ?? sequences.checkArrivals() { return problem }
    if used != sequences.index.count { return "the index names sequences that do not exist" }
    return counts == sequences.counts ? nil : "the sequences are counted wrongly"
  }

  private func checkNulls(_ slot: UInt32) -> String? {
    let sequence = sequences.slots[Int(slot)]
    if sequence.nullBlocks == 0 { return nil }
    if window == 0 { return "sequence \(sequence.id) dropped blocks without a window" }
    if sequence.nullBlocks > skippedBlocks(sequence.computed) {
      return "sequence \(sequence.id) dropped blocks inside its window"
    }
    for i in 0..<Int(sequence.nullBlocks) where sequence.blocks[i] != 0 {
      return "sequence \(sequence.id) has a block before its window"
    }
    return nil
  }

  private func checkChains() -> String? {
    guard let chains else { return nil }
    for slot in 0..<sequences.slotCount {
      let sequence = sequences.slots[Int(slot)]
      let chain = chains.chains[Int(slot)]
      if !sequence.isUsed && (chain.bytes != nil || chain.tokens != nil || chain.keys != nil) {
        return "a sequence that is gone has hashes"
      }
      if chain.count > chain.capacity { return "a chain is longer than its memory" }
      if !sequence.isUsed { continue }
      useClass(of: slot)
      if let wrong = checkTokens(slot, chains) { return wrong }
      if chain.count > chains.hashable(sequence.tokens) {
        return "sequence \(sequence.id) has more hashes than full blocks"
      }
      if chain.cachedBlocks > min(chain.count, sequence.computed / blockSize) {
        return "sequence \(sequence.id) has cached more than it computed"
      }
    }
    return nil
  }

  private func checkTokens(_ slot: UInt32, _ chains: HashChains) -> String? {
    let sequence = sequences.slots[Int(slot)]
    let chain = chains.chains[Int(slot)]
    if chain.tokensSkip + chain.tokensCount > chain.tokensCapacity {
      return "sequence \(sequence.id) keeps more token ids than it has memory for"
    }
    if chain.tokensCount > chain.tokensEnd || chain.tokensEnd > sequence.tokens {
      return "sequence \(sequence.id) keeps token ids that it does not have"
    }
    if chain.tokensCount == 0 { return nil }
    if chain.tokensBegin % blockSize != 0 {
      return "the token ids of sequence \(sequence.id) do not begin at a block"
    }
    return chains.agreesWithTokens(slot)
      ? nil : "the hashes of sequence \(sequence.id) are not those of its token ids"
  }

  private func checkRawHolds(_ expected: UnsafeMutablePointer<ExpectedBlock>) -> String? {
    let held = UnsafeMutablePointer<UInt32>.allocate(capacity: Int(sessions.count) + 1)
    defer { held.deallocate() }
    held.initialize(repeating: 0, count: Int(sessions.count) + 1)
    var wrong: String?
    blocks.sharedHolds.forEach { entry in
      let block = Int(entry.a)
      if entry.b >= sessions.count { return wrong = "a session without a slot holds \(block)" }
      if blocks.records[block].holder != .shared { wrong = "block \(block) should be shared" }
      expected[block].references += entry.value
      held[Int(entry.b)] += 1
    }
    for id in 1...Int(blocks.capacity) {
      let holder = blocks.records[id].holder
      if !holder.isRaw { continue }
      if holder.slot >= sessions.count { return "a session without a slot holds \(id)" }
      expected[id].references += 1
      held[Int(holder.slot)] += 1
    }
    for i in 0..<Int(sessions.count) where held[i] != sessions.slots[i].rawBlocks {
      return "session \(sessions.slots[i].id) holds \(held[i]) raw blocks"
    }
    return wrong
  }

  private func checkCopies(_ expected: UnsafeMutablePointer<ExpectedBlock>) -> String? {
    var pending: UInt32 = 0
    for i in 0..<copies.used {
      let copy = copies.copies[Int(i)]
      if copy.id == 0 { continue }
      pending += 1
      if copy.kind.sourceTier == .device { expected[Int(copy.source)].pins += 1 }
      if copy.kind.targetTier == .device { expected[Int(copy.target)].pins += 1 }
      if copies.find(copy.id, session: copy.session) != i {
        return "the index does not find copy \(copy.id)"
      }
    }
    if pending != copies.count || Int(pending) != copies.index.count {
      return "the copies under way are counted wrongly"
    }
    return nil
  }

  private func checkBlocks(_ expected: UnsafeMutablePointer<ExpectedBlock>) -> String? {
    var parts = BlockCounters(free: 0)
    for id in 1...Int(blocks.capacity) {
      let record = blocks.records[id]
      if record.refCount != expected[id].references {
        return "block \(id) has \(record.refCount) references, \(expected[id].references) holders"
      }
      // What a lookup goes by: a hit must be of the class that looks, 0 in a pool without classes.
      if record.twin != 0 && record.group != record.sizeClass {
        return "the content of block \(id) is of another size class"
      }
      let isPinned = pins.isPinned(UInt32(id))
      if isPinned && record.twin == 0 { return "block \(id) is pinned and has no content" }
      if UInt32(record.pins) != expected[id].pins + (isPinned ? 1 : 0) {
        return "block \(id) has \(record.pins) pins, \(expected[id].pins) ends of copies"
      }
      if expected[id].pins > UInt32(BlockPool.maximumPins) {
        return "block \(id) is an end of \(expected[id].pins) copies"
      }
      if (record.holder == .none || record.holder == .pending) != (record.refCount == 0) {
        return "block \(id) has \(record.refCount) references and a holder that says otherwise"
      }
      if record.holder != .shared && record.refCount > 1 {
        return "block \(id) has many references and one holder"
      }
      let state = blocks.state(of: record)
      if expected[id].isQueued != (state == .free || state == .cached) {
        return "block \(id) is \(state) and its place in the queue says otherwise"
      }
      if copies.touches(UInt32(id), on: .device) != (expected[id].pins > 0) {
        return "block \(id) has copies and no list of copies, or the reverse"
      }
      switch state {
      case .free: parts.free += 1
      case .cached: parts.cached += 1
      case .active: parts.active += 1
      case .shared: parts.shared += 1
      case .pinned: parts.pinned += 1
      case .pending: if record.twin != 0 { parts.cached += 1 } else { parts.free += 1 }
      }
    }
    let counters = blocks.counters
    if parts.free != counters.free || parts.cached != counters.cached
      || parts.active != counters.active || parts.shared != counters.shared
      || parts.pinned != counters.pinned
    {
      return "the partition is counted wrongly"
    }
    let used = blocks.capacity - blocks.available
    if counters.highWatermark < used { return "more blocks are used than the high watermark" }
    if counters.allocatedBlocks - counters.freedBlocks != UInt64(used) {
      return "blocks handed out and given back do not add up"
    }
    return nil
  }

  private func checkSessions() -> String? {
    // What sessions say of themselves, out of a dump: each may say the most.
    var total: UInt64 = 0
    var running: UInt32 = 0
    var pending: UInt32 = 0
    for i in 0..<sessions.count {
      let session = sessions.slots[Int(i)]
      total += UInt64(session.sequences)
      if sessions.find(session.id) != i { return "the index does not find session \(session.id)" }
      var previous = SequenceSlot.none
      var slot = session.firstRunning
      while slot != SequenceSlot.none {
        let sequence = sequences.slots[Int(slot)]
        if !sequence.isRunning || sequence.session != i || sequence.previousRunning != previous {
          return "the running sequences of session \(session.id) are linked wrongly"
        }
        running += 1
        previous = slot
        slot = sequence.nextRunning
      }
      if session.lastRunning != previous { return "session \(session.id) lost its last sequence" }
      var previousCopy = PendingCopy.none
      var copy = session.firstCopy
      var last: UInt64 = 0
      var own: UInt32 = 0
      while copy != PendingCopy.none {
        let order = copies.copies[Int(copy)]
        if order.id <= last || order.session != i || order.previousInSession != previousCopy {
          return "the copies of session \(session.id) are linked wrongly"
        }
        last = order.id
        own += 1
        previousCopy = copy
        copy = order.nextInSession
      }
      if session.lastCopy != previousCopy || last > session.lastCopyID {
        return "session \(session.id) lost its last copy"
      }
      if own != session.pendingCopies {
        return "session \(session.id) has \(own) copies under way"
      }
      pending += own
    }
    if total != UInt64(sequences.index.count) { return "sequences are counted wrongly per session" }
    if running != sequences.counts.running { return "a running sequence is in no list" }
    return pending == copies.count ? nil : "a copy under way is in no list"
  }
}
