internal import CQuireProtos

// pools.proto: requests as views; replies by the packer.

package struct CreatePoolRequest: WireMessage {
  package static var kind: MessageKind { .createPoolRequest }
  private let m: UnsafePointer<Quire__V1__CreatePoolRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__CreatePoolRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  /// UTF-8; empty = "default".
  package var name: UnsafeBufferPointer<UInt8> { text(m.pointee.name) }
  package var config: PoolConfigFields? { m.pointee.config.map { .init($0) } }

  package var ifExists: IfExists { IfExists(rawValue: m.pointee.if_exists.rawValue) ?? .error }
}

/// What to do with a pool that is there already.
package enum IfExists: UInt32 {
  case error = 1
  case `return` = 2
  case reset = 3
}

/// The values of a `PoolConfig` that are served.
package struct PoolConfigFields: Equatable {
  package var blocks: UInt32
  package var blockSize: UInt32
  /// Raw values of `Strategy`, `EvictionPolicy`, `HashAlgorithm` and `CopyAck`; 0 = unspecified.
  package var strategy: UInt32
  package var eviction: UInt32
  package var disablesPrefixCaching: Bool
  package var hash: UInt32
  /// UTF-8; empty = the algorithm's own.
  package var hashSeed: String
  /// Share of the pool; what the wire had, in its limits or not.
  package var watermark: Double
  /// 0 = no limit.
  package var maxModelTokens: UInt32
  package var eagle: Bool
  /// Instead of `blocks` and `blockSize`.
  package var sizeClasses: [SizeClassFields] = []
  /// Tokens; 0 = full attention.
  package var slidingWindow: UInt32
  package var maxInFlightTokens: UInt32
  package var hashLookaheadTokens: UInt32
  package var keepsTokens: Bool
  package var copyAck: UInt32
  /// 0 = a quarter of the pool.
  package var pinBudgetBlocks: UInt32
  /// 0 = no host tier.
  package var hostBlocks: UInt32
  /// Bytes; 0 = `blocks` says it.
  package var kvBytes: UInt64 = 0
  /// Share of `kvBytes`; what the wire had, in its limits or not. 0 = the default.
  package var memoryUtilization: Double = 0
  package var geometry: KVGeometryFields?
  /// nil = off; what the wire had, in its limits or not.
  package var admissionThreshold: Double?
  /// 0 = off.
  package var proactiveFreeBlocks: UInt32 = 0
  package var zeroesOnFree = false
  /// 0 = off.
  package var lazyFreeBatch: UInt32 = 0

  package init(
    blocks: UInt32, blockSize: UInt32, strategy: UInt32 = 0, eviction: UInt32 = 0,
    disablesPrefixCaching: Bool = false, hash: UInt32 = 0, hashSeed: String = "",
    watermark: Double = 0, maxModelTokens: UInt32 = 0, eagle: Bool = false,
    slidingWindow: UInt32 = 0, maxInFlightTokens: UInt32 = 0, hashLookaheadTokens: UInt32 = 0,
    keepsTokens: Bool = false, copyAck: UInt32 = 0, pinBudgetBlocks: UInt32 = 0,
    hostBlocks: UInt32 = 0
  ) {
    self.pinBudgetBlocks = pinBudgetBlocks
    self.blocks = blocks
    self.blockSize = blockSize
    self.strategy = strategy
    self.eviction = eviction
    self.disablesPrefixCaching = disablesPrefixCaching
    self.hash = hash
    self.hashSeed = hashSeed
    self.watermark = watermark
    self.maxModelTokens = maxModelTokens
    self.eagle = eagle
    self.slidingWindow = slidingWindow
    self.maxInFlightTokens = maxInFlightTokens
    self.hashLookaheadTokens = hashLookaheadTokens
    self.keepsTokens = keepsTokens
    self.copyAck = copyAck
    self.hostBlocks = hostBlocks
  }

  init(_ m: UnsafePointer<Quire__V1__PoolConfig>) {
    blocks = m.pointee.blocks
    blockSize = m.pointee.block_size
    strategy = m.pointee.strategy.rawValue
    eviction = m.pointee.eviction.rawValue
    disablesPrefixCaching = m.pointee.disable_prefix_caching != 0
    hash = m.pointee.hash.rawValue
    hashSeed = String(decoding: text(m.pointee.hash_seed), as: UTF8.self)
    watermark = m.pointee.watermark
    maxModelTokens = m.pointee.max_model_tokens
    eagle = m.pointee.eagle != 0
    slidingWindow = m.pointee.sliding_window
    maxInFlightTokens = m.pointee.max_in_flight_tokens
    hashLookaheadTokens = m.pointee.hash_lookahead_tokens
    keepsTokens = m.pointee.keep_tokens != 0
    zeroesOnFree = m.pointee.zero_on_free != 0
    copyAck = m.pointee.copy_ack.rawValue
    pinBudgetBlocks = m.pointee.pin_budget_blocks
    proactiveFreeBlocks = m.pointee.proactive_free_blocks
    lazyFreeBatch = m.pointee.lazy_free_batch
    if m.pointee.memory_aware_admission_case
      == QUIRE__V1__POOL_CONFIG__MEMORY_AWARE_ADMISSION_ADMISSION_THRESHOLD
    {
      admissionThreshold = m.pointee.admission_threshold
    }
    hostBlocks = m.pointee.host_blocks
    kvBytes = m.pointee.kv_bytes
    memoryUtilization = m.pointee.memory_utilization
    geometry = m.pointee.geometry.map { .init($0) }
    sizeClasses = list(m.pointee.size_classes, m.pointee.n_size_classes).map { one in
      SizeClassFields(one!.pointee)  // protobuf-c leaves no gaps in a list of messages.
    }
  }

  /// The name of an enum's value, as the contract spells it.
  package static func strategyName(_ value: UInt32) -> String {
    name(value, in: quire__v1__strategy__descriptor)
  }
  package static func evictionName(_ value: UInt32) -> String {
    name(value, in: quire__v1__eviction_policy__descriptor)
  }

  private static func name(_ value: UInt32, in descriptor: ProtobufCEnumDescriptor) -> String {
    for index in 0..<Int(descriptor.n_values)
    where descriptor.values[index].value == Int32(bitPattern: value) {
      return String(cString: descriptor.values[index].name)
    }
    return "\(value)"
  }
}

