internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences: promises, and who would have to go.
extension QuireService {
  func reserve(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(ReserveRequest.self, bytes)
    guard let reserve = request.reserve else { throw .missing("reserve") }
    let result = try apply(OperationReader.reserve(reserve), request.call)
    packer.reset()
    packer.reserveReply(
      revision: outcome.revision, reservedBlocks: result.affected,
      availableBlocks: result.availableBlocks)
    send(reply)
  }
}

extension OperationReader {
  static func reserve(_ m: ReserveMessage) -> Operation.Kind {
    .reserve(Reserve(sequence: m.sequenceID, blocks: m.blocks, releases: m.releases))
  }
}
