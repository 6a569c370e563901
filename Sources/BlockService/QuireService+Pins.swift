internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences.Pin: cached prefixes that are kept from eviction.
extension QuireService {
  func pin(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(PinRequest.self, bytes)
    guard let pin = request.pin else { throw .missing("pin") }
    contents.begin()
    let result = try apply(OperationReader.pin(pin, contents), request.call)
    packer.reset()
    packPinReply(result)
    send(reply)
  }

  func packPinReply(_ result: OperationResult) {
    packer.pinReply(
      revision: outcome.revision, pinnedTokens: result.tokens, pinnedBlocks: result.affected,
      budgetBlocks: result.budgetBlocks)
  }
}

extension OperationReader {
  static func pin(_ m: PinMessage, _ contents: ContentReader) -> Operation.Kind {
    let content = m.content
    return .pin(
      PinPrefix(
        blockHashes: content.blockHashes, tokens: content.tokens, tokenIDs: content.tokenIDs,
        extraKeys: contents.extraKeys(content, m.options, 0), timeToLive: m.timeToLive,
        unpins: m.unpins, sizeClass: m.options.sizeClass))
  }
}
