internal import CQuireProtos

// events.proto: what clients receive.

/// A `KvEventBatch`.
package struct KvEventBatchMessage: WireMessage {
  package static var kind: MessageKind { .kvEventBatch }
  private let m: UnsafePointer<Quire__V1__KvEventBatch>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__KvEventBatch.self)
  }

  package var sequenceNumber: UInt64 { m.pointee.sequence_number }
  package var epoch: UInt64 { m.pointee.epoch }
  /// UTF-8.
  package var pool: UnsafeBufferPointer<UInt8> { text(m.pointee.pool) }
  package var revision: UInt64 { m.pointee.revision }
  /// Since 1970.
  package var seconds: Double { m.pointee.timestamp }
  package var eventCount: Int { m.pointee.n_events }
  /// nil: of a kind that a later contract has.
  package func event(_ index: Int) -> KvEventFields? {
    precondition(index >= 0 && index < m.pointee.n_events, "an event outside its batch")
    // protobuf-c leaves no gaps in a list of messages.
    return KvEventFields(m.pointee.events[index]!.pointee)
  }
}

/// The values of a `KvEvent`, in memory of their own.
package enum KvEventFields: Equatable {
  case stored(BlockStoredFields)
  case removed(BlockRemovedFields)
  case cleared(EventCause)
  case forked(session: UInt64, parentID: UInt64, childIDs: [UInt64])
  case copied(session: UInt64, CopyOrderFields)
  /// `hash`: empty = nothing that could be hit.
  case moved(session: UInt64, CopyOrderFields, hash: [UInt8], EventCause)
  case copiesRemoved(BlockRemovedFields)

  init?(_ m: Quire__V1__KvEvent) {
    switch m.event_case {
    case QUIRE__V1__KV_EVENT__EVENT_STORED: self = .stored(.init(m.stored.pointee))
    case QUIRE__V1__KV_EVENT__EVENT_REMOVED: self = .removed(.init(m.removed.pointee))
    case QUIRE__V1__KV_EVENT__EVENT_CLEARED: self = .cleared(.init(m.cleared.pointee.cause))
    case QUIRE__V1__KV_EVENT__EVENT_FORKED:
      let forked = m.forked.pointee
      self = .forked(
        session: forked.session, parentID: forked.parent_id,
        childIDs: Array(list(forked.child_ids, forked.n_child_ids)))
    case QUIRE__V1__KV_EVENT__EVENT_COPIED:
      let copied = m.copied.pointee
      self = .copied(session: copied.session, .init(orNone: copied.copy))
    case QUIRE__V1__KV_EVENT__EVENT_MOVED:
      let moved = m.moved.pointee
      self = .moved(
        session: moved.session, .init(orNone: moved.copy), hash: Array(text(moved.block_hash)),
        .init(moved.cause))
    case QUIRE__V1__KV_EVENT__EVENT_COPIES_REMOVED:
      self = .copiesRemoved(.init(m.copies_removed.pointee))
    default: return nil
    }
  }
}

/// The values of a `BlockStored`.
package struct BlockStoredFields: Equatable {
  /// One behind the other.
  package var hashes: [UInt8] = []
  /// Empty: the first block begins its prefix.
  package var parentHash: [UInt8] = []
  package var tokenIDs: [UInt32] = []
  package var blockSize: UInt32 = 0
  package var blockIDs: [UInt32] = []
  /// Empty = none.
  package var loraName = ""
  package var session: UInt64 = 0
  package var sizeClass: UInt32 = 0

  package init() {}

  init(_ m: Quire__V1__BlockStored) {
    loraName = String(decoding: text(m.lora_name), as: UTF8.self)
    hashes = Array(text(m.block_hashes))
    parentHash = Array(text(m.parent_block_hash))
    tokenIDs = Array(list(m.token_ids, m.n_token_ids))
    blockSize = m.block_size
    blockIDs = Array(list(m.block_ids, m.n_block_ids))
    session = m.session
    sizeClass = m.size_class
  }
}

