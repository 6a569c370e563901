internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Analyzer: counters, and what a scan adds to them when asked.
extension QuireService {
  func getStats(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetStatsRequest.self, bytes)
    let hosted = try readPool(request.call)
    let layout = hosted.pool.layout(
      withRuns: request.includesRuns, withSlots: request.includesSlots)
    var stats = StatsFields(hosted)
    stats.addClasses(hosted.pool, layout)
    if request.includesRuns {
      stats.addRuns(layout, mayMove: !hosted.pool.configuration.strategy.reservesAtAdmission)
    }
    if request.includesSlots { stats.addSlots(layout) }
    packer.reset()
    packer.stats(stats)
    send(reply)
  }
}

extension StatsFields {
  /// The counters and the exact partition. O(1).
  init(_ hosted: HostedPool) {
    let stats = hosted.pool.stats()
    self.init()
    pool = hosted.name
    revision = stats.revision
    capacityBlocks = stats.blocks
    freeBlocks = stats.free
    cachedBlocks = stats.cached
    activeBlocks = stats.active
    sharedBlocks = stats.shared
    pinnedBlocks = stats.pinned
    availableBlocks = stats.free + stats.cached + stats.lazyPending
    lazyPendingBlocks = stats.lazyPending
    reservedBlocks = stats.reserved
    admissionLimitBlocks = stats.admissionLimit
    owedBlocks = UInt32(clamping: stats.owed)
    blockSize = stats.blockSize
    bytesPerBlock = hosted.pool.configuration.bytesPerBlock
    managerBytesPerBlock = hosted.pool.memoryPerBlock
    waitingSequences = stats.waitingSequences
    runningSequences = stats.runningSequences
    preemptedSequences = stats.preemptedSequences
    swappedSequences = stats.swappedSequences
    hostCapacityBlocks = stats.hostBlocks
    hostFreeBlocks = stats.hostFree
    hostActiveBlocks = stats.hostActive
    hostSharedBlocks = stats.hostShared
    hostPinnedBlocks = stats.hostPinned
    swappedOutBlocks = stats.swappedOutBlocks
    swappedInBlocks = stats.swappedInBlocks
    movedBlocks = stats.movedBlocks
    abandonedMoves = stats.abandonedMoves
    allocateCalls = stats.allocateCalls
    allocatedBlocks = stats.allocatedBlocks
    freeCalls = stats.freeCalls
    freedBlocks = stats.freedBlocks
    refusals = stats.refusals
    refusalsByFragmentation = stats.refusals[Int(Refusal.Reason.noRun.rawValue)]
    roundingBlocks = stats.rounding
    forks = stats.forks
    copies = stats.copies
    pendingCopies = stats.pendingCopies
    evictions = stats.evictions
    evictionsAhead = stats.evictionsAhead
    evictionsByPolicy = stats.evictionsByPolicy
    preemptions = stats.preemptions
    prefixQueryTokens = stats.prefixQueryTokens
    prefixHitTokens = stats.prefixHitTokens
    highWatermarkBlocks = stats.highWatermark
  }

  mutating func addRuns(_ layout: PoolLayout, mayMove: Bool) {
    freeRuns = FreeRunsFields(
      count: layout.freeRuns, largest: layout.largestFreeRun, tenLargest: layout.largestFreeRuns)
    availableRuns = FreeRunsFields(
      count: layout.availableRuns, largest: layout.largestAvailableRun,
      tenLargest: layout.largestAvailableRuns)
    isDefragmentAdvised =
      mayMove && layout.advisesDefragment(available: availableBlocks, of: capacityBlocks)
    if freeBlocks > 0 {
      externalFragmentation = 1 - Double(layout.largestFreeRun) / Double(freeBlocks)
    }
  }

  mutating func addSlots(_ layout: PoolLayout) {
    sequenceSlotsHeld = layout.sequenceSlotsHeld
    sequenceSlotsUsed = layout.sequenceSlotsUsed
    rawBlocks = layout.rawBlocks
    if layout.sequenceSlotsHeld > 0 {
      internalFragmentation =
        1 - Double(layout.sequenceSlotsUsed) / Double(layout.sequenceSlotsHeld)
    }
  }
}
