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
  package var configCount: Int { m.pointee.n_configs }
  package func config(_ i: Int) -> PoolConfigFields {
    PoolConfigFields(m.pointee.configs[i]!)
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

  package init(
    blockSize: UInt32, strategy: UInt32, blocks: UInt64, wastedSlots: UInt64, waste: Double,
    effectiveBatch: Double, metadataBytes: UInt64, poolBlocks: UInt64
  ) {
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
}
