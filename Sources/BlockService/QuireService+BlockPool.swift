internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.BlockPool: raw blocks.
extension QuireService {
  func allocate(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode { (decoder) throws(DecodeFailure) in
      try decoder.decodeAllocate(bytes)
    }
    guard let allocate = request.allocate else { throw .missing("allocate") }
    let result =
      if let count = OperationReader.plainCount(allocate) {
        try apply(allocating: count, request.call)
      } else {
        try applyInPlace(OperationReader.allocate(allocate), request.call)
      }
    packer.reset()
    packer.mustZero(outcome.mustZero.elements)
    packer.allocateReply(
      revision: outcome.revision, blockIDs: outcome.blocks.elements(result.pointee.newBlocks),
      availableBlocks: outcome.availableBlocks, evictedBlocks: result.pointee.evictedBlocks)
    send(reply)
  }

  func freeBlocks(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode { (decoder) throws(DecodeFailure) in
      try decoder.decodeFree(bytes)
    }
    guard let free = request.freeBlocks else { throw .missing("free_blocks") }
    let result = try applyInPlace(OperationReader.freeBlocks(free), request.call)
    packer.reset()
    packer.freeReply(
      revision: outcome.revision, freedBlocks: result.pointee.freedBlocks,
      availableBlocks: outcome.availableBlocks)
    send(reply)
  }

  func forkBlocks(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(ForkBlocksRequest.self, bytes)
    guard let fork = request.forkBlocks else { throw .missing("fork_blocks") }
    let result = try apply(OperationReader.forkBlocks(fork), request.call)
    packer.reset()
    packer.forkBlocksReply(
      revision: outcome.revision, refCounts: outcome.counts.elements(result.counts))
    send(reply)
  }

  func copyOnWrite(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(CopyOnWriteRequest.self, bytes)
    guard let copyOnWrite = request.copyOnWrite else { throw .missing("copy_on_write") }
    let result = try apply(OperationReader.copyOnWrite(copyOnWrite), request.call)
    packer.reset()
    packer.mustZero(outcome.mustZero.elements)
    packer.copyOnWriteReply(
      revision: outcome.revision, blockID: result.block, copy: firstCopy(result),
      availableBlocks: outcome.availableBlocks)
    send(reply)
  }

  func ackCopies(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(AckCopiesRequest.self, bytes)
    guard let ack = request.ackCopies else { throw .missing("ack_copies") }
    let result = try apply(OperationReader.ackCopies(ack), request.call)
    packer.reset()
    packer.abandonedCopies(outcome.abandoned.elements)
    packer.ackCopiesReply(
      revision: outcome.revision, acknowledged: result.affected, pending: result.pendingCopies,
      availableBlocks: outcome.availableBlocks)
    send(reply)
  }

  func firstCopy(_ result: OperationResult) -> CopyOrderFields? {
    guard result.copies.count > 0 else { return nil }
    return CopyOrderFields(outcome.copies[Int(result.copies.start)])
  }

  /// Packs an operation's copies as the repeated field `field`.
  func packCopies(_ field: UInt32, _ result: OperationResult) {
    let copies = outcome.copies.elements(result.copies)
    var index = copies.count
    while index > 0 {
      index -= 1
      packer.copyOrder(field, CopyOrderFields(copies[index]))
    }
  }
}

extension CopyOrderFields {
  init(_ order: CopyOrder) {
    let isBetweenTiers = order.kind.sourceTier != order.kind.targetTier
    self.init(
      copyID: order.id, sourceBlock: order.source, targetBlock: order.target, tokens: order.tokens,
      sequenceID: order.isRaw ? 0 : order.sequence, tableIndex: order.tableIndex,
      sourceTier: isBetweenTiers ? UInt32(order.kind.sourceTier.rawValue) : 0,
      targetTier: isBetweenTiers ? UInt32(order.kind.targetTier.rawValue) : 0)
  }
}
