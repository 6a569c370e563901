internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Pools.UpdatePool: options that change while a pool is used.
extension QuireService {
  func updatePool(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(UpdatePoolRequest.self, bytes)
    guard request.eviction <= 1 else {
      let name = PoolConfigFields.evictionName(request.eviction)
      throw CallFailure(Status(.unimplemented, "eviction \(name) is not served yet"))
    }
    var update = PoolUpdate(watermark: request.watermark)
    update.proactiveFreeBlocks = request.proactiveFreeBlocks
    _ = try apply(.updatePool(update), request.call)
    var info = PoolInfoFields(try pool(request.call))
    // A dry run answers as if.
    if let watermark = update.watermark { info.config.watermark = watermark }
    if let count = update.proactiveFreeBlocks { info.config.proactiveFreeBlocks = count }
    packer.reset()
    packer.poolInfo(info)
    send(reply)
  }
}
