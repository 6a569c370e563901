package import KVBlocks

/// What sequences of known lengths would take of a pool that was made otherwise. Arithmetic on lengths: no
/// order of arrivals, so nothing is cached, shared or scattered; for these there is `quire-load`, which
/// plays whole traces into pools.
package struct WhatIf: Sendable {
  /// A pool that might be.
  package struct Pool: Equatable, Sendable {
    package var blocks: UInt64
    /// Tokens of a block.
    package var blockSize: UInt32
    package var strategy: AllocationStrategy
    /// Tokens of the longest sequence that is let in, which `contiguousMax` reserves for each; 0 = as
    /// many as there are slots.
    package var longest: UInt32
    /// Share of the blocks that admissions leave free, 0 to 1.
    package var watermark: Double
    /// Bytes of the server's own memory for a block, table entries apart.
    package var recordBytes: Double

    package init(
      blocks: UInt64, blockSize: UInt32, strategy: AllocationStrategy = .freeQueue,
      longest: UInt32 = 0, watermark: Double = 0, recordBytes: Double
    ) {
      precondition(blockSize > 0, "blocks of no tokens")
      self.blocks = blocks
      self.blockSize = blockSize
      self.strategy = strategy
      self.longest = longest
      self.watermark = watermark
      self.recordBytes = recordBytes
    }

    /// The same slots cut into blocks of another size; what is left over is lost.
    package func cut(into blockSize: UInt32) -> Pool {
      var pool = self
      pool.blocks = blocks * UInt64(self.blockSize) / UInt64(blockSize)
      pool.blockSize = blockSize
      return pool
    }
  }

  package struct Row: Equatable, Sendable {
    /// Blocks that the lengths take, all together; more than there are where they do not fit.
    package var blocks: UInt64
    /// Slots of these blocks without a token, and as a share of them, 0 to 1.
    package var wastedSlots: UInt64
    package var waste: Double
    /// Sequences of these lengths that fit at once: blocks that admissions may fill / blocks of a mean
    /// sequence.
    package var effectiveBatch: Double
    /// Records and table entries of these blocks.
    package var metadataBytes: UInt64
  }

  /// Bytes of an entry of a sequence's table.
  package static let tableEntryBytes = 4

  /// Tokens, those that are expected in the end, and how many sequences are so.
  let lengths: [(tokens: UInt64, expected: UInt64, sequences: UInt64)]
  package let sequences: UInt64
  package let tokens: UInt64

  /// - Parameter expected: Of each, tokens in the end, by which the contiguous strategies reserve; those
  ///   without one have what they have.
  /// - Complexity: O(n log n).
  package init(_ lengths: some Sequence<UInt32>, expected: [UInt32] = []) {
    // Both in one word: numbers are sorted several times as fast as pairs.
    let all = lengths.enumerated().map { index, tokens in
      UInt64(tokens) << 32 | UInt64(max(tokens, index < expected.count ? expected[index] : 0))
    }
    var grouped: [(tokens: UInt64, expected: UInt64, sequences: UInt64)] = []
    for both in all.sorted() {
      let (tokens, expected) = (both >> 32, both & 0xFFFF_FFFF)
      if let last = grouped.last, last.tokens == tokens, last.expected == expected {
        grouped[grouped.count - 1].sequences += 1
      } else {
        grouped.append((tokens, expected, 1))
      }
    }
    self.lengths = grouped
    sequences = grouped.reduce(0) { $0 + $1.sequences }
    tokens = grouped.reduce(0) { $0 + $1.tokens * $1.sequences }
  }

  /// Mean tokens of a sequence; 0 of none.
  package var meanTokens: Double { sequences == 0 ? 0 : Double(tokens) / Double(sequences) }

  /// O(different lengths).
  package func row(_ pool: Pool) -> Row {
    var held: UInt64 = 0
    for length in lengths {
      held +=
        length.sequences * Self.blocks(for: length.tokens, expected: length.expected, in: pool)
    }
    let wasted = held * UInt64(pool.blockSize) - tokens
    let usable = Double(pool.blocks) * (1 - pool.watermark)
    return Row(
      blocks: held, wastedSlots: wasted,
      waste: held == 0 ? 0 : Double(wasted) / Double(held * UInt64(pool.blockSize)),
      effectiveBatch: held == 0 ? 0 : usable * Double(sequences) / Double(held),
      metadataBytes: UInt64(
        Double(held) * (pool.recordBytes + Double(Self.tableEntryBytes))))
  }

  /// Blocks that one sequence holds. It never holds less than it has tokens, whatever the longest may be.
  static func blocks(for tokens: UInt64, expected: UInt64, in pool: Pool) -> UInt64 {
    let limit = pool.longest > 0 ? UInt64(pool.longest) : pool.blocks * UInt64(pool.blockSize)
    let exact = BlockArithmetic.blocks(for: tokens, blockSize: pool.blockSize)
    let slots: UInt64
    switch pool.strategy {
    case .freeQueue, .firstFit, .bestFit: return exact
    case .buddy: return powerOfTwo(from: exact)
    case .contiguousMax: slots = limit
    case .contiguousPowerOfTwo: slots = min(powerOfTwo(from: expected), limit)
    case .contiguousExact: slots = min(expected, limit)
    }
    return max(exact, BlockArithmetic.blocks(for: slots, blockSize: pool.blockSize))
  }

  /// The smallest power of two that is not less; 0 of 0.
  private static func powerOfTwo(from number: UInt64) -> UInt64 {
    number <= 1 ? number : 1 << (64 - (number - 1).leadingZeroBitCount)
  }
}

extension WhatIf.Pool {
  /// A pool with size classes counts as one of its first class, all slots together.
  package init(_ configuration: PoolConfiguration, recordBytes: Double) {
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
