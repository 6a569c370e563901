internal import Analysis
internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Analyzer.WhatIf without a trace, the same lengths in pools that are made otherwise; and the
/// rows of both kinds.
extension QuireService {
  func packWhatIf(_ request: WhatIfRequest, _ plan: WhatIfPlan, _ pool: KVPool) {
    let limit = plan.lengthLimit
    // One more, to know whether there are more.
    let known =
      request.lengths.isEmpty
      ? pool.lengths(limit: limit + 1) : Array(request.lengths)
    let whatIf = WhatIf(
      known.prefix(limit),
      expected: request.lengths.isEmpty
        ? pool.expectedLengths(limit: limit) : [])
    packer.reset()
    packer.whatIfReply(
      revision: pool.revision,
      rows: plan.cases.map { WhatIfRowFields($0, whatIf.row($0.arithmetic)) },
      optimalBlockSize: WhatIfReplyHead.optimalBlockSize(whatIf.meanTokens, pool),
      sequences: UInt32(whatIf.sequences), meanLength: whatIf.meanTokens,
      isTruncated: known.count > limit)
  }
}

extension WhatIfRowFields {
  init(_ one: WhatIfPlan.Case, _ row: WhatIf.Row) {
    let pool = one.arithmetic
    self.init(
      blockSize: pool.blockSize, strategy: UInt32(pool.strategy.rawValue), blocks: row.blocks,
      wastedSlots: row.wastedSlots, waste: row.waste, effectiveBatch: row.effectiveBatch,
      metadataBytes: row.metadataBytes, poolBlocks: pool.blocks,
      eviction: UInt32(one.configuration.eviction.rawValue), watermark: pool.watermark)
  }

  /// - Parameter memory: Bytes of the server's own memory for a block.
  init(_ one: WhatIfPlan.Case, _ result: TraceReplay.Result, memory: Double) {
    let pool = one.configuration
    self.init(
      blockSize: pool.blockSize, strategy: UInt32(pool.strategy.rawValue),
      blocks: UInt64(result.meanBlocks.rounded()),
      wastedSlots: UInt64(result.meanWastedSlots.rounded()),
      waste: result.meanTableSlots == 0 ? 0 : result.meanWastedSlots / result.meanTableSlots,
      effectiveBatch: result.meanRunning,
      metadataBytes: UInt64(result.meanBlocks * (memory + Double(WhatIf.tableEntryBytes))),
      poolBlocks: UInt64(pool.blocks), eviction: UInt32(pool.eviction.rawValue),
      watermark: pool.watermark,
      replay: WhatIfReplayFields(
        requests: result.requests, neverFit: result.neverFit, promptTokens: result.promptTokens,
        hitTokens: result.hitTokens, evictions: result.evictions, refusals: result.refusals,
        preemptions: result.preemptions, peakBlocks: result.peakBlocks,
        peakRunning: result.peakRunning, meanWait: result.meanWait, duration: result.duration))
  }
}
