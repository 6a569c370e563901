internal import CQuireProtos

// analyzer.proto: requests as views.

package struct WatchStatsRequest: WireMessage {
  package static var kind: MessageKind { .watchStatsRequest }
  private let m: UnsafePointer<Quire__V1__WatchStatsRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__WatchStatsRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var intervalMilliseconds: UInt32 { m.pointee.interval_ms }
  package var includesRuns: Bool { includes(QUIRE__V1__STATS_INCLUDE__STATS_INCLUDE_RUNS) }
  package var includesSlots: Bool { includes(QUIRE__V1__STATS_INCLUDE__STATS_INCLUDE_SLOTS) }

  private func includes(_ part: Quire__V1__StatsInclude) -> Bool {
    list(m.pointee.include, m.pointee.n_include).contains { $0 == part }
  }
}

package struct GetBlockMapRequest: WireMessage {
  package static var kind: MessageKind { .getBlockMapRequest }
  private let m: UnsafePointer<Quire__V1__GetBlockMapRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__GetBlockMapRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var firstBlock: UInt32 { m.pointee.first_block }
  package var blocks: UInt32 { m.pointee.blocks }
  package var blocksPerCell: UInt32 { m.pointee.blocks_per_cell }
  /// nil = none is highlighted.
  package var sequenceID: UInt64? {
    m.pointee.highlight_case == QUIRE__V1__GET_BLOCK_MAP_REQUEST__HIGHLIGHT_SEQUENCE_ID
      ? m.pointee.sequence_id : nil
  }
}

package struct GetSnapshotRequest: WireMessage {
  package static var kind: MessageKind { .getSnapshotRequest }
  private let m: UnsafePointer<Quire__V1__GetSnapshotRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__GetSnapshotRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var topSequences: UInt32 { m.pointee.top_sequences }
  package var probeBlocks: UnsafeBufferPointer<UInt32> {
    list(m.pointee.probe_blocks, m.pointee.n_probe_blocks)
  }
  package var includesOrphans: Bool { m.pointee.with_orphans != 0 }
}

package struct GetHistoryRequest: WireMessage {
  package static var kind: MessageKind { .getHistoryRequest }
  private let m: UnsafePointer<Quire__V1__GetHistoryRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__GetHistoryRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var sinceMilliseconds: UInt64 { m.pointee.since_ms }
  package var maxSamples: UInt32 { m.pointee.max_samples }
}

package struct ResetPeaksRequest: WireMessage {
  package static var kind: MessageKind { .resetPeaksRequest }
  private let m: UnsafePointer<Quire__V1__ResetPeaksRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ResetPeaksRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
}

// For clients.
extension MessagePacker {
  package mutating func watchStatsRequest(
    call: CallFields, intervalMilliseconds: UInt32 = 0, includesRuns: Bool = false,
    includesSlots: Bool = false
  ) {
    let include: [UInt32] = (includesRuns ? [1] : []) + (includesSlots ? [2] : [])
    include.withUnsafeBufferPointer { packedUInt32(3, $0) }
    uint32(2, intervalMilliseconds)
    self.call(call)
  }

  package mutating func getBlockMapRequest(
    call: CallFields, firstBlock: UInt32 = 0, blocks: UInt32 = 0, blocksPerCell: UInt32 = 0,
    sequenceID: UInt64? = nil
  ) {
    if let sequenceID { setUInt64(5, sequenceID) }
    uint32(4, blocksPerCell)
    uint32(3, blocks)
    uint32(2, firstBlock)
    self.call(call)
  }

  package mutating func getSnapshotRequest(
    call: CallFields, topSequences: UInt32 = 0, probeBlocks: [UInt32] = [],
    includesOrphans: Bool = false
  ) {
    bool(4, includesOrphans)
    probeBlocks.withUnsafeBufferPointer { packedUInt32(3, $0) }
    uint32(2, topSequences)
    self.call(call)
  }

  package mutating func getHistoryRequest(
    call: CallFields, sinceMilliseconds: UInt64 = 0, maxSamples: UInt32 = 0
  ) {
    uint32(3, maxSamples)
    uint64(2, sinceMilliseconds)
    self.call(call)
  }

  package mutating func resetPeaksRequest(call: CallFields) { self.call(call) }
}
