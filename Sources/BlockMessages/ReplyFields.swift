internal import CQuireProtos

// Values of messages that replies have in them, read from the generated structs.

extension PoolInfoFields {
  init(_ m: Quire__V1__PoolInfo) {
    self.init(
      name: String(decoding: text(m.name), as: UTF8.self),
      config: m.config.map { PoolConfigFields($0) } ?? PoolConfigFields(blocks: 0, blockSize: 0),
      revision: m.revision, availableBlocks: m.available_blocks, epoch: m.epoch)
  }
}

extension SequenceFields {
  init(_ m: Quire__V1__Sequence) {
    self.init()
    sequenceID = m.sequence_id
    session = m.session
    label = text(m.label)
    state = m.state.rawValue
    tokens = m.tokens
    computedTokens = m.computed_tokens
    blockIDs = list(m.block_ids, m.n_block_ids)
    exclusiveBlocks = m.exclusive_blocks
    sharedBlocks = m.shared_blocks
    runs = m.runs
    preemptions = m.preemptions
    priority = m.priority
    admittedRevision = m.admitted_revision
    reservedBlocks = m.reserved_blocks
  }
}

extension CopyOrderFields {
  init(_ m: Quire__V1__CopyOrder) {
    self.init(
      copyID: m.copy_id, sourceBlock: m.source_block, targetBlock: m.target_block,
      tokens: m.tokens, sequenceID: m.sequence_id, tableIndex: m.table_index,
      sourceTier: m.source_tier.rawValue, targetTier: m.target_tier.rawValue)
  }
}

extension FreeRunsFields {
  init(_ m: Quire__V1__FreeRuns) {
    self.init(
      count: m.count, largest: m.largest,
      tenLargest: Array(list(m.ten_largest, m.n_ten_largest)))
  }
}

extension StatsFields {
  init(_ pointer: UnsafePointer<Quire__V1__Stats>) {
    let m = pointer.pointee
    self.init()
    pool = String(decoding: text(m.pool), as: UTF8.self)
    revision = m.revision
    bytesPerBlock = m.bytes_per_block
    managerBytesPerBlock = m.manager_bytes_per_block
    capacityBlocks = m.capacity_blocks
    freeBlocks = m.free_blocks
    cachedBlocks = m.cached_blocks
    activeBlocks = m.active_blocks
    sharedBlocks = m.shared_blocks
    pinnedBlocks = m.pinned_blocks
    availableBlocks = m.available_blocks
    reservedBlocks = m.reserved_blocks
    lazyPendingBlocks = m.lazy_pending_blocks
    blockSize = m.block_size
    sequenceSlotsHeld = m.sequence_slots_held
    sequenceSlotsUsed = m.sequence_slots_used
    rawBlocks = m.raw_blocks
    waitingSequences = m.waiting_sequences
    runningSequences = m.running_sequences
    preemptedSequences = m.preempted_sequences
    swappedSequences = m.swapped_sequences
    hostCapacityBlocks = m.host_capacity_blocks
    hostFreeBlocks = m.host_free_blocks
    hostActiveBlocks = m.host_active_blocks
    hostSharedBlocks = m.host_shared_blocks
    hostPinnedBlocks = m.host_pinned_blocks
    swappedOutBlocks = m.swapped_out_blocks
    swappedInBlocks = m.swapped_in_blocks
    movedBlocks = m.moved_blocks
    abandonedMoves = m.abandoned_moves
    allocateCalls = m.allocate_calls
    allocatedBlocks = m.allocated_blocks
    freeCalls = m.free_calls
    freedBlocks = m.freed_blocks
    for entry in list(m.refusals, m.n_refusals) {
      guard let count = entry?.pointee else { continue }
      let reason = Int(count.reason.rawValue)
      guard reason < 64 else { continue }  // A newer server's reason that no index should follow.
      while refusals.count <= reason { refusals.append(0) }
      refusals[reason] = count.count
    }
    forks = m.forks
    copies = m.copies
    pendingCopies = m.pending_copies
    evictions = m.evictions
    preemptions = m.preemptions
    prefixQueryTokens = m.prefix_query_tokens
    prefixHitTokens = m.prefix_hit_tokens
    highWatermarkBlocks = m.high_watermark_blocks
    freeRuns = m.free_runs.map { FreeRunsFields($0.pointee) }
    availableRuns = m.available_runs.map { FreeRunsFields($0.pointee) }
    externalFragmentation = m.external_fragmentation
    internalFragmentation = m.internal_fragmentation
    refusalsByFragmentation = m.refusals_by_fragmentation
    roundingBlocks = m.rounding_blocks
    isDefragmentAdvised = m.defragment_advised != 0
  }
}
