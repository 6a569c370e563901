internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences: between the device and the host tier.
extension QuireService {
  func swapOut(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(SwapRequest.self, bytes)
    guard let swap = request.swap else { throw .missing("swap") }
    let result = try apply(OperationReader.swapOut(swap), request.call)
    packer.reset()
    packSwapReply(result)
    send(reply)
  }

  func swapIn(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(SwapRequest.self, bytes)
    guard let swap = request.swap else { throw .missing("swap") }
    let result = try apply(OperationReader.swapIn(swap), request.call)
    packer.reset()
    packSwapReply(result)
    send(reply)
  }

  func packSwapReply(_ result: OperationResult) {
    packer.mustZero(outcome.mustZero.elements(result.mustZero))
    packer.swapReplyAfterCopies(
      freedBlocks: result.freedBlocks, availableBlocks: result.availableBlocks,
      availableHostBlocks: result.availableHostBlocks)
    packCopies(MessagePacker.swapCopiesField, result)
    packer.swapReplyBeforeCopies(revision: outcome.revision)
  }
}
