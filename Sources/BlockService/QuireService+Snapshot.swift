internal import Analysis
internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Analyzer: one consistent look at a pool, its map, and its past.
extension QuireService {
  static let mostProbes = 64
  static let mostFootprints: UInt32 = 100
  static let mostHotspots = 8
  static let mostCells: UInt32 = 65_536
  static let mostSamples: UInt32 = 4_000

  func getSnapshot(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetSnapshotRequest.self, bytes)
    let hosted = try readPool(request.call)
    guard request.topSequences <= Self.mostFootprints else {
      throw .invalid("top_sequences", "must be at most \(Self.mostFootprints)")
    }
    guard request.probeBlocks.count <= Self.mostProbes else {
      throw .invalid("probe_blocks", "must be at most \(Self.mostProbes)")
    }
    let tracker = tracker(of: hosted)
    let now = clockNow
    let look = FragmentationSnapshot(
      of: hosted.pool, tracker, at: now,
      sequences: request.topSequences == 0 ? 10 : Int(request.topSequences),
      probing: Array(request.probeBlocks), withOrphans: request.includesOrphans)
    var fields = SnapshotFields(look)
    fields.hotspots = BlockLayoutAnalyzer(hosted.pool, tracker).hotspots(Self.mostHotspots).map {
      HotspotFields(
        firstBlock: $0.firstBlock, blocks: $0.blocks, availableBlocks: $0.available, runs: $0.runs)
    }
    packer.reset()
    packer.snapshotAfterOwners(fields)
    for owner in look.owners.prefix(Int(Self.mostFootprints)).reversed() {
      packer.ownerFootprint(OwnerFootprintFields(owner, now: now))
    }
    for cost in look.sequences.reversed() {
      guard let view = hosted.pool.describe(session: cost.session, sequence: cost.sequence)
      else { continue }
      packer.sequenceFootprint(
        SequenceFields(view, withBlockIDs: false), unusedSlots: cost.unusedSlots,
        separatedRuns: cost.separatedRuns,
        ageMilliseconds: cost.admittedMilliseconds.map { now - min($0, now) } ?? 0)
    }
    packer.snapshotBeforeSequences(
      fields, StatsFields(hosted, look.layout, withRuns: true, withSlots: true))
    send(reply)
  }

  func getBlockMap(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetBlockMapRequest.self, bytes)
    let hosted = try readPool(request.call)
    let capacity = hosted.pool.configuration.blocks
    let first = max(request.firstBlock, 1)
    guard first <= capacity else {
      throw .invalid("first_block", "must be at most \(capacity), the pool's last block")
    }
    let rest = capacity - first + 1
    guard request.blocks <= rest else {
      throw .invalid("blocks", "must be at most \(rest), from block \(first) to the pool's last")
    }
    let blocks = request.blocks == 0 ? rest : request.blocks
    var perCell = request.blocksPerCell
    let least = (blocks - 1) / Self.mostCells + 1
    if perCell == 0 { perCell = least }
    guard perCell >= least else {
      throw .invalid(
        "blocks_per_cell",
        "must be 0 or at least \(least): a map has at most \(Self.mostCells) cells")
    }
    var table = UnsafeBufferPointer<BlockID>(start: nil, count: 0)
    if let id = request.sequenceID {
      guard let view = hosted.pool.describe(session: 0, sequence: id) else {
        let refusal = Refusal(.unknownSequence, field: .sequenceID, sequence: id)
        throw CallFailure(RefusalStatus.make(refusal, of: nil, in: hosted.pool))
      }
      if view.state == .running { table = view.blocks }
    }
    let runs = BlockLayoutAnalyzer(hosted.pool, tracker(of: hosted)).map(
      from: first, blocks, perCell: perCell, highlighting: table)
    packer.reset()
    for run in runs.reversed() { packer.cellRun(CellRunFields(run)) }
    packer.blockMapBeforeRuns(
      revision: hosted.pool.revision, firstBlock: first, blocks: blocks, blocksPerCell: perCell)
    send(reply)
  }

  func getHistory(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetHistoryRequest.self, bytes)
    let hosted = try readPool(request.call)
    guard request.maxSamples <= Self.mostSamples else {
      throw .invalid("max_samples", "must be at most \(Self.mostSamples)")
    }
    let most = request.maxSamples == 0 ? 1_000 : Int(request.maxSamples)
    let history = analyses?.history(of: hosted) ?? FragmentationHistory()
    let owners = analyses?.owners(of: hosted) ?? OwnerHistory()
    let series = owners.series(since: request.sinceMilliseconds, most: most)
    packer.reset()
    for owner in series.owners.reversed() {
      packer.ownerHistory(session: owner.session, name: owner.label, blocks: owner.blocks)
    }
    packer.ownerTimes(series.times)
    for sample in history.samples(since: request.sinceMilliseconds, most: most).reversed() {
      packer.historySample(HistorySampleFields(sample, hosted))
    }
    packer.historyBeforeSamples(intervalMilliseconds: analyses?.intervalMilliseconds ?? 0)
    send(reply)
  }
}

