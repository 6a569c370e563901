internal import CQuireProtos

// events.proto: requests as views; batches and dumps by the packer.

package struct SubscribeKvEventsRequest: WireMessage {
  package static var kind: MessageKind { .subscribeKvEventsRequest }
  private let m: UnsafePointer<Quire__V1__SubscribeKvEventsRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__SubscribeKvEventsRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  /// nil: from the next batch on.
  package var startSequenceNumber: UInt64? {
    m.pointee.start_case == QUIRE__V1__SUBSCRIBE_KV_EVENTS_REQUEST__START_START_SEQUENCE_NUMBER
      ? m.pointee.start_sequence_number : nil
  }
  /// 0 = not known.
  package var epoch: UInt64 { m.pointee.epoch }
  package var wantsForksAndCopies: Bool { m.pointee.with_forks_and_copies != 0 }
  package var wantsTokenIDs: Bool { m.pointee.with_token_ids != 0 }
}

package struct DumpStateRequest: WireMessage {
  package static var kind: MessageKind { .dumpStateRequest }
  private let m: UnsafePointer<Quire__V1__DumpStateRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__DumpStateRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var wantsTokenIDs: Bool { m.pointee.with_token_ids != 0 }
  package var wantsParentHashes: Bool { m.pointee.with_parent_hashes != 0 }
  package var wantsStateDigest: Bool { m.pointee.with_state_digest != 0 }
}

/// Raw values of `EventCause`.
package enum EventCause: UInt32 {
  case unspecified = 0
  case allocation, ahead, request, overwrite, rewind, defragment, swapOut, swapIn
  case resetPrefixCache, resetPool, loadPool
}

/// The kinds of `KvEvent`, by their field.
package enum EventKind: UInt32 {
  case stored = 1
  case removed, cleared, forked, copied, moved, copiesRemoved
}

extension MessagePacker {
  // MARK: Events, each as the field `events` of its batch

  /// The field of `KvEventBatch` that an event is.
  package static var eventsField: UInt32 { 6 }

  package mutating func clearedEvent(cause: EventCause) {
    let mark = mark
    uint32(2, cause.rawValue)
    closeEvent(.cleared, since: mark)
  }

  package mutating func forkedEvent(
    session: UInt64, parentID: UInt64, childIDs: UnsafeBufferPointer<UInt64>
  ) {
    let mark = mark
    packedUInt64(3, childIDs)
    uint64(2, parentID)
    fixed64(1, session)
    closeEvent(.forked, since: mark)
  }

  package mutating func copiedEvent(session: UInt64, _ copy: CopyOrderFields) {
    let mark = mark
    copyOrder(2, copy)
    fixed64(1, session)
    closeEvent(.copied, since: mark)
  }

  /// `hash`: of what moved; empty = nothing that could be hit.
  package mutating func movedEvent(
    session: UInt64, _ copy: CopyOrderFields, hash: UnsafeRawBufferPointer, cause: EventCause
  ) {
    let mark = mark
    uint32(4, cause.rawValue)
    bytes(3, hash)
    copyOrder(2, copy)
    fixed64(1, session)
    closeEvent(.moved, since: mark)
  }

  private mutating func closeEvent(_ kind: EventKind, since mark: Int) {
    close(kind.rawValue, since: mark)
    close(Self.eventsField, since: mark)
  }

  // MARK: The dump of a state

  /// What stands in every `StateChunk` before its blocks and sequences.
  package mutating func stateChunkHeader(
    revision: UInt64, nextSequenceNumber: UInt64, epoch: UInt64, pool: PoolInfoFields?
  ) {
    if let pool {
      let mark = mark
      poolInfo(pool)
      close(4, since: mark)
    }
    uint64(3, epoch)
    uint64(2, nextSequenceNumber)
    uint64(1, revision)
  }

  /// What stands in the last one behind them.
  package mutating func stateChunkEnd(stateDigest: UInt64) {
    setFixed64(7, stateDigest)
  }

  /// A block as the field `blocks` of its chunk.
  package mutating func stateBlock(_ block: BlockRecordFields, hash: UnsafeRawBufferPointer) {
    let mark = mark
    uint32(9, block.pins)
    uint32(7, block.tier)
    packedFixed32(6, block.tokenIDs)
    bytes(5, block.parentHash)
    bytes(4, hash)
    uint32(3, block.generation)
    uint32(2, block.references)
    uint32(1, block.id)
    close(5, since: mark)
  }

  /// A sequence as the field `sequences` of its chunk.
  package mutating func stateSequence(_ fields: SequenceFields) {
    let mark = mark
    sequence(fields)
    close(6, since: mark)
  }
}

/// The values of a `BlockRecord` beside its hash. Borrows what it points to.
package struct BlockRecordFields {
  package var id: UInt32
  package var references: UInt32
  package var generation: UInt32
  package var pins: UInt32
  /// Raw value of `Tier`; 0 = the device.
  package var tier: UInt32 = 0
  package var parentHash = UnsafeRawBufferPointer(start: nil, count: 0)
  package var tokenIDs = UnsafeBufferPointer<UInt32>(start: nil, count: 0)

  package init(id: UInt32, references: UInt32, generation: UInt32, pins: UInt32) {
    self.id = id
    self.references = references
    self.generation = generation
    self.pins = pins
  }

  /// What `writePlain` writes at most.
  package static var mostPlainBytes: Int { 2 + 4 * 6 + 2 + 32 }

  /// Writes a block of the device as the field `blocks` of its chunk, without a parent and token ids: what a
  /// packer does with it, for a million of them. Returns how many bytes it took.
  package func writePlain(
    to place: UnsafeMutablePointer<UInt8>, hash: UnsafeRawBufferPointer
  ) -> Int {
    var writer = ForwardWriter(at: place + 2)
    writer.number(1, UInt64(id))
    writer.number(2, UInt64(references))
    writer.number(3, UInt64(generation))
    writer.bytes(4, hash)
    writer.number(9, UInt64(pins))
    let end = writer.place - UnsafeMutableRawPointer(place)
    place[0] = 5 << 3 | 2
    place[1] = UInt8(end - 2)
    return end
  }
}
