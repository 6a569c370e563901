internal import CQuireProtos

// analyzer.proto: the same lengths in pools that are made otherwise.

package struct WhatIfRequest: WireMessage {
  package static var kind: MessageKind { .whatIfRequest }
  private let m: UnsafePointer<Quire__V1__WhatIfRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__WhatIfRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  /// Tokens.
  package var lengths: UnsafeBufferPointer<UInt32> { list(m.pointee.lengths, m.pointee.n_lengths) }
  /// Tokens.
  package var blockSizes: UnsafeBufferPointer<UInt32> {
    list(m.pointee.block_sizes, m.pointee.n_block_sizes)
  }
  package var poolBlocks: UnsafeBufferPointer<UInt32> {
    list(m.pointee.pool_blocks, m.pointee.n_pool_blocks)
  }
  /// Values of `Strategy` and of `EvictionPolicy`.
  package var strategies: [UInt32] {
    list(m.pointee.strategies, m.pointee.n_strategies).map(\.rawValue)
  }
  package var evictions: [UInt32] {
    list(m.pointee.evictions, m.pointee.n_evictions).map(\.rawValue)
  }
  package var watermarks: UnsafeBufferPointer<Double> {
    list(m.pointee.watermarks, m.pointee.n_watermarks)
  }
  package var trace: WhatIfTraceMessage? { m.pointee.trace.map { .init($0) } }
  package var configCount: Int { m.pointee.n_configs }
  package func config(_ i: Int) -> PoolConfigFields {
    PoolConfigFields(m.pointee.configs[i]!)
  }
}

/// Requests to be played; lists as they came, whatever their lengths.
package struct WhatIfTraceMessage {
  private let m: UnsafePointer<Quire__V1__WhatIfTrace>
  init(_ m: UnsafePointer<Quire__V1__WhatIfTrace>) { self.m = m }

  /// Microseconds.
  package var arrivals: UnsafeBufferPointer<UInt64> {
    list(m.pointee.arrival_us, m.pointee.n_arrival_us)
  }
  /// Tokens.
  package var inputs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.input_tokens, m.pointee.n_input_tokens)
  }
  package var outputs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.output_tokens, m.pointee.n_output_tokens)
  }
  package var contentCounts: UnsafeBufferPointer<UInt32> {
    list(m.pointee.content_counts, m.pointee.n_content_counts)
  }
  package var contentIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.content_ids, m.pointee.n_content_ids)
  }
  /// Tokens; 0 = the default.
  package var contentTokens: UInt32 { m.pointee.content_tokens }
  package var stepMicroseconds: UInt32 { m.pointee.step_us }
  package var isPromptsOnly: Bool { m.pointee.prompts_only != 0 }
}

/// The values of a `WhatIfReplay`.
package struct WhatIfReplayFields {
  package var requests: UInt64
  package var neverFit: UInt64
  package var promptTokens: UInt64
  package var hitTokens: UInt64
  package var evictions: UInt64
  package var refusals: UInt64
  package var preemptions: UInt64
  package var peakBlocks: UInt32
  package var peakRunning: UInt32
  package var meanWait: Double
  package var duration: UInt64

  package init(
    requests: UInt64, neverFit: UInt64, promptTokens: UInt64, hitTokens: UInt64,
    evictions: UInt64, refusals: UInt64, preemptions: UInt64, peakBlocks: UInt32,
    peakRunning: UInt32, meanWait: Double, duration: UInt64
  ) {
    self.requests = requests
    self.neverFit = neverFit
    self.promptTokens = promptTokens
    self.hitTokens = hitTokens
    self.evictions = evictions
    self.refusals = refusals
    self.preemptions = preemptions
    self.peakBlocks = peakBlocks
    self.peakRunning = peakRunning
    self.meanWait = meanWait
    self.duration = duration
  }
}

/// The values of a `WhatIfRow`.
package struct WhatIfRowFields {
  package var blockSize: UInt32
  /// A value of `Strategy`.
  package var strategy: UInt32
  package var blocks: UInt64
  package var wastedSlots: UInt64
  package var waste: Double
  package var effectiveBatch: Double
  package var metadataBytes: UInt64
  package var poolBlocks: UInt64
  /// A value of `EvictionPolicy`.
  package var eviction: UInt32
  package var watermark: Double
  /// nil without a trace.
  package var replay: WhatIfReplayFields?

  package init(
    blockSize: UInt32, strategy: UInt32, blocks: UInt64, wastedSlots: UInt64, waste: Double,
    effectiveBatch: Double, metadataBytes: UInt64, poolBlocks: UInt64, eviction: UInt32,
    watermark: Double, replay: WhatIfReplayFields? = nil
  ) {
    self.eviction = eviction
    self.watermark = watermark
    self.replay = replay
    self.blockSize = blockSize
    self.strategy = strategy
    self.blocks = blocks
    self.wastedSlots = wastedSlots
    self.waste = waste
    self.effectiveBatch = effectiveBatch
    self.metadataBytes = metadataBytes
    self.poolBlocks = poolBlocks
  }
}

extension MessagePacker {
  package mutating func whatIfReply(
    revision: UInt64, rows: [WhatIfRowFields], optimalBlockSize: Double, sequences: UInt32,
    meanLength: Double, isTruncated: Bool
  ) {
    bool(6, isTruncated)
    double(5, meanLength)
    uint32(4, sequences)
    double(3, optimalBlockSize)
    for row in rows.reversed() {
      let mark = self.mark
      if let replay = row.replay {
        let mark = self.mark
        fields(of: replay)
        close(11, since: mark)
      }
      double(10, row.watermark)
      uint32(9, row.eviction)
      uint64(8, row.poolBlocks)
      uint64(7, row.metadataBytes)
      double(6, row.effectiveBatch)
      double(5, row.waste)
      uint64(4, row.wastedSlots)
      uint64(3, row.blocks)
      uint32(2, row.strategy)
      uint32(1, row.blockSize)
      close(2, since: mark)
    }
    uint64(1, revision)
  }

  private mutating func fields(of replay: WhatIfReplayFields) {
    uint64(11, replay.duration)
    double(10, replay.meanWait)
    uint32(9, replay.peakRunning)
    uint32(8, replay.peakBlocks)
    uint64(7, replay.preemptions)
    uint64(6, replay.refusals)
    uint64(5, replay.evictions)
    uint64(4, replay.hitTokens)
    uint64(3, replay.promptTokens)
    uint64(2, replay.neverFit)
    uint64(1, replay.requests)
  }
}
