package import Analysis
internal import ToolSupport

/// What the calculator answers; formulas are those of `BlockArithmetic`.
package struct SizeAnswer: Equatable, Sendable {
  /// One block size.
  package struct Row: Equatable, Sendable {
    /// Tokens.
    package var blockSize: UInt32
    /// Blocks that the lengths take: entries of tables.
    package var blocks: UInt64
    package var slots: HeldSlots
    /// Of the blocks: blocks x bytes of metadata.
    package var metadataBytes: UInt64
    /// Of the slots that are held and not used; nil without a geometry.
    package var wasteBytes: UInt64?
    /// Sequences of these lengths' mean cost that fit the memory at once; nil where that is unknown.
    package var batch: UInt64?

    /// nil without a geometry.
    package var costBytes: UInt64? { wasteBytes.map { $0 + metadataBytes } }
  }

  package let question: SizeQuestion
  /// Bytes for KV after everything else; nil where blocks are counted alone.
  package var kvBytes: UInt64?
  /// Blocks that fit; nil where no memory is said.
  package var blocks: UInt64?
  /// Of the block size asked for.
  package var asked: Row?
  package var rows: [Row] = []
  /// Reserving the longest for each.
  package var reserved: HeldSlots?
  /// And how many of these fit at once.
  package var reservedBatch: UInt64?

  package init(_ question: SizeQuestion) {
    self.question = question
    let tokenBytes = question.geometry?.tokenBytes
    switch question.memory {
    case .unknown: break
    case .blocks(let count): blocks = count
    case .kvBytes(let bytes): kvBytes = UInt64(Double(bytes) * question.utilization)
    case .card(let bytes, let weights, let activations):
      let usable = UInt64(Double(bytes) * question.utilization)
      let (others, isTooMuch) = weights.addingReportingOverflow(activations)
      kvBytes = isTooMuch || others > usable ? 0 : usable - others
    }
    if let kvBytes, let tokenBytes {
      blocks = BlockArithmetic.effectiveBatchSize(
        totalBytes: kvBytes, bytesPerSequence: tokenBytes * UInt64(question.blockSize))
    }
    guard !question.lengths.isEmpty else { return }
    let slots = blocks.map { $0 * UInt64(question.blockSize) }
    let sizes = Set(BlockArithmetic.usualBlockSizes + [question.blockSize]).sorted()
    rows = sizes.map { Self.row($0, question, tokenBytes, slots) }
    asked = rows.first { $0.blockSize == question.blockSize }
    let longest = question.maxModelTokens ?? question.lengths.max()!
    reserved = HeldSlots(reserving: longest, for: question.lengths)
    reservedBatch = slots.map {
      BlockArithmetic.effectiveBatchSize(totalBytes: $0, bytesPerSequence: longest)
    }
  }

  private static func row(
    _ size: UInt32, _ question: SizeQuestion, _ tokenBytes: UInt64?, _ poolSlots: UInt64?
  ) -> Row {
    let held = HeldSlots(paging: question.lengths, blockSize: size)
    let blocks = held.held / UInt64(size)
    // As many sequences of the mean's cost as slots allow: total x sequences / slots held.
    let batch = poolSlots.map { slots in
      UInt64(Double(slots / UInt64(size)) * Double(question.lengths.count) / Double(blocks))
    }
    return Row(
      blockSize: size, blocks: blocks, slots: held,
      metadataBytes: product(blocks, question.metadataBytes),
      wasteBytes: tokenBytes.map { product(held.wasted, $0) }, batch: batch)
  }

  /// Half of the largest number where it would be more: two of them still have a sum.
  private static func product(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (value, isTooMuch) = a.multipliedReportingOverflow(by: b)
    return isTooMuch ? .max / 2 : min(value, .max / 2)
  }

  // MARK: The best size

  /// Fewest wasted slots; of equals the larger, which has fewer entries. Almost always 1.
  package var bestWithoutMetadata: UInt32? {
    rows.reversed().min { $0.slots.wasted < $1.slots.wasted }?.blockSize
  }

  /// Fewest bytes of waste and metadata together, of the sizes tried; nil without a geometry.
  package var bestWithMetadata: UInt32? {
    guard question.geometry != nil else { return nil }
    return rows.reversed().min { $0.costBytes! < $1.costBytes! }?.blockSize
  }

  package var meanTokens: Double {
    question.lengths.isEmpty
      ? 0 : Double(question.lengths.reduce(0, +)) / Double(question.lengths.count)
  }

  /// sqrt(2 L m_meta / m_token), in tokens; nil without a geometry or lengths.
  package var optimum: Double? {
    guard let geometry = question.geometry, !question.lengths.isEmpty else { return nil }
    return BlockArithmetic.optimalBlockSize(
      meanTokens: meanTokens, metadataBytes: Double(question.metadataBytes),
      tokenBytes: Double(geometry.tokenBytes))
  }
}
