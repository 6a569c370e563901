internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Pools.Flush, and the flushes that this server makes by itself.
extension QuireService {
  func flush(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(FlushRequest.self, bytes)
    let result = try apply(.flush, request.call)
    packer.reset()
    packFlushReply(result)
    send(reply)
  }

  func packFlushReply(_ result: OperationResult) {
    packer.flushReply(
      revision: outcome.revision, freedBlocks: result.freedBlocks,
      evictedBlocks: result.evictedBlocks, availableBlocks: result.availableBlocks)
  }

  /// To be called when a command was applied.
  @inline(__always)
  func noteApplied(_ hosted: HostedPool) {
    if hosted.pool.evictionDeficit > 0 { onDeficit?() }
    if hosted.isObserved && hosted.hasNews { hosted.tellObservers(at: clockNow) }
  }

  /// Evicts ahead of need in every pool that is short of it, and asks to be called again where a flush
  /// did not suffice. Each flush is a command like those that come from clients: it moves the revision
  /// and is part of the history. It leaves the pool's clock where it is, which may be the clients' own.
  package func evictAhead() {
    for hosted in registry.pools where hosted.pool.evictionDeficit > 0 {
      operations.removeAll()
      operations.append(Operation(.flush))
      hosted.pool.apply(
        Command(session: 0, operations: operations.elements), into: outcome)
      noteApplied(hosted)
    }
  }
}
