internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// Allocation strategies as clients and operators name them, and what they contradict.
extension PoolConfiguration {
  /// The strategy of a pool to be made, once it is found to go with the rest.
  static func strategy(
    _ config: PoolConfigFields, _ memory: MemoryPlan
  ) throws(CallFailure) -> AllocationStrategy {
    // The decoder knows all values of the enum; 0 is the default.
    let strategy = AllocationStrategy(rawValue: UInt8(max(1, config.strategy))) ?? .freeQueue
    let slots = UInt64(memory.blocks) * UInt64(memory.blockSize)
    let conflict = conflict(
      strategy, cachesPrefixes: !config.disablesPrefixCaching,
      maxModelTokens: config.maxModelTokens, slots: slots, hostBlocks: config.hostBlocks,
      slidingWindow: config.slidingWindow)
    let name = "config.strategy \(PoolConfigFields.strategyName(config.strategy))"
    switch conflict {
    case nil: return strategy
    case .prefixCaching:
      throw .invalid("config.disable_prefix_caching", "must be true with \(name)")
    case .noMaxModelTokens:
      throw .invalid("config.max_model_tokens", "must be set with \(name), which reserves so many")
    case .tooFewSlots:
      throw .invalid(
        "config.max_model_tokens",
        "is \(config.maxModelTokens), more than the \(slots) tokens of the pool, all of which \(name) "
          + "would reserve for every sequence")
    case .hostBlocks: throw .invalid("config.host_blocks", "must be 0 with \(name)")
    case .slidingWindow: throw .invalid("config.sliding_window", "must be 0 with \(name)")
    }
  }
}

extension PoolSize {
  /// As the command line spells them, by their value on the wire less 1.
  package static let strategies = [
    "free-queue", "first-fit", "best-fit", "buddy", "contiguous-max", "contiguous-power-of-two",
    "contiguous-exact",
  ]
}
