internal import CQuireProtos

/// The values of a `HistorySample`.
package struct HistorySampleFields: Equatable {
  package var timeMilliseconds: UInt64 = 0
  package var stats = StatsFields()
  package var looks: UInt32 = 0
  package var peaks = HistoryPeaksFields()

  package init() {}
}

package struct HistoryPeaksFields: Equatable {
  package var usedBlocks: UInt32 = 0
  package var reservedBlocks: UInt32 = 0
  package var cachedBlocks: UInt32 = 0
  package var runningSequences: UInt32 = 0
  package var waitingSequences: UInt32 = 0
  package var preemptedSequences: UInt32 = 0
  package var pendingCopies: UInt32 = 0
  package var unusedSlots: UInt64 = 0
  package var externalFragmentation: Double = 0
  package var internalFragmentation: Double = 0

  package init() {}
}

/// The owners, last first, each with `ownerHistory`; `ownerTimes`; the samples, last first, each with `historySample`; then `historyBeforeSamples`.
extension MessagePacker {
  package mutating func historySample(_ sample: HistorySampleFields) {
    let mark = mark
    let peaks = self.mark
    double(10, sample.peaks.internalFragmentation)
    double(9, sample.peaks.externalFragmentation)
    uint64(8, sample.peaks.unusedSlots)
    uint32(7, sample.peaks.pendingCopies)
    uint32(6, sample.peaks.preemptedSequences)
    uint32(5, sample.peaks.waitingSequences)
    uint32(4, sample.peaks.runningSequences)
    uint32(3, sample.peaks.cachedBlocks)
    uint32(2, sample.peaks.reservedBlocks)
    uint32(1, sample.peaks.usedBlocks)
    close(4, since: peaks)
    uint32(3, sample.looks)
    let stats = self.mark
    self.stats(sample.stats)
    close(2, since: stats)
    uint64(1, sample.timeMilliseconds)
    close(2, since: mark)
  }

  /// - Parameters:
  ///   - name: UTF-8.
  ///   - blocks: One for each of `ownerTimes`.
  package mutating func ownerHistory(session: UInt64, name: [UInt8], blocks: [UInt32]) {
    let mark = mark
    blocks.withUnsafeBufferPointer { packedUInt32(3, $0) }
    name.withUnsafeBufferPointer { text(2, $0) }
    fixed64(1, session)
    close(4, since: mark)
  }

  /// Milliseconds.
  package mutating func ownerTimes(_ times: [UInt64]) {
    times.withUnsafeBufferPointer { packedUInt64(3, $0) }
  }

  package mutating func historyBeforeSamples(intervalMilliseconds: UInt32) {
    uint32(1, intervalMilliseconds)
  }
}

package struct HistoryMessage: WireMessage {
  package static var kind: MessageKind { .history }
  private let m: UnsafePointer<Quire__V1__History>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__History.self)
  }

  package var intervalMilliseconds: UInt32 { m.pointee.interval_ms }
  /// Milliseconds.
  package var ownerTimes: [UInt64] {
    Array(list(m.pointee.owner_times_ms, m.pointee.n_owner_times_ms))
  }
  package var owners: [(session: UInt64, name: [UInt8], blocks: [UInt32])] {
    list(m.pointee.owners, m.pointee.n_owners).compactMap { owner in
      guard let owner else { return nil }
      return (
        owner.pointee.session, Array(text(owner.pointee.name)),
        Array(list(owner.pointee.blocks, owner.pointee.n_blocks))
      )
    }
  }
  package var samples: [HistorySampleFields] {
    list(m.pointee.samples, m.pointee.n_samples).compactMap { sample in
      guard let sample else { return nil }
      var fields = HistorySampleFields()
      fields.timeMilliseconds = sample.pointee.time_ms
      fields.looks = sample.pointee.looks
      if let stats = sample.pointee.stats {
        fields.stats = StatsMessage(UnsafeRawPointer(stats)).fields
      }
      if let peaks = sample.pointee.peaks {
        fields.peaks.usedBlocks = peaks.pointee.used_blocks
        fields.peaks.reservedBlocks = peaks.pointee.reserved_blocks
        fields.peaks.cachedBlocks = peaks.pointee.cached_blocks
        fields.peaks.runningSequences = peaks.pointee.running_sequences
        fields.peaks.waitingSequences = peaks.pointee.waiting_sequences
        fields.peaks.preemptedSequences = peaks.pointee.preempted_sequences
        fields.peaks.pendingCopies = peaks.pointee.pending_copies
        fields.peaks.unusedSlots = peaks.pointee.unused_slots
        fields.peaks.externalFragmentation = peaks.pointee.external_fragmentation
        fields.peaks.internalFragmentation = peaks.pointee.internal_fragmentation
      }
      return fields
    }
  }
}
