internal import CQuireProtos

// sequences.proto and scheduler.proto, as far as they promise blocks and find some.

package struct ReserveRequest: WireMessage {
  package static var kind: MessageKind { .reserveRequest }
  private let m: UnsafePointer<Quire__V1__ReserveRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ReserveRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var reserve: ReserveMessage? { m.pointee.reserve.map { .init($0) } }
}

package struct ReserveMessage {
  private let m: UnsafePointer<Quire__V1__Reserve>
  init(_ m: UnsafePointer<Quire__V1__Reserve>) { self.m = m }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
  package var blocks: UInt32 { m.pointee.blocks }
  package var releases: Bool { m.pointee.release != 0 }
}

// MARK: Replies

extension MessagePacker {
  package mutating func reserveReply(
    revision: UInt64, reservedBlocks: UInt32, availableBlocks: UInt32
  ) {
    uint32(3, availableBlocks)
    uint32(2, reservedBlocks)
    uint64(1, revision)
  }
}
