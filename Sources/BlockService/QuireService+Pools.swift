internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Pools: making, looking up, resetting and deleting pools.
extension QuireService {
  func createPool(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(CreatePoolRequest.self, bytes)
    let name = try poolName(request.name, request.call)
    guard let config = request.config else { throw .missing("config") }
    let configuration = try PoolConfiguration(config)
    let existing = registry.pools.first { $0.name == name }
    try checkRevision(request.call.ifRevision, of: existing, name)
    let isDryRun = request.call.isDryRun
    var info = PoolInfoFields(name, configuration)
    if let existing {
      try meet(existing, configuration, request.ifExists, isDryRun: isDryRun)
      let isReset = request.ifExists == .reset
      if isReset && isDryRun { info.revision = existing.pool.revision }
      if !isReset || !isDryRun { info = PoolInfoFields(existing) }
    } else {
      try checkOneMorePool()
      try checkRoom(for: configuration, insteadOf: nil)
      if !isDryRun { registry.insert(HostedPool(name: name, configuration: configuration)) }
    }
    packer.reset()
    packer.poolInfo(info)
    send(reply)
  }

  func getPool(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetPoolRequest.self, bytes)
    let hosted = try readPool(request.call)
    packer.reset()
    packer.poolInfo(PoolInfoFields(hosted))
    send(reply)
  }

  func listPools(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(ListPoolsRequest.self, bytes)
    let size = try Self.pageSize(request.pageSize)
    // The token is the last name of the page before.
    let token = String(decoding: request.pageToken, as: UTF8.self)
    let rest = registry.pools.filter { token.isEmpty || $0.name > token }
    let page = rest.prefix(size)
    packer.reset()
    packer.listPoolsReply(
      page.map { PoolInfoFields($0) },
      nextPageToken: rest.count > size ? page.last?.name ?? "" : "")
    send(reply)
  }

  func deletePool(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(DeletePoolRequest.self, bytes)
    let hosted = try readPool(request.call)
    try checkNothingHeld(hosted, isForced: request.isForced)
    packer.reset()
    packer.deletePoolReply(revision: hosted.pool.revision, heldBlocks: hosted.heldBlocks)
    if !request.call.isDryRun { registry.remove(hosted) }
    send(reply)
  }

  func resetPool(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(ResetPoolRequest.self, bytes)
    let hosted = try readPool(request.call)
    try checkNothingHeld(hosted, isForced: request.isForced)
    if !request.call.isDryRun {
      hosted.pool.reset()
      hosted.waits?.begin(hosted.pool)
      noteApplied(hosted)
    }
    var info = PoolInfoFields(hosted)
    // As if, but for the revision, which is the current one.
    info.availableBlocks = hosted.pool.configuration.blocks
    packer.reset()
    packer.poolInfo(info)
    send(reply)
  }

  func resetPrefixCache(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(ResetPrefixCacheRequest.self, bytes)
    let result = try apply(
      .resetPrefixCache(preemptsRunning: request.preemptsRunning), request.call)
    packer.reset()
    packResetPrefixCacheReply(result)
    send(reply)
  }

  func packResetPrefixCacheReply(_ result: OperationResult) {
    packer.resetPrefixCacheReply(
      revision: outcome.revision, clearedBlocks: result.affected,
      preemptedSequenceIDs: outcome.preempted.elements(result.preempted))
  }

  func getDigest(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetDigestRequest.self, bytes)
    let hosted = try readPool(request.call)
    let pool = hosted.pool
    packer.reset()
    packer.digest(
      revision: pool.revision, historyDigest: pool.historyDigest,
      stateDigest: request.wantsHistoryOnly ? 0 : pool.stateDigest(), pool: hosted.name)
    send(reply)
  }

  // MARK: Rules

  /// The name of a pool to be made.
  func poolName(
    _ name: UnsafeBufferPointer<UInt8>, _ call: CallMessage
  ) throws(CallFailure) -> String {
    let named = name.isEmpty ? call.pool : name
    if !call.pool.isEmpty && !call.pool.elementsEqual(named) {
      throw .invalid("call.pool", "must be empty or the same as name")
    }
    if named.isEmpty { return PoolRegistry.defaultName }
    guard PoolRegistry.isName(named) else {
      throw .invalid("name", "must be 1 to \(PoolRegistry.longestName) bytes of A-Z a-z 0-9 - _ .")
    }
    return String(decoding: named, as: UTF8.self)
  }

  /// What to do with a pool that is there already.
  private func meet(
    _ existing: HostedPool, _ configuration: PoolConfiguration,
    _ ifExists: IfExists, isDryRun: Bool
  ) throws(CallFailure) {
    switch ifExists {
    case .error: throw .poolExists(existing.name)
    case .return:
      guard existing.pool.configuration.asked == configuration else {
        throw .pool(
          .failedPrecondition, .wrongState, "config",
          "pool \"\(existing.name)\" has another configuration")
      }
    case .reset:
      try checkRoom(for: configuration, insteadOf: existing)
      if !isDryRun {
        existing.reset(to: configuration)
        noteApplied(existing)
      }
    }
  }

  /// `if_revision` of a call that may make its pool.
  func checkRevision(
    _ ifRevision: UInt64, of existing: HostedPool?, _ name: String
  ) throws(CallFailure) {
    guard ifRevision != 0 else { return }
    if let existing { return try check(ifRevision, existing) }
    throw .pool(
      .aborted, .revisionMoved, "call.if_revision",
      "call.if_revision is \(ifRevision), and there is no pool \"\(name)\"")
  }

  func checkOneMorePool() throws(CallFailure) {
    guard registry.pools.count < registry.limits.pools else {
      throw .limit("name", "would be one pool more than \(registry.limits.pools)")
    }
  }

  func checkRoom(
    for configuration: PoolConfiguration, insteadOf existing: HostedPool?
  ) throws(CallFailure) {
    let inAll = registry.blocksInAll(except: existing) + configuration.blocksInAll
    guard inAll <= registry.limits.blocksInAll else {
      throw .limit(
        "config.blocks", "would make \(inAll) blocks in all, over \(registry.limits.blocksInAll)")
    }
  }

  private func checkNothingHeld(_ hosted: HostedPool, isForced: Bool) throws(CallFailure) {
    let held = hosted.heldBlocks
    guard isForced || held == 0 else {
      throw .pool(
        .failedPrecondition, .wrongState, "force",
        "pool \"\(hosted.name)\" has \(held) blocks that are held; set force to do it anyway")
    }
  }
}

