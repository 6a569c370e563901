/// Looking at a pool. Nothing in here changes it.
extension KVPool {
  /// What the session's sequence is and holds; nil when there is none. Valid until the next command.
  ///
  /// O(blocks of its table).
  package func describe(session: SessionID, sequence: SequenceID) -> SequenceView? {
    let owner = sessions.find(session)
    if owner == SequenceSlot.none { return nil }
    let slot = sequences.find(sequence, session: owner)
    return slot == SequenceSlot.none ? nil : view(slot)
  }

  /// The first sequence at or after `cursor`, and the cursor to go on with; nil at the end.
  ///
  /// Start with 0. Sequences come in the order of their slots, which no command changes while they
  /// live, so a sequence that is there all the time is met exactly once. `session` and `state` nil:
  /// of all. O(slots passed over + blocks of the one found).
  package func nextSequence(
    from cursor: UInt32, session: SessionID? = nil, state: SequenceState? = nil
  ) -> (view: SequenceView, next: UInt32)? {
    var owner = SequenceSlot.none
    if let session {
      owner = sessions.find(session)
      if owner == SequenceSlot.none { return nil }
    }
    var slot = cursor
    while slot < sequences.slotCount {
      let sequence = sequences.slots + Int(slot)
      if sequence.pointee.isUsed && (session == nil || sequence.pointee.session == owner)
        && (state == nil || sequence.pointee.state == state)
      {
        return (view(slot), slot + 1)
      }
      slot += 1
    }
    return nil
  }

  private func view(_ slot: UInt32) -> SequenceView {
    let sequence = sequences.slots[Int(slot)]
    let session = sessions.slots[Int(sequence.session)].id
    var exclusive: UInt32 = 0
    var runs: UInt32 = 0
    var previous: BlockID = 0
    let records = pool(of: sequence).records
    for block in sequence.blocks.dropFirst(Int(sequence.nullBlocks)) {
      if records[Int(block)].refCount == 1 { exclusive += 1 }
      if runs == 0 || block != previous &+ 1 { runs += 1 }
      previous = block
    }
    return SequenceView(
      sequence: sequence.id, session: session,
      state: sequence.state, tokens: sequence.tokens, computedTokens: sequence.computed,
      priority: sequence.priority, preemptions: sequence.preemptions,
      admittedRevision: sequence.admittedRevision, label: sequence.labelBytes,
      knownHashes: chains?.chains[Int(slot)].count ?? 0,
      cachedBlocks: chains?.chains[Int(slot)].cachedBlocks ?? 0,
      blocks: sequence.blocks, exclusiveBlocks: exclusive,
      sharedBlocks: sequence.heldBlocks - exclusive, runs: runs,
      sizeClass: hasClasses ? UInt32(sequence.sizeClass) + 1 : 0,
      reservedBlocks: promisedBlocks(session: session, sequence: sequence.id))
  }

  /// Tokens of the sequences in any state, in the order of their slots, at most `limit`. O(slots).
  package func lengths(limit: Int) -> [UInt32] {
    var lengths: [UInt32] = []
    for slot in 0..<Int(sequences.slotCount) where lengths.count < limit {
      if sequences.slots[slot].isUsed { lengths.append(sequences.slots[slot].tokens) }
    }
    return lengths
  }

  /// The tokens that the same sequences are to have in the end, as far as their clients said; what they
  /// have where that is more.
  package func expectedLengths(limit: Int) -> [UInt32] {
    var lengths: [UInt32] = []
    for slot in 0..<Int(sequences.slotCount) where lengths.count < limit {
      let sequence = sequences.slots[slot]
      if sequence.isUsed { lengths.append(max(sequence.tokens, sequence.expectedTokens)) }
    }
    return lengths
  }

  /// Blocks of which the session holds raw references, and its sequences in any state. O(1).
  package func holds(session: SessionID) -> (rawBlocks: UInt32, sequences: UInt32) {
    let slot = sessions.find(session)
    if slot == SequenceSlot.none { return (0, 0) }
    return (sessions.slots[Int(slot)].rawBlocks, sessions.slots[Int(slot)].sequences)
  }

