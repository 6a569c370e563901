internal import BlockMessages
internal import KVBlocks

/// The size classes of a configuration, complete, or what is wrong with them or contradicts them.
enum SizeClassPlan {
  static func classes(_ config: PoolConfigFields) throws(CallFailure) -> [SizeClass] {
    if config.sizeClasses.isEmpty { return [] }
    try checkOthers(config)
    let asked = config.sizeClasses.map {
      SizeClass(
        blockSize: $0.blockSize, blocks: $0.blocks, maxExpectedTokens: $0.maxExpectedTokens)
    }
    do throws(SizeClass.Problem) {
      return try SizeClass.checked(asked)
    } catch {
      throw failure(error)
    }
  }

  private static func checkOthers(_ config: PoolConfigFields) throws(CallFailure) {
    for (name, value) in [
      ("blocks", UInt64(config.blocks)), ("block_size", UInt64(config.blockSize)),
      ("kv_bytes", config.kvBytes),
    ] where value != 0 {
      throw .invalid("config.\(name)", "must be 0 with config.size_classes")
    }
    if config.memoryUtilization != 0 {
      throw .invalid("config.memory_utilization", "must be 0 with config.size_classes")
    }
    if config.admissionThreshold != nil {
      throw .invalid("config.admission_threshold", "must not be set with config.size_classes")
    }
    if config.proactiveFreeBlocks != 0 {
      throw .invalid("config.proactive_free_blocks", "must be 0 with config.size_classes")
    }
    if config.strategy > 1 {
      throw .invalid("config.strategy", "must be FREE_QUEUE with config.size_classes")
    }
    if config.eviction > 1 {
      throw .invalid("config.eviction", "must be LRU with config.size_classes")
    }
  }

  private static func failure(_ problem: SizeClass.Problem) -> CallFailure {
    let one = "config.size_classes[\(problem.index)]"
    return switch problem.field {
    case .count: .invalid("config.size_classes", "must be at most \(problem.limit) classes")
    case .blockSize where problem.limit == 0:
      .invalid("\(one).block_size", "must be 1...\(PoolConfiguration.maximumBlockSize)")
    case .blockSize:
      .invalid(
        "\(one).block_size",
        "must be more than \(problem.limit), that of the class before, and at most "
          + "\(PoolConfiguration.maximumBlockSize)")
    case .blocks:
      .invalid("\(one).blocks", "must be at least 1, and \(problem.limit) in all at most")
    case .maxExpectedTokens:
      .invalid(
        "\(one).max_expected_tokens",
        "must be more than \(problem.limit): limits ascend, and only the last class has none")
    case .lastMaxExpectedTokens:
      .invalid("\(one).max_expected_tokens", "must be 0: the last class takes the rest")
    }
  }
}