extension CallFailure {
  static func poolExists(_ name: String) -> CallFailure {
    pool(.alreadyExists, .invalid, "name", "there is a pool \"\(name)\" already")
  }

  /// A limit of the server, which deleting other pools may make room under.
  static func limit(_ field: String, _ problem: String) -> CallFailure {
    pool(.failedPrecondition, .quota, field, "\(field) \(problem)")
  }

  /// A refusal about a pool as a whole. `detail` is a sentence of its own.
  static func pool(
    _ code: StatusCode, _ reason: Refusal.Reason, _ field: String, _ detail: String
  ) -> CallFailure {
    CallFailure(
      RefusalStatus.make(
        code, detail,
        RefusalFields(reason: UInt32(reason.rawValue), field: field, detail: detail)))
  }
}

extension PoolConfiguration {
  /// Checks what the client asks for; values that are not served yet are refused by name.
  init(_ config: PoolConfigFields) throws(CallFailure) {
    let memory = try MemoryPlan(config)
    let eviction = EvictionPolicy(wire: config.eviction) ?? .lru
    guard eviction == .lru || !config.disablesPrefixCaching else {
      throw .invalid("config.eviction", "contradicts disable_prefix_caching: nothing is cached")
    }
    guard config.hostBlocks <= Self.maximumBlocks else {
      throw .invalid("config.host_blocks", "must be at most \(Self.maximumBlocks)")
    }
    guard config.slidingWindow <= KVPool.maximumTokens else {
      throw .invalid("config.sliding_window", "must be at most \(KVPool.maximumTokens)")
    }
    guard config.slidingWindow > 0 || config.maxInFlightTokens == 0 else {
      throw .invalid(
        "config.max_in_flight_tokens", "is of no use without config.sliding_window")
    }
    guard config.watermark >= 0 && config.watermark < 1 else {
      throw .invalid("config.watermark", "must be at least 0 and less than 1")
    }
    guard config.pinBudgetBlocks <= memory.blocks else {
      throw .invalid("config.pin_budget_blocks", "must be at most config.blocks, \(memory.blocks)")
    }
    guard config.hashLookaheadTokens <= Self.maximumHashLookahead else {
      throw .invalid(
        "config.hash_lookahead_tokens", "must be at most \(Self.maximumHashLookahead)")
    }
    try Self.checkHashing(config)
    let strategy = try Self.strategy(config, memory)
    self.init(
      blocks: memory.blocks, blockSize: memory.blockSize, sizeClasses: memory.sizeClasses,
      copyAck: config.copyAck == 2 ? .explicit : .nextStep,
      cachesPrefixes: !config.disablesPrefixCaching, hashBytes: config.hash == 2 ? 16 : 32,
      hashSeed: Array(config.hashSeed.utf8), hashLookaheadTokens: config.hashLookaheadTokens,
      keepsTokens: config.keepsTokens, eagle: config.eagle, watermark: config.watermark,
      maxModelTokens: config.maxModelTokens, strategy: strategy, eviction: eviction,
      hostBlocks: config.hostBlocks, zeroesOnFree: config.zeroesOnFree,
      slidingWindow: config.slidingWindow, maxInFlightTokens: config.maxInFlightTokens,
      pinBudgetBlocks: config.pinBudgetBlocks, geometry: memory.geometry, budget: memory.budget)
    admission = try AdmissionOptions(config, blocks: memory.blocks)
  }

