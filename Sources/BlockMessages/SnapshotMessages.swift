internal import CQuireProtos

/// The values of a `FragmentationSnapshot` beside its `Stats`, its sequences and its owners.
package struct SnapshotFields: Equatable {
  package var freeRunHistogram: [UInt32] = []
  package var meanFreeRun: Double = 0
  package var partialBlocks: UInt32 = 0
  package var unusedSlots: UInt64 = 0
  package var reserveMaxSlots: UInt64 = 0
  package var probeFits: [Bool] = []
  package var orphanedBlocks: UInt32 = 0
  package var availableRunHistogram: [UInt32] = []
  package var meanAvailableRun: Double = 0
  package var probeFitsAvailable: [Bool] = []
  package var emptyBlocks: UInt32 = 0
  package var longestSequenceTokens: UInt32 = 0
  package var capacitySlots: UInt64 = 0
  package var usageByBlocks: Double = 0
  package var usageBySlots: Double = 0
  package var timeMilliseconds: UInt64 = 0
  package var hotspots: [HotspotFields] = []

  package init() {}
}

package struct HotspotFields: Equatable {
  package var firstBlock: UInt32
  package var blocks: UInt32
  package var availableBlocks: UInt32
  package var runs: UInt32

  package init(firstBlock: UInt32, blocks: UInt32, availableBlocks: UInt32, runs: UInt32) {
    self.firstBlock = firstBlock
    self.blocks = blocks
    self.availableBlocks = availableBlocks
    self.runs = runs
  }
}

package struct OwnerFootprintFields: Equatable {
  package var session: UInt64 = 0
  package var name: [UInt8] = []
  package var blocks: UInt32 = 0
  package var sequences: UInt32 = 0
  package var rawBlocks: UInt32 = 0
  package var idleMilliseconds: UInt64 = 0
  package var runningSequences: UInt32 = 0
  package var pinnedBlocks: UInt32 = 0
  package var unusedSlots: UInt64 = 0
  package var heldIdleMilliseconds: UInt64 = 0
  package var idleGrowthBlocks: Int32 = 0

  package init() {}
}

/// In this order: `snapshotAfterOwners`, the owners, last first, the rest up to the sequences, the
/// sequences, last first, and `snapshotBeforeSequences`.
extension MessagePacker {
  package mutating func snapshotAfterOwners(_ fields: SnapshotFields) {
    for spot in fields.hotspots.reversed() {
      let mark = mark
      uint32(4, spot.runs)
      uint32(3, spot.availableBlocks)
      uint32(2, spot.blocks)
      uint32(1, spot.firstBlock)
      close(20, since: mark)
    }
    uint64(19, fields.timeMilliseconds)
    double(18, fields.usageBySlots)
    double(17, fields.usageByBlocks)
    uint64(16, fields.capacitySlots)
    uint32(15, fields.longestSequenceTokens)
    uint32(14, fields.emptyBlocks)
    packedBools(13, fields.probeFitsAvailable)
    double(12, fields.meanAvailableRun)
    fields.availableRunHistogram.withUnsafeBufferPointer { packedUInt32(11, $0) }
    uint32(10, fields.orphanedBlocks)
  }

  package mutating func ownerFootprint(_ owner: OwnerFootprintFields) {
    let mark = mark
    sint32(11, owner.idleGrowthBlocks)
    uint64(10, owner.heldIdleMilliseconds)
    uint64(9, owner.unusedSlots)
    uint32(8, owner.pinnedBlocks)
    uint32(7, owner.runningSequences)
    uint64(6, owner.idleMilliseconds)
    uint32(5, owner.rawBlocks)
    uint32(4, owner.sequences)
    uint32(3, owner.blocks)
    owner.name.withUnsafeBufferPointer { text(2, $0) }
    fixed64(1, owner.session)
    close(9, since: mark)
  }

  package mutating func sequenceFootprint(
    _ sequence: SequenceFields, unusedSlots: UInt32, separatedRuns: UInt32, ageMilliseconds: UInt64
  ) {
    let mark = mark
    uint64(4, ageMilliseconds)
    uint32(3, separatedRuns)
    uint32(2, unusedSlots)
    let inner = self.mark
    self.sequence(sequence)
    close(1, since: inner)
    close(8, since: mark)
  }

  package mutating func snapshotBeforeSequences(_ fields: SnapshotFields, _ stats: StatsFields) {
    packedBools(7, fields.probeFits)
    uint64(6, fields.reserveMaxSlots)
    uint64(5, fields.unusedSlots)
    uint32(4, fields.partialBlocks)
    double(3, fields.meanFreeRun)
    fields.freeRunHistogram.withUnsafeBufferPointer { packedUInt32(2, $0) }
    let mark = mark
    self.stats(stats)
    close(1, since: mark)
  }

