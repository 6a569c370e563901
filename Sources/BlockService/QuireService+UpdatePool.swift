internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Pools.UpdatePool: options that change while a pool is used.
extension QuireService {
  func updatePool(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(UpdatePoolRequest.self, bytes)
    var update = PoolUpdate(
      eviction: EvictionPolicy(wire: request.eviction), watermark: request.watermark)
    update.proactiveFreeBlocks = request.proactiveFreeBlocks
    update.lazyFreeBatch = request.lazyFreeBatch
    _ = try apply(.updatePool(update), request.call)
    var info = PoolInfoFields(try pool(request.call))
    // A dry run answers as if.
    if let eviction = update.eviction { info.config.eviction = UInt32(eviction.rawValue) }
    if let watermark = update.watermark { info.config.watermark = watermark }
    if let count = update.proactiveFreeBlocks { info.config.proactiveFreeBlocks = count }
    if let batch = update.lazyFreeBatch { info.config.lazyFreeBatch = batch }
    packer.reset()
    packer.poolInfo(info)
    send(reply)
  }
}

extension EvictionPolicy {
  /// nil where the wire does not say; the decoder has refused unknown values.
  init?(wire: UInt32) { self.init(rawValue: UInt8(truncatingIfNeeded: wire)) }
}