  /// Nothing is hashed, and no token kept, in a pool that caches nothing.
  private static func checkHashing(_ config: PoolConfigFields) throws(CallFailure) {
    guard config.disablesPrefixCaching else { return }
    let problem = "contradicts disable_prefix_caching"
    if !config.hashSeed.isEmpty { throw .invalid("config.hash_seed", problem) }
    if config.hashLookaheadTokens > 0 { throw .invalid("config.hash_lookahead_tokens", problem) }
    if config.keepsTokens { throw .invalid("config.keep_tokens", problem) }
    if config.pinBudgetBlocks > 0 { throw .invalid("config.pin_budget_blocks", problem) }
  }
}

extension PoolInfoFields {
  /// The configuration as created, with the defaults filled in.
  init(_ hosted: HostedPool) {
    let stats = hosted.pool.stats()
    self.init(hosted.name, hosted.pool.configuration)
    revision = hosted.pool.revision
    availableBlocks = stats.free + stats.cached + stats.lazyPending
  }

  /// A pool as it is when it is made.
  init(_ name: String, _ configuration: PoolConfiguration) {
    self.init(
      name: name, config: Self.fields(of: configuration), revision: 0,
      availableBlocks: configuration.blocks, epoch: 0)
    bytesPerBlock = configuration.bytesPerBlock
    capacityBytes = configuration.capacityBytes
    bufferBytes = configuration.bufferBytes
  }

  static func fields(of complete: PoolConfiguration) -> PoolConfigFields {
    let configuration = complete.asked
    var fields = PoolConfigFields(
      blocks: configuration.sizeClasses.isEmpty ? configuration.blocks : 0,
      blockSize: configuration.sizeClasses.isEmpty ? configuration.blockSize : 0,
      strategy: UInt32(configuration.strategy.rawValue),
      eviction: UInt32(configuration.eviction.rawValue),
      disablesPrefixCaching: !configuration.cachesPrefixes,
      hash: configuration.hashBytes == 16 ? 2 : 1,
      hashSeed: String(decoding: configuration.hashSeed, as: UTF8.self),
      watermark: configuration.watermark, maxModelTokens: configuration.maxModelTokens,
      eagle: configuration.eagle, slidingWindow: configuration.slidingWindow,
      maxInFlightTokens: configuration.maxInFlightTokens,
      hashLookaheadTokens: configuration.hashLookaheadTokens,
      keepsTokens: configuration.keepsTokens,
      copyAck: configuration.copyAck == .explicit ? 2 : 1,
      pinBudgetBlocks: configuration.pinBudgetBlocks, hostBlocks: configuration.hostBlocks)
    fields.setAdmission(configuration.admission)
    fields.zeroesOnFree = configuration.zeroesOnFree
    fields.sizeClasses = configuration.sizeClasses.map {
      SizeClassFields(
        blockSize: $0.blockSize, blocks: $0.blocks, maxExpectedTokens: $0.maxExpectedTokens)
    }
    fields.kvBytes = configuration.budget?.bytes ?? 0
    fields.memoryUtilization = configuration.budget?.utilization ?? 0
    fields.geometry = configuration.geometry.map {
      KVGeometryFields(
        layers: $0.layers, kvHeads: $0.kvHeads, headSize: $0.headSize, dtypeBytes: $0.dtypeBytes)
    }
    return fields
  }
}
