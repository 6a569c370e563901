internal import Analysis
internal import BlockMessages
internal import KVBlocks

/// What one `WhatIfRequest` asks for, checked: the pools that are to be tried.
struct WhatIfPlan {
  /// The pool as it is with one thing changed, or another one.
  struct Case {
    /// What of the request it is, for errors: `block_sizes[3]`.
    var name: String
    var configuration: PoolConfiguration
    var arithmetic: WhatIf.Pool
  }

  static let mostLengths = 100_000
  static let mostRows = 64
  /// Lengths times rows: some tens of milliseconds' worth, for nothing else is answered meanwhile.
  static let mostLengthsInRows = 1 << 21

  private(set) var cases: [Case] = []
  private let present: WhatIf.Pool
  private let live: PoolConfiguration
  private let hasTrace: Bool

  /// - Parameter recordBytes: Of the server's own memory for a block.
  init(
    _ request: WhatIfRequest, _ live: PoolConfiguration, recordBytes: Double
  ) throws(CallFailure) {
    self.live = live
    hasTrace = request.trace != nil
    present = WhatIf.Pool(live, recordBytes: recordBytes)
    try Self.check(request.lengths.count, atMost: Self.mostLengths, "lengths")
    if hasTrace && !request.lengths.isEmpty {
      throw .invalid("lengths", "must be empty beside a trace, which has its own")
    }
    let lists = [
      ("block_sizes", request.blockSizes.count), ("pool_blocks", request.poolBlocks.count),
      ("strategies", request.strategies.count), ("evictions", request.evictions.count),
      ("watermarks", request.watermarks.count), ("configs", request.configCount),
    ]
    for (name, count) in lists { try Self.check(count, atMost: Self.mostRows, name) }
    let rows = lists.reduce(0) { $0 + $1.1 }
    if rows > Self.mostRows {
      throw .invalid(
        "configs", "and the other lists name \(rows) pools, more than \(Self.mostRows)")
    }
    if rows == 0 {
      if hasTrace {
        add("call.pool", base, present)
      } else {
        try add(blockSizes: BlockArithmetic.usualBlockSizes)
      }
    }
    try add(blockSizes: Array(request.blockSizes))
    try add(poolBlocks: Array(request.poolBlocks))
    try add(strategies: request.strategies)
    try add(evictions: request.evictions)
    try add(watermarks: Array(request.watermarks))
    for i in 0..<request.configCount {
      let config = request.config(i)
      if !config.sizeClasses.isEmpty {
        throw .invalid("configs[\(i)].size_classes", "must be empty: classes are not tried")
      }
      let configuration = try PoolConfiguration(config)
      add("configs[\(i)]", configuration, WhatIf.Pool(configuration, recordBytes: recordBytes))
    }
    if request.lengths.count > lengthLimit {
      throw .invalid(
        "lengths",
        "has \(request.lengths.count) elements, more than \(lengthLimit) for \(cases.count) pools")
    }
  }

  /// Lengths that are tried in each of the rows.
  var lengthLimit: Int { min(Self.mostLengths, Self.mostLengthsInRows / max(1, cases.count)) }

  static func check(_ count: Int, atMost limit: Int, _ field: String) throws(CallFailure) {
    if count > limit { throw .invalid(field, "has \(count) elements, more than \(limit)") }
  }

  private mutating func add(
    _ name: String, _ configuration: PoolConfiguration, _ arithmetic: WhatIf.Pool
  ) {
    cases.append(Case(name: name, configuration: configuration, arithmetic: arithmetic))
  }

  /// The live pool as one without size classes: all slots in blocks of the first.
  private var base: PoolConfiguration {
    var configuration = live
    configuration.sizeClasses = []
    configuration.blocks = UInt32(clamping: present.blocks)
    return configuration
  }

  // MARK: One thing changed

  private mutating func add(blockSizes: [UInt32]) throws(CallFailure) {
    for (i, size) in blockSizes.enumerated() {
      guard (1...PoolConfiguration.maximumBlockSize).contains(size) else {
        throw .invalid(
          "block_sizes[\(i)]", "is \(size), not 1 to \(PoolConfiguration.maximumBlockSize)")
      }
      let arithmetic = present.cut(into: size)
      var configuration = base
      configuration.blockSize = size
      configuration.blocks = UInt32(clamping: arithmetic.blocks)
      add("block_sizes[\(i)]", configuration, arithmetic)
    }
  }

  private mutating func add(poolBlocks: [UInt32]) throws(CallFailure) {
    for (i, blocks) in poolBlocks.enumerated() {
      guard (1...PoolConfiguration.maximumBlocks).contains(blocks) else {
        throw .invalid(
          "pool_blocks[\(i)]", "is \(blocks), not 1 to \(PoolConfiguration.maximumBlocks)")
      }
      var arithmetic = present
      arithmetic.blocks = UInt64(blocks)
      var configuration = base
      configuration.blocks = blocks
      add("pool_blocks[\(i)]", configuration, arithmetic)
    }
  }

  private mutating func add(strategies: [UInt32]) throws(CallFailure) {
    for (i, value) in strategies.enumerated() {
      // The decoder knows all values of the enum; 0 is the default.
      let strategy = AllocationStrategy(rawValue: UInt8(max(1, value))) ?? .freeQueue
      var arithmetic = present
      arithmetic.strategy = strategy
      var configuration = base
      configuration.strategy = strategy
      if strategy.needsRuns {
        configuration.cachesPrefixes = false
        configuration.eviction = .lru
      }
      add("strategies[\(i)]", configuration, arithmetic)
    }
  }

  private mutating func add(evictions: [UInt32]) throws(CallFailure) {
    for (i, value) in evictions.enumerated() {
      guard hasTrace else {
        throw .invalid("evictions", "needs a trace: arithmetic on lengths evicts nothing")
      }
      guard live.cachesPrefixes else {
        throw .invalid("evictions", "needs a pool that caches prefixes")
      }
      var configuration = base
      configuration.eviction = EvictionPolicy(rawValue: UInt8(max(1, value))) ?? .lru
      add("evictions[\(i)]", configuration, present)
    }
  }

  private mutating func add(watermarks: [Double]) throws(CallFailure) {
    for (i, watermark) in watermarks.enumerated() {
      guard watermark >= 0 && watermark < 1 else {
        throw .invalid("watermarks[\(i)]", "is \(watermark), not 0 to less than 1")
      }
      var arithmetic = present
      arithmetic.watermark = watermark
      var configuration = base
      configuration.watermark = watermark
      add("watermarks[\(i)]", configuration, arithmetic)
    }
  }
}
