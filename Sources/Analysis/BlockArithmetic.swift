/// The arithmetic of paged memory: what lengths cost in blocks of a given size, beside reserving the
/// longest possible sequence for each. All pure; tokens and slots are the same unit.
package enum BlockArithmetic {
  /// The sizes that a sweep tries where nobody says otherwise, tokens.
  package static let usualBlockSizes: [UInt32] = [1, 4, 8, 16, 32, 64, 128, 256]

  /// Blocks that `tokens` take: tokens / block size, rounded up.
  package static func blocks(for tokens: UInt64, blockSize: UInt32) -> UInt64 {
    precondition(blockSize > 0, "blocks of no tokens")
    return tokens / UInt64(blockSize) + (tokens % UInt64(blockSize) == 0 ? 0 : 1)
  }

  /// Slots of the last block that `tokens` leave unused: (B - L mod B) mod B. 0 at a multiple.
  package static func tailWaste(of tokens: UInt64, blockSize: UInt32) -> UInt64 {
    blocks(for: tokens, blockSize: blockSize) * UInt64(blockSize) - tokens
  }

  /// Slots that a sequence wastes on average when each fill of its last block, 1 ... B, is as likely:
  /// (B - 1) / 2. The often quoted (B + 1) / 2 takes a full block for waste.
  package static func expectedTailWaste(blockSize: UInt32) -> Double {
    Double(blockSize - 1) / 2
  }

  /// The block size that minimises wasted slots and block metadata together, in tokens:
  /// sqrt(2 L m_meta / m_token), from d/dB [B/2 m_token + L/B m_meta] = 0.
  ///
  /// It knows nothing of attention kernels, which want 16 or more, and is often below 1 for real models:
  /// the memory of a token is hundreds of kilobytes, that of a table entry a few bytes.
  ///
  /// - Parameters:
  ///   - meanTokens: L, the mean length of a sequence.
  ///   - metadataBytes: m_meta, bytes of tables and records for each block.
  ///   - tokenBytes: m_token, bytes of KV for each token. More than 0.
  package static func optimalBlockSize(
    meanTokens: Double, metadataBytes: Double, tokenBytes: Double
  ) -> Double {
    precondition(tokenBytes > 0, "tokens of no bytes")
    return (2 * meanTokens * metadataBytes / tokenBytes).squareRoot()
  }

  /// Bytes that a sequence of `meanTokens` costs beyond its tokens: the tail's waste, B / 2 tokens as
  /// the formula above has it, and the metadata of its L / B blocks.
  package static func overhead(
    blockSize: Double, meanTokens: Double, metadataBytes: Double, tokenBytes: Double
  ) -> Double {
    blockSize / 2 * tokenBytes + meanTokens / blockSize * metadataBytes
  }

  /// Sequences that fit at once: total / bytes of one, rounded down; 0 where one takes nothing.
  package static func effectiveBatchSize(totalBytes: UInt64, bytesPerSequence: UInt64) -> UInt64 {
    bytesPerSequence == 0 ? 0 : totalBytes / bytesPerSequence
  }

  /// 100 (total - used) / total, in percent; 0 of nothing.
  package static func wastePercentage(total: UInt64, used: UInt64) -> Double {
    precondition(used <= total, "more used than there is")
    return total == 0 ? 0 : Double(total - used) / Double(total) * 100
  }
}

/// What a set of sequences takes under one way to hold it.
package struct HeldSlots: Equatable, Sendable {
  /// Slots that hold a token, and slots that are held.
  package var used: UInt64 = 0
  package var held: UInt64 = 0

  package init(used: UInt64 = 0, held: UInt64 = 0) {
    precondition(used <= held, "more slots used than held")
    self.used = used
    self.held = held
  }

  /// In blocks: each length rounded up to whole blocks. O(lengths).
  package init(paging lengths: some Sequence<UInt64>, blockSize: UInt32) {
    for tokens in lengths {
      used += tokens
      held +=
        BlockArithmetic.blocks(for: tokens, blockSize: blockSize) * UInt64(blockSize)
    }
  }

  /// The way before paging: `longest` slots for each, whatever it comes to. No length is above it.
  package init(reserving longest: UInt64, for lengths: some Sequence<UInt64>) {
    for tokens in lengths {
      precondition(tokens <= longest, "a sequence longer than the longest")
      used += tokens
      held += longest
    }
  }

  /// Held and not used.
  package var wasted: UInt64 { held - used }
  /// used / held, 0 to 1; 1 of nothing, of which nothing is wasted.
  package var utilization: Double { held == 0 ? 1 : Double(used) / Double(held) }
  /// wasted / held, 0 to 1: internal fragmentation.
  package var internalFragmentation: Double { held == 0 ? 0 : Double(wasted) / Double(held) }

  /// Of the slots that `other` holds, those that this way saves, as a share: "memory saved".
  package func allocationSaved(beside other: HeldSlots) -> Double {
    other.held == 0 ? 0 : (Double(other.held) - Double(held)) / Double(other.held)
  }

  /// Of the slots that `other` wastes, those that this way does not, as a share: another figure than
  /// `allocationSaved`, and often confused with it.
  package func wasteSaved(beside other: HeldSlots) -> Double {
    other.wasted == 0 ? 0 : (Double(other.wasted) - Double(wasted)) / Double(other.wasted)
  }
}