/// The values of a `KvGeometry`.
package struct KVGeometryFields: Equatable {
  package var layers: UInt32
  package var kvHeads: UInt32
  package var headSize: UInt32
  package var dtypeBytes: UInt32

  package init(layers: UInt32, kvHeads: UInt32, headSize: UInt32, dtypeBytes: UInt32) {
    self.layers = layers
    self.kvHeads = kvHeads
    self.headSize = headSize
    self.dtypeBytes = dtypeBytes
  }

  init(_ m: UnsafePointer<Quire__V1__KvGeometry>) {
    layers = m.pointee.layers
    kvHeads = m.pointee.kv_heads
    headSize = m.pointee.head_size
    dtypeBytes = m.pointee.dtype_bytes
  }
}

package struct GetPoolRequest: WireMessage {
  package static var kind: MessageKind { .getPoolRequest }
  private let m: UnsafePointer<Quire__V1__GetPoolRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__GetPoolRequest.self)
  }
  package var call: CallMessage { .init(m.pointee.call) }
}

package struct ListPoolsRequest: WireMessage {
  package static var kind: MessageKind { .listPoolsRequest }
  private let m: UnsafePointer<Quire__V1__ListPoolsRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ListPoolsRequest.self)
  }
  /// 0 = the server's choice.
  package var pageSize: UInt32 { m.pointee.page_size }
  package var pageToken: UnsafeBufferPointer<UInt8> { text(m.pointee.page_token) }
}

package struct DeletePoolRequest: WireMessage {
  package static var kind: MessageKind { .deletePoolRequest }
  private let m: UnsafePointer<Quire__V1__DeletePoolRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__DeletePoolRequest.self)
  }
  package var call: CallMessage { .init(m.pointee.call) }
  package var isForced: Bool { m.pointee.force != 0 }
}

package struct ResetPoolRequest: WireMessage {
  package static var kind: MessageKind { .resetPoolRequest }
  private let m: UnsafePointer<Quire__V1__ResetPoolRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ResetPoolRequest.self)
  }
  package var call: CallMessage { .init(m.pointee.call) }
  package var isForced: Bool { m.pointee.force != 0 }
}

package struct ResetPrefixCacheRequest: WireMessage {
  package static var kind: MessageKind { .resetPrefixCacheRequest }
  private let m: UnsafePointer<Quire__V1__ResetPrefixCacheRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ResetPrefixCacheRequest.self)
  }
  package var call: CallMessage { .init(m.pointee.call) }
  package var preemptsRunning: Bool { m.pointee.preempt_running != 0 }
}

/// `ResetPrefixCache`, the operation of a step.
package struct ResetPrefixCacheMessage {
  private let m: UnsafePointer<Quire__V1__ResetPrefixCache>
  init(_ m: UnsafePointer<Quire__V1__ResetPrefixCache>) { self.m = m }
  package var preemptsRunning: Bool { m.pointee.preempt_running != 0 }
}

package struct GetDigestRequest: WireMessage {
  package static var kind: MessageKind { .getDigestRequest }
  private let m: UnsafePointer<Quire__V1__GetDigestRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__GetDigestRequest.self)
  }
  package var call: CallMessage { .init(m.pointee.call) }
  package var wantsHistoryOnly: Bool { m.pointee.history_only != 0 }
}

// MARK: Replies

