internal import BlockMessages
internal import KVBlocks

extension AdmissionOptions {
  /// Checks what the client asks for.
  init(_ config: PoolConfigFields, blocks: UInt32) throws(CallFailure) {
    self.init()
    if let share = config.admissionThreshold {
      // Also refuses what is no number.
      guard share >= 0 && share <= 1 else {
        throw .invalid("config.admission_threshold", "must be above 0 and at most 1")
      }
      threshold = share == 0 ? Self.defaultThreshold : share
    }
    if config.proactiveFreeBlocks > 0 {
      guard config.proactiveFreeBlocks <= blocks else {
        throw .invalid("config.proactive_free_blocks", "must be at most config.blocks, \(blocks)")
      }
    }
    proactiveFreeBlocks = config.proactiveFreeBlocks
    guard config.lazyFreeBatch <= Self.maximumLazyFreeBatch else {
      throw .invalid("config.lazy_free_batch", "must be at most \(Self.maximumLazyFreeBatch)")
    }
    lazyFreeBatch = config.lazyFreeBatch
    let strategy = AllocationStrategy(wire: config.strategy) ?? .freeQueue
    switch conflict(strategy, cachesPrefixes: !config.disablesPrefixCaching) {
    case .proactiveFreeBlocks:
      throw .invalid("config.proactive_free_blocks", "contradicts disable_prefix_caching")
    case .lazyFreeBatch:
      throw .invalid("config.lazy_free_batch", "contradicts the strategy, which needs runs")
    default: break
    }
  }
}

extension PoolConfigFields {
  mutating func setAdmission(_ options: AdmissionOptions) {
    admissionThreshold = options.threshold
    proactiveFreeBlocks = options.proactiveFreeBlocks
    lazyFreeBatch = options.lazyFreeBatch
  }
}

extension AllocationStrategy {
  /// nil where the wire says none, or one that nobody knows.
  fileprivate init?(wire: UInt32) { self.init(rawValue: UInt8(truncatingIfNeeded: wire)) }
}
