/// What a pool says of itself at one moment, as far as a report needs it.
package struct PoolSnapshot: Equatable {
  package var capacityBlocks: UInt32 = 0
  package var blockSize: UInt32 = 0
  package var freeBlocks: UInt32 = 0
  package var cachedBlocks: UInt32 = 0
  package var activeBlocks: UInt32 = 0
  package var sharedBlocks: UInt32 = 0
  package var pinnedBlocks: UInt32 = 0
  package var waitingSequences: UInt32 = 0
  package var runningSequences: UInt32 = 0
  package var preemptedSequences: UInt32 = 0
  package var freeRuns: UInt32 = 0
  package var largestFreeRun: UInt32 = 0

  package init() {}

  /// Blocks that somebody holds.
  package var usedBlocks: UInt32 { activeBlocks &+ sharedBlocks &+ pinnedBlocks }
  package var availableBlocks: UInt32 { freeBlocks &+ cachedBlocks }
  package var sequences: UInt64 {
    UInt64(waitingSequences) + UInt64(runningSequences) + UInt64(preemptedSequences)
  }
}

/// Whether a run left the pool as it found it.
package struct LeakCheck: Equatable {
  package var before: PoolSnapshot
  package var after: PoolSnapshot

  package init(before: PoolSnapshot, after: PoolSnapshot) {
    self.before = before
    self.after = after
  }

  /// Blocks that were available and are so no more, whether somebody holds them or they are in no
  /// state at all. Negative when others freed meanwhile.
  package var leakedBlocks: Int64 { Int64(before.availableBlocks) - Int64(after.availableBlocks) }
  package var leakedSequences: Int64 { Int64(after.sequences) - Int64(before.sequences) }
  package var isClean: Bool { leakedBlocks == 0 && leakedSequences == 0 && isWhole }
  /// Fewer blocks or sequences than before, and every block accounted for: others freed some.
  package var isOnlyLess: Bool {
    !isClean && isWhole && leakedBlocks <= 0 && leakedSequences <= 0
  }
  /// Every block is in exactly one state.
  private var isWhole: Bool {
    UInt64(after.availableBlocks) + UInt64(after.usedBlocks) == UInt64(after.capacityBlocks)
  }
}
