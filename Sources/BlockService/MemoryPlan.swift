internal import BlockMessages
internal import KVBlocks

/// How many blocks of how many tokens a configuration makes: given, or from bytes and a geometry.
///
/// One rule for `CreatePool` and for the command line. Where blocks and bytes are both given they must
/// agree, so that a configuration that a server tells can be sent back.
struct MemoryPlan {
  let blocks: UInt32
  let blockSize: UInt32
  let sizeClasses: [SizeClass]
  let geometry: KVGeometry?
  let budget: KVBudget?

  init(_ config: PoolConfigFields) throws(CallFailure) {
    sizeClasses = try SizeClassPlan.classes(config)
    if let last = sizeClasses.last {
      let shape = try config.geometry.map { (fields) throws(CallFailure) in
        try Self.geometry(fields, last.blockSize)
      }
      let total = sizeClasses.reduce(0) { $0 + $1.blocks }
      if let shape, shape.bytesPerBlock > KVGeometry.maximumBytes / (UInt64(total) + 1) {
        throw .invalid(
          "config.geometry", "makes blocks of over \(KVGeometry.maximumBytes) bytes in all")
      }
      blocks = total
      blockSize = sizeClasses[0].blockSize
      geometry = shape?.geometry
      budget = nil
      return
    }
    let isFromBytes = config.kvBytes != 0
    let blockSize =
      isFromBytes && config.blockSize == 0 ? KVBudget.defaultBlockSize : config.blockSize
    if !isFromBytes {
      guard (1...PoolConfiguration.maximumBlocks).contains(config.blocks) else {
        throw .invalid("config.blocks", "must be 1...\(PoolConfiguration.maximumBlocks)")
      }
    }
    guard (1...PoolConfiguration.maximumBlockSize).contains(blockSize) else {
      throw .invalid("config.block_size", "must be 1...\(PoolConfiguration.maximumBlockSize)")
    }
    let shape = try config.geometry.map { (fields) throws(CallFailure) in
      try Self.geometry(fields, blockSize)
    }
    var blocks = config.blocks
    if isFromBytes {
      guard let shape else {
        throw .invalid("config.geometry", "must be set with config.kv_bytes")
      }
      let budget = try Self.budget(config)
      blocks = try Self.blocks(config, budget, shape.bytesPerBlock)
      self.budget = budget
    } else {
      guard config.memoryUtilization == 0 else {
        throw .invalid("config.memory_utilization", "must be 0 without config.kv_bytes")
      }
      budget = nil
    }
    if let shape {
      guard shape.bytesPerBlock <= KVGeometry.maximumBytes / (UInt64(blocks) + 1) else {
        throw .invalid(
          "config.geometry",
          "makes \(blocks) blocks of \(shape.bytesPerBlock) bytes, over "
            + "\(KVGeometry.maximumBytes) bytes with the null block")
      }
    }
    geometry = shape?.geometry
    self.blocks = blocks
    self.blockSize = blockSize
  }

  private static func geometry(
    _ fields: KVGeometryFields, _ blockSize: UInt32
  ) throws(CallFailure) -> (geometry: KVGeometry, bytesPerBlock: UInt64) {
    for (name, value) in [
      ("layers", fields.layers), ("kv_heads", fields.kvHeads), ("head_size", fields.headSize),
      ("dtype_bytes", fields.dtypeBytes),
    ] where value == 0 {
      throw .invalid("config.geometry.\(name)", "must be at least 1")
    }
    let geometry = KVGeometry(
      layers: fields.layers, kvHeads: fields.kvHeads, headSize: fields.headSize,
      dtypeBytes: fields.dtypeBytes)
    guard let bytes = geometry.bytesPerBlock(blockSize) else {
      throw .invalid(
        "config.geometry", "makes a block of more than \(KVGeometry.maximumBytes) bytes")
    }
    return (geometry, bytes)
  }

  private static func budget(_ config: PoolConfigFields) throws(CallFailure) -> KVBudget {
    let utilization =
      config.memoryUtilization == 0 ? KVBudget.defaultUtilization : config.memoryUtilization
    guard utilization > 0 && utilization <= 1 else {
      throw .invalid("config.memory_utilization", "must be over 0 and at most 1; 0 means 0.9")
    }
    guard config.kvBytes <= KVGeometry.maximumBytes else {
      throw .invalid("config.kv_bytes", "must be at most \(KVGeometry.maximumBytes)")
    }
    return KVBudget(bytes: config.kvBytes, utilization: utilization)
  }

  private static func blocks(
    _ config: PoolConfigFields, _ budget: KVBudget, _ bytesPerBlock: UInt64
  ) throws(CallFailure) -> UInt32 {
    let fit = KVGeometry.blocks(
      in: budget.bytes, utilization: budget.utilization, bytesPerBlock: bytesPerBlock)
    guard (1...UInt64(PoolConfiguration.maximumBlocks)).contains(fit) else {
      throw .invalid(
        "config.kv_bytes",
        "makes \(fit) blocks of \(bytesPerBlock) bytes, must make "
          + "1...\(PoolConfiguration.maximumBlocks)")
    }
    guard config.blocks == 0 || UInt64(config.blocks) == fit else {
      throw .invalid(
        "config.blocks", "is \(config.blocks), and config.kv_bytes makes \(fit): set one of them")
    }
    return UInt32(fit)
  }
}
