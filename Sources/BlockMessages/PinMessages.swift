internal import CQuireProtos

// sequences.proto: pins.

package struct PinRequest: WireMessage {
  package static var kind: MessageKind { .pinRequest }
  private let m: UnsafePointer<Quire__V1__PinRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__PinRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var pin: PinMessage? { m.pointee.pin.map { .init($0) } }
}

package struct PinMessage {
  private let m: UnsafePointer<Quire__V1__Pin>
  init(_ m: UnsafePointer<Quire__V1__Pin>) { self.m = m }
  package var content: ContentMessage { .init(m.pointee.content) }
  package var options: OptionsMessage { .init(m.pointee.options) }
  /// Milliseconds; 0 = until unpinned.
  package var timeToLive: UInt64 { m.pointee.ttl_ms }
  package var unpins: Bool { m.pointee.unpin != 0 }
}

extension MessagePacker {
  package mutating func pinReply(
    revision: UInt64, pinnedTokens: UInt32, pinnedBlocks: UInt32, budgetBlocks: UInt32
  ) {
    uint32(4, budgetBlocks)
    uint32(3, pinnedBlocks)
    uint32(2, pinnedTokens)
    uint64(1, revision)
  }
}
