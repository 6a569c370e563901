internal import Analysis
internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Analyzer: counters, and what a scan adds to them when asked.
extension QuireService {
  func getStats(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetStatsRequest.self, bytes)
    let hosted = try readPool(request.call)
    packStats(of: hosted, withRuns: request.includesRuns, withSlots: request.includesSlots)
    send(reply)
  }

  /// The stats of the pool as it is, as the packer's message. Runs and slots come from what follows the
  /// pool, or from a scan where nothing does.
  func packStats(of hosted: HostedPool, withRuns: Bool, withSlots: Bool) {
    let layout: PoolLayout
    if withRuns || withSlots, let tracker = analyses?.tracker(of: hosted) {
      layout = tracker.layout(of: hosted.pool, withRuns: withRuns, withSlots: withSlots)
    } else {
      layout = hosted.pool.layout(withRuns: withRuns, withSlots: withSlots)
    }
    packer.reset()
    packer.stats(StatsFields(hosted, layout, withRuns: withRuns, withSlots: withSlots))
  }

  func resetPeaks(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(ResetPeaksRequest.self, bytes)
    let hosted = try readPool(request.call)
    if !request.call.isDryRun { hosted.pool.resetPeaks() }
    packStats(of: hosted, withRuns: false, withSlots: false)
    send(reply)
  }
}

extension StatsFields {
  /// With what a layout adds.
  init(_ hosted: HostedPool, _ layout: PoolLayout, withRuns: Bool, withSlots: Bool) {
    self.init(hosted)
    addClasses(hosted.pool, layout)
    if withRuns {
      addRuns(layout, mayMove: !hosted.pool.configuration.strategy.reservesAtAdmission)
    }
    if withSlots { addSlots(layout) }
  }

  /// The counters and the exact partition. O(1).
  init(_ hosted: HostedPool) { self.init(hosted, hosted.pool.stats()) }

  /// The same as they were.
  init(_ hosted: HostedPool, _ stats: PoolStats) {
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
