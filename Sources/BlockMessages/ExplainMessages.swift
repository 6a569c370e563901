internal import CQuireProtos

// analyzer.proto: why a lookup ends where it ends, and what happened to a block.

package struct ExplainBlockRequest: WireMessage {
  package static var kind: MessageKind { .explainBlockRequest }
  private let m: UnsafePointer<Quire__V1__ExplainBlockRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ExplainBlockRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var blockID: UInt32 { m.pointee.block_id }
  /// 0 = the default.
  package var maxIncidents: UInt32 { m.pointee.max_incidents }
}

/// Values of `quire.v1.LookupEnd`.
package enum LookupEnd: UInt32, CaseIterable, Sendable {
  case complete = 1
  case lastToken, partialBlock, evicted, otherKeys, neverStored, forgotten, skipped, cachingOff
  case hashesUnknown, window
}

/// The values of a `LookupStep`. What is 0 is left out.
package struct LookupStepFields {
  package var blockIndex: UInt32
  /// 16 or 32 bytes.
  package var blockHash: [UInt8]
  package var blockID: UInt32 = 0
  package var refCount: UInt32 = 0
  package var evictedRevision: UInt64 = 0
  package var evictedMs: UInt64 = 0
  /// A value of `BlockIncidentCause`.
  package var evictedCause: UInt32 = 0
  package var evictedForSession: UInt64 = 0
  package var evictedForSequence: UInt64 = 0

  package init(blockIndex: UInt32, blockHash: [UInt8]) {
    self.blockIndex = blockIndex
    self.blockHash = blockHash
  }
}

/// The values of a `BlockIncident`. What is 0 is left out.
package struct BlockIncidentFields {
  package var revision: UInt64
  /// A value of `BlockIncidentKind`.
  package var kind: UInt32
  package var session: UInt64
  package var sequence: UInt64
  package var timeMs: UInt64
  /// A value of `BlockIncidentCause`.
  package var cause: UInt32
  package var isTarget: Bool

  package init(
    revision: UInt64, kind: UInt32, session: UInt64, sequence: UInt64, timeMs: UInt64,
    cause: UInt32, isTarget: Bool
  ) {
    self.revision = revision
    self.kind = kind
    self.session = session
    self.sequence = sequence
    self.timeMs = timeMs
    self.cause = cause
    self.isTarget = isTarget
  }
}

// MARK: Replies

extension MessagePacker {
  package mutating func explainLookupReply(
    revision: UInt64, cachedTokens: UInt32, steps: [LookupStepFields], conclusion: String,
    end: LookupEnd, fullBlocks: UInt32
  ) {
    uint32(6, fullBlocks)
    uint32(5, end.rawValue)
    text(4, conclusion)
    for step in steps.reversed() {
      let mark = self.mark
      uint64(9, step.evictedForSequence)
      fixed64(8, step.evictedForSession)
      uint32(7, step.evictedCause)
      uint64(6, step.evictedMs)
      uint64(5, step.evictedRevision)
      uint32(4, step.refCount)
      uint32(3, step.blockID)
      step.blockHash.withUnsafeBytes { bytes(2, $0) }
      uint32(1, step.blockIndex)
      close(3, since: mark)
    }
    uint32(2, cachedTokens)
    uint64(1, revision)
  }

  /// The last fields of an `ExplainBlockReply`, to be packed first; then each holder from the last one
  /// on, then `explainBlockHead`.
  ///
  /// - Parameter since: The revision up to which nothing is known.
  package mutating func explainBlockTail(
    incidents: [BlockIncidentFields], since: UInt64?, isHistoryOff: Bool
  ) {
    uint64(10, since ?? 0)
    bool(9, isHistoryOff)
    for incident in incidents.reversed() {
      let mark = self.mark
      bool(7, incident.isTarget)
      uint32(6, incident.cause)
      uint64(5, incident.timeMs)
      uint64(4, incident.sequence)
      fixed64(3, incident.session)
      uint32(2, incident.kind)
      uint64(1, incident.revision)
      close(8, since: mark)
    }
  }

  /// - Parameter sequence: nil for raw references.
  package mutating func explainBlockHolder(
    session: UInt64, sequence: UInt64?, tableIndex: UInt32, references: UInt32
  ) {
    let mark = self.mark
    uint32(4, references)
    uint32(3, tableIndex)
    if let sequence { setUInt64(2, sequence) }
    fixed64(1, session)
    close(7, since: mark)
  }

  /// - Parameters:
  ///   - state: A value of `BlockState`.
  ///   - blockHash: Empty where the block has no content.
  package mutating func explainBlockHead(
    revision: UInt64, blockID: UInt32, state: UInt32, refCount: UInt32, generation: UInt32,
    blockHash: [UInt8]
  ) {
    blockHash.withUnsafeBytes { bytes(6, $0) }
    uint32(5, generation)
    uint32(4, refCount)
    uint32(3, state)
    uint32(2, blockID)
    uint64(1, revision)
  }
}
