internal import CQuireProtos

// sequences.proto: pins.

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