  /// Bytes of the pool's own memory for each block, tables and tokens apart. O(1).
  package var memoryPerBlock: Double { blocks.memoryPerBlock }

  /// Memory of a sequence's slot; its index, its table, its label and its hashes are apart.
  package static let bytesPerSequence = MemoryLayout<SequenceSlot>.stride

  /// Whether any block of either tier is held or pinned. O(1).
  package var hasHeldBlocks: Bool {
    blocks.available != blocks.capacity || host.map { $0.available != $0.capacity } ?? false
  }

  /// The state, references, generation and pins of one block, 1 ... `blocks`.
  package func block(_ id: BlockID) -> BlockView { blocks.view(id) }

  /// What a block holds; nil = nothing that could be hit. O(1).
  package func content(_ id: BlockID) -> BlockHash? { blocks.content(id) }

  /// The block that content is answered with; 0 = none. O(1).
  package func firstBlock(with content: BlockHash) -> BlockID { blocks.first(content) }

  /// Blocks with the content of `id`, from the first to be hit.
  package func twins(of id: BlockID) -> [BlockID] { blocks.twins(of: id) }

  /// How many raw references the session holds to a block. O(1).
  package func rawReferences(session: SessionID, block: BlockID) -> UInt32 {
    precondition(block >= 1 && block <= blocks.capacity, "looked at a block that does not exist")
    let slot = sessions.find(session)
    return slot == SequenceSlot.none ? 0 : blocks.rawReferences(block, by: slot)
  }

  /// The ids that allocations will hand out, in order. O(free blocks).
  package func freeQueue() -> [BlockID] { blocks.freeQueue() }

  /// Places that a lookup of a sequence looks at, at worst. For tests. O(sequences).
  package func longestProbe() -> Int { sequences.index.longestRun }

  /// Pins that a lookup of a pin looks at, at worst. For tests. O(pins).
  package func longestPinChain() -> Int { pins.longestChain }

  /// Counters and the partition of the pool. O(1).
  package func stats() -> PoolStats {
    let counters = blocks.counters
    var stats = PoolStats()
    stats.revision = revision
    stats.blocks = configuration.blocks
    stats.blockSize = configuration.blockSize
    stats.free = counters.free - (blocks.lazy?.free ?? 0)
    stats.cached = counters.cached - (blocks.lazy?.cached ?? 0)
    stats.lazyPending = blocks.pendingCount
    stats.active = counters.active
    stats.shared = counters.shared
    stats.pinned = counters.pinned
    stats.reserved = promised
    if tracksOwed { stats.admissionLimit = admissionLimit }
    stats.owed = owed
    stats.rounding = counters.rounding
    stats.highWatermark = counters.highWatermark
    stats.waitingSequences = sequences.counts.waiting
    stats.runningSequences = sequences.counts.running
    stats.preemptedSequences = sequences.counts.preempted
    stats.swappedSequences = sequences.counts.swapped
    addHost(to: &stats)
    stats.pendingCopies = copies.count
    stats.allocateCalls = activity.allocateCalls
    stats.allocatedBlocks = counters.allocatedBlocks
    stats.freeCalls = activity.freeCalls
    stats.freedBlocks = counters.freedBlocks
    stats.forks = activity.forks
    stats.copies = activity.copies
    stats.preemptions = activity.preemptions
    stats.movedBlocks = activity.movedBlocks
    stats.abandonedMoves = activity.abandonedMoves
    stats.evictions = counters.evictions
    stats.evictionsAhead = activity.evictionsAhead
    stats.evictionsByPolicy = counters.evictionsByPolicy
    stats.prefixQueryTokens = activity.prefixQueryTokens
    stats.prefixHitTokens = activity.prefixHitTokens
    stats.preemptedQueryTokens = activity.preemptedQueryTokens
    stats.preemptedHitTokens = activity.preemptedHitTokens
    for i in 0..<Self.refusalReasons { stats.refusals[i] = refusalCounts[i] }
    return stats
  }
}