/// The values of a `BlockRemoved`.
package struct BlockRemovedFields: Equatable {
  package var hashes: [UInt8] = []
  package var blockIDs: [UInt32] = []
  package var remainingCopies: [UInt32] = []
  package var cause = EventCause.unspecified
  package var sizeClass: UInt32 = 0

  package init() {}

  init(_ m: Quire__V1__BlockRemoved) {
    hashes = Array(text(m.block_hashes))
    blockIDs = Array(list(m.block_ids, m.n_block_ids))
    remainingCopies = Array(list(m.remaining_copies, m.n_remaining_copies))
    cause = EventCause(m.cause)
    sizeClass = m.size_class
  }
}

/// A `StateChunk`.
package struct StateChunkMessage: WireMessage {
  package static var kind: MessageKind { .stateChunk }
  private let m: UnsafePointer<Quire__V1__StateChunk>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__StateChunk.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var nextSequenceNumber: UInt64 { m.pointee.next_sequence_number }
  package var epoch: UInt64 { m.pointee.epoch }
  /// In the first chunk.
  package var hasPool: Bool { m.pointee.pool != nil }
  /// In the last one.
  package var stateDigest: UInt64? {
    m.pointee.end_case == QUIRE__V1__STATE_CHUNK__END_STATE_DIGEST ? m.pointee.state_digest : nil
  }
  package var blockCount: Int { m.pointee.n_blocks }
  package func block(_ index: Int) -> DumpedBlockFields {
    precondition(index >= 0 && index < m.pointee.n_blocks, "a block outside its chunk")
    return DumpedBlockFields(m.pointee.blocks[index]!.pointee)
  }
  package var sequenceCount: Int { m.pointee.n_sequences }
}

/// The values of a `BlockRecord`.
package struct DumpedBlockFields: Equatable {
  package var id: UInt32
  package var references: UInt32
  package var generation: UInt32
  package var hash: [UInt8]
  package var parentHash: [UInt8]
  package var tokenIDs: [UInt32]
  /// Raw value of `Tier`; 0 = the device.
  package var tier: UInt32
  package var pins: UInt32

  init(_ m: Quire__V1__BlockRecord) {
    id = m.block_id
    references = m.ref_count
    generation = m.generation
    hash = Array(text(m.block_hash))
    parentHash = Array(text(m.parent_hash))
    tokenIDs = Array(list(m.token_ids, m.n_token_ids))
    tier = m.tier.rawValue
    pins = m.pins
  }
}

extension EventCause {
  init(_ m: Quire__V1__EventCause) { self = EventCause(rawValue: m.rawValue) ?? .unspecified }
}

extension CopyOrderFields {
  /// Of a message that may have been left out.
  init(orNone m: UnsafePointer<Quire__V1__CopyOrder>?) {
    if let m {
      self.init(m.pointee)
    } else {
      self.init(
        copyID: 0, sourceBlock: 0, targetBlock: 0, tokens: 0, sequenceID: 0, tableIndex: 0)
    }
  }
}

// What clients send.
extension MessagePacker {
  /// `start`: the first batch wanted; nil = the next one.
  package mutating func subscribeKvEventsRequest(
    call: CallFields = CallFields(), start: UInt64? = nil, epoch: UInt64 = 0,
    withForksAndCopies: Bool = false, withTokenIDs: Bool = false
  ) {
    uint64(5, epoch)
    bool(4, withTokenIDs)
    bool(3, withForksAndCopies)
    if let start { setUInt64(2, start) }
    self.call(call)
  }

  package mutating func dumpStateRequest(
    call: CallFields = CallFields(), withTokenIDs: Bool = false, withParentHashes: Bool = false,
    withStateDigest: Bool = false
  ) {
    bool(4, withStateDigest)
    bool(3, withParentHashes)
    bool(2, withTokenIDs)
    self.call(call)
  }
}
