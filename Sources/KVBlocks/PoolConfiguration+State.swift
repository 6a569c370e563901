/// The configuration in a dump. Whatever is added to it is written and read here.
extension PoolConfiguration {
  func write(to writer: StateWriter) {
    if !sizeClasses.isEmpty { SizeClass.write(sizeClasses, to: writer) }
    writer.section("CONF")
    writer.u32(blocks)
    writer.u32(blockSize)
    writer.u8(copyAck.rawValue)
    writer.flag(cachesPrefixes)
    writer.u8(UInt8(hashBytes))
    writer.flag(eagle)
    if cachesPrefixes { writeHashing(to: writer) }
    writer.f64(watermark)
    writer.u32(maxModelTokens)
    writer.u32(hostBlocks)
    writer.u32(slidingWindow)
    if slidingWindow > 0 { writer.u32(maxInFlightTokens) }
    writer.u8(strategy.rawValue)
    if cachesPrefixes {
      writer.u32(pinBudgetBlocks)
      writer.u8(eviction.rawValue)
    }
    writer.flag(geometry != nil)
    geometry?.write(to: writer)
    writer.flag(budget != nil)
    budget?.write(to: writer)
    writer.flag(zeroesOnFree)
    admission.write(to: writer)
  }

  private func writeHashing(to writer: StateWriter) {
    hashSeed.withUnsafeBufferPointer { writer.list($0) }
    writer.flag(isHashSeedDrawn)
    writer.u32(hashLookaheadTokens)
    writer.flag(keepsTokens)
  }

  init(from reader: inout StateReader) throws(StateFailure) {
    let classes = try SizeClass.readAll(from: &reader)
    try reader.section("CONF")
    let blocks = try reader.u32("blocks", 1, through: Self.maximumBlocks)
    let blockSize = try reader.u32("block_size", 1, through: Self.maximumBlockSize)
    if !classes.isEmpty
      && (blockSize != classes[0].blockSize || blocks != classes.reduce(0) { $0 + $1.blocks })
    {
      throw reader.failure("blocks and block_size are not those of the size classes")
    }
    guard let copyAck = CopyAck(rawValue: try reader.u8()) else {
      throw reader.failure("copy_ack is unknown")
    }
    let cachesPrefixes = try reader.flag("prefix caching")
    let hashBytes = try reader.u8()
    guard hashBytes == 16 || hashBytes == 32 else {
      throw reader.failure("a hash has \(hashBytes) bytes, must be 16 or 32")
    }
    let eagle = try reader.flag("eagle")
    var seed = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    var isSeedDrawn = false
    var lookahead: UInt32 = 0
    var keepsTokens = false
    if cachesPrefixes {
      seed = try reader.list("bytes of the hash seed", through: 1 << 16)
      isSeedDrawn = try reader.flag("a drawn hash seed")
      lookahead = try reader.u32("hash_lookahead_tokens", through: Self.maximumHashLookahead)
      keepsTokens = try reader.flag("keep_tokens")
    }
    let watermark = try reader.f64()
    guard watermark >= 0 && watermark < 1 else {
      throw reader.failure("the watermark is \(watermark), must be at least 0 and less than 1")
    }
    let maxModelTokens = try reader.u32()
    let hostBlocks = try reader.u32("host_blocks", through: Self.maximumBlocks)
    let window = try reader.u32("the sliding window", through: KVPool.maximumTokens)
    let inFlight = window > 0 ? try reader.u32() : 0
    guard let strategy = AllocationStrategy(rawValue: try reader.u8()) else {
      throw reader.failure("the strategy is unknown")
    }
    if let conflict = Self.conflict(
      strategy, cachesPrefixes: cachesPrefixes, maxModelTokens: maxModelTokens,
      slots: UInt64(blocks) * UInt64(blockSize), hostBlocks: hostBlocks, slidingWindow: window)
    {
      throw reader.failure("the strategy contradicts the rest (\(conflict))")
    }
    var pinBudgetBlocks: UInt32 = 0
    var eviction = EvictionPolicy.lru
    if cachesPrefixes {
      pinBudgetBlocks = try reader.u32()
      guard let known = EvictionPolicy(rawValue: try reader.u8()) else {
        throw reader.failure("eviction is unknown")
      }
      eviction = known
    }
    if !classes.isEmpty && (strategy != .freeQueue || eviction != .lru) {
      throw reader.failure("strategy or eviction contradicts size classes")
    }
    let geometry =
      try reader.flag("a geometry")
      ? try KVGeometry(
        from: &reader, blocks: blocks, blockSize: classes.last?.blockSize ?? blockSize)
      : nil
    let budget = try reader.flag("a budget") ? try KVBudget(from: &reader) : nil
    let zeroesOnFree = try reader.flag("zero_on_free")
    self.init(
      blocks: blocks, blockSize: blockSize, sizeClasses: classes, copyAck: copyAck,
      cachesPrefixes: cachesPrefixes, hashBytes: Int(hashBytes), hashSeed: Array(seed),
      isHashSeedDrawn: isSeedDrawn, hashLookaheadTokens: lookahead, keepsTokens: keepsTokens,
      eagle: eagle, watermark: watermark, maxModelTokens: maxModelTokens, strategy: strategy,
      eviction: eviction, hostBlocks: hostBlocks, zeroesOnFree: zeroesOnFree, slidingWindow: window,
      maxInFlightTokens: inFlight, pinBudgetBlocks: pinBudgetBlocks, geometry: geometry,
      budget: budget)
    admission = try AdmissionOptions(from: &reader, blocks: blocks)
    if !sizeClasses.isEmpty
      && (admission.threshold != nil || admission.proactiveFreeBlocks > 0 || budget != nil)
    {
      throw reader.failure(
        "kv_bytes, admission_threshold or proactive_free_blocks contradicts size classes")
    }
    if let conflict = admission.conflict(strategy, cachesPrefixes: cachesPrefixes) {
      throw reader.failure("\(conflict) contradicts the rest")
    }
  }
}
