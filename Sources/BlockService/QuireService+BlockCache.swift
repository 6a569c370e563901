internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.BlockPool: the prefix cache by hashes.
extension QuireService {
  func lookupBlocks(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(LookupBlocksRequest.self, bytes)
    guard let lookup = request.lookupBlocks else { throw .missing("lookup_blocks") }
    let pool = try readPool(request.call).pool
    outcome.reset()
    do throws(Refusal) {
      _ = try pool.lookupBlocks(
        lookup.blockHashes, sizeClass: lookup.sizeClass, into: &outcome.cached)
    } catch {
      if error.field == .sizeClass {
        throw .invalid("lookup_blocks.size_class", RefusalText.sizeClassRule(error.limit))
      }
      throw .invalid("lookup_blocks.block_hashes", RefusalText.hashRule(error.limit))
    }
    for id in outcome.cached.elements { outcome.counts.append(pool.block(id).refCount) }
    packer.reset()
    packer.lookupBlocksReply(
      revision: pool.revision, blockIDs: outcome.cached.elements,
      refCounts: outcome.counts.elements)
    send(reply)
  }

  func acquire(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(AcquireRequest.self, bytes)
    guard let acquire = request.acquire else { throw .missing("acquire") }
    let result = try apply(OperationReader.acquire(acquire), request.call)
    packer.reset()
    packAcquireReply(result)
    send(reply)
  }

  func packAcquireReply(_ result: OperationResult) {
    packer.mustZero(outcome.mustZero.elements(result.mustZero))
    packer.acquireReply(
      revision: outcome.revision, cachedBlockIDs: outcome.cached.elements(result.cachedBlocks),
      newBlockIDs: outcome.blocks.elements(result.newBlocks),
      availableBlocks: result.availableBlocks, evictedBlocks: result.evictedBlocks)
  }

  func cacheBlocks(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(CacheBlocksRequest.self, bytes)
    guard let cache = request.cacheBlocks else { throw .missing("cache_blocks") }
    let result = try apply(OperationReader.cacheBlocks(cache), request.call)
    packer.reset()
    packer.cacheBlocksReply(revision: outcome.revision, cachedBlocks: result.affected)
    send(reply)
  }

  func evictBlocks(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(EvictBlocksRequest.self, bytes)
    guard let evict = request.evictBlocks else { throw .missing("evict_blocks") }
    let result = try apply(OperationReader.evictBlocks(evict), request.call)
    packer.reset()
    packer.evictBlocksReply(
      revision: outcome.revision, evictedBlocks: result.affected,
      availableBlocks: outcome.availableBlocks)
    send(reply)
  }
}