  private mutating func packedBools(_ field: UInt32, _ values: [Bool]) {
    values.map { $0 ? UInt32(1) : 0 }.withUnsafeBufferPointer { packedUInt32(field, $0) }
  }
}

package struct SnapshotMessage: WireMessage {
  package static var kind: MessageKind { .fragmentationSnapshot }
  private let m: UnsafePointer<Quire__V1__FragmentationSnapshot>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__FragmentationSnapshot.self)
  }

  package var stats: StatsFields? {
    m.pointee.stats.map { StatsMessage(UnsafeRawPointer($0)).fields }
  }

  package var fields: SnapshotFields {
    var fields = SnapshotFields()
    fields.freeRunHistogram = Array(
      list(m.pointee.free_run_histogram, m.pointee.n_free_run_histogram))
    fields.meanFreeRun = m.pointee.mean_free_run
    fields.partialBlocks = m.pointee.partial_blocks
    fields.unusedSlots = m.pointee.unused_slots
    fields.reserveMaxSlots = m.pointee.reserve_max_slots
    fields.probeFits = list(m.pointee.probe_fits, m.pointee.n_probe_fits).map { $0 != 0 }
    fields.orphanedBlocks = m.pointee.orphaned_blocks
    fields.availableRunHistogram = Array(
      list(m.pointee.available_run_histogram, m.pointee.n_available_run_histogram))
    fields.meanAvailableRun = m.pointee.mean_available_run
    fields.probeFitsAvailable = list(
      m.pointee.probe_fits_available, m.pointee.n_probe_fits_available
    ).map { $0 != 0 }
    fields.emptyBlocks = m.pointee.empty_blocks
    fields.longestSequenceTokens = m.pointee.longest_sequence_tokens
    fields.capacitySlots = m.pointee.capacity_slots
    fields.usageByBlocks = m.pointee.usage_by_blocks
    fields.usageBySlots = m.pointee.usage_by_slots
    fields.timeMilliseconds = m.pointee.time_ms
    fields.hotspots = list(m.pointee.hotspots, m.pointee.n_hotspots).compactMap { spot in
      spot.map {
        HotspotFields(
          firstBlock: $0.pointee.first_block, blocks: $0.pointee.blocks,
          availableBlocks: $0.pointee.available_blocks, runs: $0.pointee.runs)
      }
    }
    return fields
  }

  package var owners: [OwnerFootprintFields] {
    list(m.pointee.owners, m.pointee.n_owners).compactMap { owner in
      owner.map {
        var fields = OwnerFootprintFields()
        fields.session = $0.pointee.session
        fields.name = Array(text($0.pointee.name))
        fields.blocks = $0.pointee.blocks
        fields.sequences = $0.pointee.sequences
        fields.rawBlocks = $0.pointee.raw_blocks
        fields.idleMilliseconds = $0.pointee.idle_ms
        fields.runningSequences = $0.pointee.running_sequences
        fields.pinnedBlocks = $0.pointee.pinned_blocks
        fields.unusedSlots = $0.pointee.unused_slots
        fields.heldIdleMilliseconds = $0.pointee.held_idle_ms
        fields.idleGrowthBlocks = $0.pointee.idle_growth_blocks
        return fields
      }
    }
  }

  package struct SequenceFootprint: Equatable {
    package var sequenceID: UInt64
    package var session: UInt64
    package var label: [UInt8]
    package var tokens: UInt32
    package var computedTokens: UInt32
    package var exclusiveBlocks: UInt32
    package var sharedBlocks: UInt32
    package var runs: UInt32
    package var unusedSlots: UInt32
    package var separatedRuns: UInt32
    package var ageMilliseconds: UInt64
  }

  package var sequences: [SequenceFootprint] {
    list(m.pointee.sequences, m.pointee.n_sequences).compactMap { footprint in
      guard let footprint, let sequence = footprint.pointee.sequence else { return nil }
      return SequenceFootprint(
        sequenceID: sequence.pointee.sequence_id, session: sequence.pointee.session,
        label: Array(text(sequence.pointee.label)), tokens: sequence.pointee.tokens,
        computedTokens: sequence.pointee.computed_tokens,
        exclusiveBlocks: sequence.pointee.exclusive_blocks,
        sharedBlocks: sequence.pointee.shared_blocks, runs: sequence.pointee.runs,
        unusedSlots: footprint.pointee.unused_slots,
        separatedRuns: footprint.pointee.separated_runs,
        ageMilliseconds: footprint.pointee.age_ms)
    }
  }
}
