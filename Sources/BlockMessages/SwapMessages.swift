internal import CQuireProtos

// sequences.proto: swapping between the tiers.

/// Of SwapOut and of SwapIn.
package struct SwapRequest: WireMessage {
  package static var kind: MessageKind { .swapRequest }
  private let m: UnsafePointer<Quire__V1__SwapRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__SwapRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var swap: SwapMessage? { m.pointee.swap.map { .init($0) } }
}

/// `SwapSequences`.
package struct SwapMessage {
  private let m: UnsafePointer<Quire__V1__SwapSequences>
  init(_ m: UnsafePointer<Quire__V1__SwapSequences>) { self.m = m }
  package var sequenceIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.sequence_ids, m.pointee.n_sequence_ids)
  }
}

extension MessagePacker {
  /// Field of `copies` in `SwapReply`, packed between the two halves.
  package static var swapCopiesField: UInt32 { 2 }

  package mutating func swapReplyAfterCopies(
    freedBlocks: UInt32, availableBlocks: UInt32, availableHostBlocks: UInt32
  ) {
    uint32(5, availableHostBlocks)
    uint32(4, availableBlocks)
    uint32(3, freedBlocks)
  }

  package mutating func swapReplyBeforeCopies(revision: UInt64) { uint64(1, revision) }
}