/// The values of a `SizeClass`.
package struct SizeClassFields: Equatable, Sendable {
  package var blockSize: UInt32
  package var blocks: UInt32
  package var maxExpectedTokens: UInt32

  package init(blockSize: UInt32, blocks: UInt32, maxExpectedTokens: UInt32 = 0) {
    self.blockSize = blockSize
    self.blocks = blocks
    self.maxExpectedTokens = maxExpectedTokens
  }

  init(_ m: Quire__V1__SizeClass) {
    self.init(
      blockSize: m.block_size, blocks: m.blocks, maxExpectedTokens: m.max_expected_tokens)
  }
}

extension PoolConfigFields {
  /// Of all size classes.
  var blocksInAll: UInt32 { sizeClasses.reduce(blocks) { $0 &+ $1.blocks } }
  var tokensInAll: UInt64 {
    sizeClasses.reduce(UInt64(blocks) * UInt64(blockSize)) {
      $0 + UInt64($1.blocks) * UInt64($1.blockSize)
    }
  }
}

/// The values of a `PoolInfo`.
package struct PoolInfoFields: Equatable {
  package var name: String
  package var config: PoolConfigFields
  package var revision: UInt64
  package var availableBlocks: UInt32
  package var epoch: UInt64
  /// 0 without a geometry, all three.
  package var bytesPerBlock: UInt64 = 0
  package var capacityBytes: UInt64 = 0
  package var bufferBytes: UInt64 = 0

  package init(
    name: String, config: PoolConfigFields, revision: UInt64, availableBlocks: UInt32, epoch: UInt64
  ) {
    self.name = name
    self.config = config
    self.revision = revision
    self.availableBlocks = availableBlocks
    self.epoch = epoch
  }
}

extension MessagePacker {
  package mutating func poolConfig(_ field: UInt32, _ config: PoolConfigFields) {
    let mark = mark
    uint32(24, config.maxInFlightTokens)
    if let threshold = config.admissionThreshold { double(30, threshold) }
    uint32(23, config.pinBudgetBlocks)
    bool(22, config.keepsTokens)
    uint32(21, config.copyAck)
    bool(20, config.zeroesOnFree)
    uint32(19, config.proactiveFreeBlocks)
    uint32(18, config.lazyFreeBatch)
    uint32(17, config.hostBlocks)
    uint32(16, config.hashLookaheadTokens)
    bool(15, config.eagle)
    uint32(14, config.slidingWindow)
    uint32(13, config.maxModelTokens)
    double(12, config.watermark)
    text(11, config.hashSeed)
    uint32(10, config.hash)
    bool(9, config.disablesPrefixCaching)
    uint32(8, config.eviction)
    uint32(7, config.strategy)
    if let geometry = config.geometry {
      let mark = self.mark
      uint32(4, geometry.dtypeBytes)
      uint32(3, geometry.headSize)
      uint32(2, geometry.kvHeads)
      uint32(1, geometry.layers)
      close(6, since: mark)
    }
    double(5, config.memoryUtilization)
    uint64(4, config.kvBytes)
    for one in config.sizeClasses.reversed() {
      let mark = self.mark
      uint32(3, one.maxExpectedTokens)
      uint32(2, one.blocks)
      uint32(1, one.blockSize)
      close(3, since: mark)
    }
    uint32(2, config.blockSize)
    uint32(1, config.blocks)
    close(field, since: mark)
  }

  package mutating func poolInfo(_ info: PoolInfoFields) {
    uint64(10, info.bufferBytes)
    uint64(9, info.capacityBytes)
    uint64(8, info.epoch)
    uint64(7, info.config.tokensInAll)
    uint32(6, info.availableBlocks)
    uint32(5, info.config.blocksInAll)
    uint64(4, info.bytesPerBlock)
    uint64(3, info.revision)
    poolConfig(2, info.config)
    text(1, info.name)
  }

  package mutating func listPoolsReply(_ pools: [PoolInfoFields], nextPageToken: String) {
    text(2, nextPageToken)
    for info in pools.reversed() {
      let mark = mark
      poolInfo(info)
      close(1, since: mark)
    }
  }

  package mutating func deletePoolReply(revision: UInt64, heldBlocks: UInt32) {
    uint32(2, heldBlocks)
    uint64(1, revision)
  }

  package mutating func resetPrefixCacheReply(
    revision: UInt64, clearedBlocks: UInt32, preemptedSequenceIDs: UnsafeBufferPointer<UInt64>
  ) {
    packedFixed64(3, preemptedSequenceIDs)
    uint32(2, clearedBlocks)
    uint64(1, revision)
  }

  package mutating func digest(
    revision: UInt64, historyDigest: UInt64, stateDigest: UInt64, pool: String
  ) {
    text(4, pool)
    fixed64(3, stateDigest)
    fixed64(2, historyDigest)
    uint64(1, revision)
  }
}
