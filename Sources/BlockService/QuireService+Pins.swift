internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences.Pin: cached prefixes that are kept from eviction.
extension QuireService {
  func packPinReply(_ result: OperationResult) {
    packer.pinReply(
      revision: outcome.revision, pinnedTokens: result.tokens, pinnedBlocks: result.affected,
      budgetBlocks: result.budgetBlocks)
  }
}