extension SnapshotFields {
  init(_ look: FragmentationSnapshot) {
    self.init()
    freeRunHistogram = look.runs.free.histogram.map { UInt32($0) }
    meanFreeRun = look.runs.free.mean
    partialBlocks = look.partialBlocks
    unusedSlots = look.unusedSlots
    reserveMaxSlots = look.reserveMaxSlots
    probeFits = look.probes.map(\.fitsFree)
    orphanedBlocks = look.orphanedBlocks ?? 0
    availableRunHistogram = look.runs.available.histogram.map { UInt32($0) }
    meanAvailableRun = look.runs.available.mean
    probeFitsAvailable = look.probes.map(\.fitsAvailable)
    emptyBlocks = look.emptyBlocks
    longestSequenceTokens = look.longestSequence
    capacitySlots = look.capacitySlots
    usageByBlocks = look.usageByBlocks
    usageBySlots = look.usageBySlots
    timeMilliseconds = look.timeMilliseconds
  }
}

extension OwnerFootprintFields {
  init(_ owner: OwnerCost, now: UInt64) {
    self.init()
    session = owner.session
    name = owner.label
    blocks = owner.blocks
    sequences = owner.sequences
    rawBlocks = owner.rawBlocks
    idleMilliseconds = owner.lastChangeMilliseconds.map { now - min($0, now) } ?? 0
    runningSequences = owner.runningSequences
    pinnedBlocks = owner.pinnedBlocks
    unusedSlots = owner.unusedSlots
    heldIdleMilliseconds = owner.idleSinceMilliseconds.map { now - min($0, now) } ?? 0
    idleGrowthBlocks = owner.grownBlocks
  }
}

extension CellRunFields {
  init(_ run: BlockLayoutAnalyzer.CellRun) {
    self.init(
      cells: run.cells, state: UInt32(run.cell.state.rawValue) + 1, refCount: run.cell.references,
      isPartial: run.cell.isPartial, isHighlighted: run.cell.isHighlighted,
      usedPercent: run.cell.usedPercent)
  }
}

extension HistorySampleFields {
  init(_ sample: HistorySample, _ hosted: HostedPool) {
    self.init()
    timeMilliseconds = sample.timeMilliseconds
    looks = sample.looks
    stats = StatsFields(hosted, sample.stats)
    if !hosted.pool.configuration.sizeClasses.isEmpty { stats.blockSize = 0 }
    stats.freeRuns = FreeRunsFields(
      count: sample.freeRuns, largest: sample.largestFreeRun, tenLargest: [])
    stats.availableRuns = FreeRunsFields(
      count: sample.availableRuns, largest: sample.largestAvailableRun, tenLargest: [])
    stats.externalFragmentation = sample.externalFragmentation
    stats.sequenceSlotsHeld = sample.sequenceSlotsHeld
    stats.sequenceSlotsUsed = sample.sequenceSlotsUsed
    stats.rawBlocks = sample.rawBlocks
    stats.internalFragmentation = sample.internalFragmentation
    peaks.usedBlocks = sample.peaks.usedBlocks
    peaks.reservedBlocks = sample.peaks.reservedBlocks
    peaks.cachedBlocks = sample.peaks.cachedBlocks
    peaks.runningSequences = sample.peaks.runningSequences
    peaks.waitingSequences = sample.peaks.waitingSequences
    peaks.preemptedSequences = sample.peaks.preemptedSequences
    peaks.pendingCopies = sample.peaks.pendingCopies
    peaks.unusedSlots = sample.peaks.unusedSlots
    peaks.externalFragmentation = sample.peaks.externalFragmentation
    peaks.internalFragmentation = sample.peaks.internalFragmentation
  }
}
