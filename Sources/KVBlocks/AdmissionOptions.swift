/// Options of a pool about who is let in and how blocks come back; all are off as they are made.
package struct AdmissionOptions: Equatable, BitwiseCopyable, Sendable {
  /// Share of the pool, above 0 up to 1, that admissions may fill; nil = memory-aware admission is off.
  package var threshold: Double?

  /// Blocks without content that proactive eviction keeps; 0 = it is off.
  package var proactiveFreeBlocks: UInt32

  /// Blocks that lazy free collects before it gives them back; 0 = at once.
  package var lazyFreeBatch: UInt32

  /// The largest batch.
  package static let maximumLazyFreeBatch = LazyFrees.maximumBatch

  package init(
    threshold: Double? = nil, lazyFreeBatch: UInt32 = 0, proactiveFreeBlocks: UInt32 = 0
  ) {
    self.lazyFreeBatch = lazyFreeBatch
    self.threshold = threshold
    self.proactiveFreeBlocks = proactiveFreeBlocks
  }

  /// The field that contradicts the rest of a configuration; nil where none does.
  package func conflict(
    _ strategy: AllocationStrategy, cachesPrefixes: Bool
  ) -> Refusal.StaticName? {
    if proactiveFreeBlocks > 0 && !cachesPrefixes { return .proactiveFreeBlocks }
    if lazyFreeBatch > 0 && strategy.needsRuns { return .lazyFreeBatch }
    return nil
  }

  /// The share where none is named.
  package static let defaultThreshold = 0.9

  /// Blocks of `blocks` that admissions may fill: the most that are not a larger share than the
  /// threshold. `blocks` where it is off.
  package func limit(of blocks: UInt32) -> UInt32 {
    guard let threshold else { return blocks }
    var limit = min(UInt32(threshold * Double(blocks)), blocks)
    // A product can be rounded down past a share that the quotient has exactly: 0.29 x 100.
    while limit < blocks && Double(limit + 1) / Double(blocks) <= threshold { limit += 1 }
    return limit
  }
}

// MARK: - State

extension AdmissionOptions {
  /// Nothing where all are off.
  func write(to writer: StateWriter) {
    if self == AdmissionOptions() { return }
    writer.section("ADMI")
    writer.flag(threshold != nil)
    if let threshold { writer.f64(threshold) }
    writer.u32(lazyFreeBatch)
    writer.u32(proactiveFreeBlocks)
  }

  init(from reader: inout StateReader, blocks: UInt32) throws(StateFailure) {
    self.init()
    if !reader.begins("ADMI") { return }
    try reader.section("ADMI")
    if try reader.flag("an admission threshold") {
      let share = try reader.f64()
      guard share > 0 && share <= 1 else {
        throw reader.failure("the admission threshold is \(share), must be above 0 and at most 1")
      }
      threshold = share
    }
    lazyFreeBatch = try reader.u32("lazy_free_batch", through: Self.maximumLazyFreeBatch)
    proactiveFreeBlocks = try reader.u32("proactive_free_blocks", through: blocks)
  }
}
