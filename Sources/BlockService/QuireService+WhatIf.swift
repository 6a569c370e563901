internal import Analysis
internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Analyzer.WhatIf: the same lengths in pools that are made otherwise.
extension QuireService {
  static let mostLengths = 100_000
  static let mostRows = 64

  func whatIf(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(WhatIfRequest.self, bytes)
    let pool = try readPool(request.call).pool
    try check(request.lengths.count, atMost: Self.mostLengths, "lengths")
    try check(request.blockSizes.count, atMost: Self.mostRows, "block_sizes")
    try check(request.configCount, atMost: Self.mostRows, "configs")
    // One more, to know whether there are more.
    let known =
      request.lengths.isEmpty ? pool.lengths(limit: Self.mostLengths + 1) : Array(request.lengths)
    let whatIf = WhatIf(known.prefix(Self.mostLengths))
    let present = WhatIf.Pool(pool.configuration, recordBytes: pool.memoryPerBlock)
    var pools: [WhatIf.Pool] = []
    let sizes =
      request.blockSizes.isEmpty
      ? BlockArithmetic.usualBlockSizes : Array(request.blockSizes)
    for (i, size) in sizes.enumerated() {
      guard (1...PoolConfiguration.maximumBlockSize).contains(size) else {
        throw .invalid(
          "block_sizes[\(i)]", "is \(size), not 1 to \(PoolConfiguration.maximumBlockSize)")
      }
      pools.append(present.cut(into: size))
    }
    for i in 0..<request.configCount {
      let config = request.config(i)
      if !config.sizeClasses.isEmpty {
        throw .invalid("configs[\(i)].size_classes", "must be empty: classes are not tried")
      }
      pools.append(
        WhatIf.Pool(try PoolConfiguration(config), recordBytes: pool.memoryPerBlock))
    }
    let tokenBytes = Double(pool.configuration.bytesPerBlock) / Double(max(1, present.blockSize))
    packer.reset()
    packer.whatIfReply(
      revision: pool.revision, rows: pools.map { WhatIfRowFields($0, whatIf.row($0)) },
      optimalBlockSize: tokenBytes == 0
        ? 0
        : BlockArithmetic.optimalBlockSize(
          meanTokens: whatIf.meanTokens,
          metadataBytes: pool.memoryPerBlock + Double(WhatIf.tableEntryBytes),
          tokenBytes: tokenBytes),
      sequences: UInt32(whatIf.sequences), meanLength: whatIf.meanTokens,
      isTruncated: known.count > Self.mostLengths)
    send(reply)
  }

  private func check(_ count: Int, atMost limit: Int, _ field: String) throws(CallFailure) {
    if count > limit { throw .invalid(field, "has \(count) elements, more than \(limit)") }
  }
}

extension WhatIf.Pool {
  /// A pool with size classes counts as one of its first class, all slots together.
  init(_ configuration: PoolConfiguration, recordBytes: Double) {
    var blocks = UInt64(configuration.blocks)
    var blockSize = configuration.blockSize
    if let first = configuration.sizeClasses.first {
      let slots = configuration.sizeClasses.reduce(0 as UInt64) {
        $0 + UInt64($1.blocks) * UInt64($1.blockSize)
      }
      blockSize = first.blockSize
      blocks = slots / UInt64(blockSize)
    }
    self.init(
      blocks: blocks, blockSize: blockSize, strategy: configuration.strategy,
      longest: configuration.maxModelTokens, watermark: configuration.watermark,
      recordBytes: recordBytes)
  }
}

extension WhatIfRowFields {
  init(_ pool: WhatIf.Pool, _ row: WhatIf.Row) {
    self.init(
      blockSize: pool.blockSize, strategy: UInt32(pool.strategy.rawValue), blocks: row.blocks,
      wastedSlots: row.wastedSlots, waste: row.waste, effectiveBatch: row.effectiveBatch,
      metadataBytes: row.metadataBytes, poolBlocks: pool.blocks)
  }
}
