/// A pool's counters and its exact partition: `free + cached + active + shared + pinned == blocks`.
package struct PoolStats: Equatable {
  package var revision: Revision = 0
  package var blocks: UInt32 = 0
  package var blockSize: UInt32 = 0
  package var free: UInt32 = 0
  package var cached: UInt32 = 0
  /// Freed, and waiting for their batch: the partition has them beside the free and cached ones.
  package var lazyPending: UInt32 = 0
  /// Reference count 1.
  package var active: UInt32 = 0
  /// Reference count above 1.
  package var shared: UInt32 = 0
  /// No references but copies under way.
  package var pinned: UInt32 = 0
  /// Blocks promised to sequences to come; over `free + cached`, no part of the sum.
  package var reserved: UInt32 = 0
  /// Blocks that admissions may fill; 0 where there is no threshold. And those that running sequences
  /// still need for their tokens, counted only then.
  package var admissionLimit: UInt32 = 0
  package var owed: UInt64 = 0
  /// Of the active ones, blocks that a strategy took beside those it was asked for.
  package var rounding: UInt32 = 0
  /// Most blocks unavailable at once since the pool was made or reset.
  package var highWatermark: UInt32 = 0
  package var waitingSequences: UInt32 = 0
  package var runningSequences: UInt32 = 0
  package var preemptedSequences: UInt32 = 0
  package var swappedSequences: UInt32 = 0
  /// The host tier: all of its blocks, and their parts, which add up to them.
  package var hostBlocks: UInt32 = 0
  package var hostFree: UInt32 = 0
  package var hostActive: UInt32 = 0
  package var hostShared: UInt32 = 0
  package var hostPinned: UInt32 = 0
  /// Blocks whose copies to and from the host tier were ordered, ever.
  package var swappedOutBlocks: UInt64 = 0
  package var swappedInBlocks: UInt64 = 0
  /// Blocks that a defragmentation moved, and moves that were given up.
  package var movedBlocks: UInt64 = 0
  package var abandonedMoves: UInt64 = 0
  package var pendingCopies: UInt32 = 0
  /// Accepted operations that handed out blocks, and the blocks.
  package var allocateCalls: UInt64 = 0
  package var allocatedBlocks: UInt64 = 0
  /// Accepted operations that gave back references, and the blocks that became available.
  package var freeCalls: UInt64 = 0
  package var freedBlocks: UInt64 = 0
  package var forks: UInt64 = 0
  package var copies: UInt64 = 0
  package var preemptions: UInt64 = 0
  /// Cached blocks that lost their content to an allocation.
  package var evictions: UInt64 = 0
  /// Of those, the ones that lost it ahead of one.
  package var evictionsAhead: UInt64 = 0
  /// The same by `EvictionPolicy` raw value.
  package var evictionsByPolicy: [UInt64] = Array(repeating: 0, count: 5)
  /// Tokens looked up by accepted admissions, and those found; of sequences that were preempted
  /// before, apart.
  package var prefixQueryTokens: UInt64 = 0
  package var prefixHitTokens: UInt64 = 0
  package var preemptedQueryTokens: UInt64 = 0
  package var preemptedHitTokens: UInt64 = 0
  /// By `Refusal.Reason` raw value.
  package var refusals: [UInt64] = Array(repeating: 0, count: 17)

  package init() {}
}

/// What it takes a scan of the pool to tell. O(blocks + table entries).
package struct PoolLayout: Equatable {
  /// Slots of the distinct blocks that sequences hold.
  package var sequenceSlotsHeld: UInt64 = 0
  /// Of those, slots that hold a computed token.
  package var sequenceSlotsUsed: UInt64 = 0
  /// Blocks that only raw references hold; their fill is unknown.
  package var rawBlocks: UInt32 = 0
  /// Maximal runs of adjacent free blocks.
  package var freeRuns: UInt32 = 0
  package var largestFreeRun: UInt32 = 0
  /// The ten largest, descending.
  package var largestFreeRuns: [UInt32] = []
  /// The same for free and cached blocks together.
  package var availableRuns: UInt32 = 0
  package var largestAvailableRun: UInt32 = 0
  package var largestAvailableRuns: [UInt32] = []
  /// With the slots: of each size class; empty in a pool without.
  package var classes: [ClassLayout] = []

  package init() {}
}
