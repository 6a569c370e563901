/// One pool: its blocks, the sequences and raw references that hold them, the copies under way.
///
/// A state machine. The same commands from the same configuration give the same outcomes, always: no
/// clock, no randomness, no I/O. Confined to the thread that owns it.
package final class KVPool {
  package let configuration: PoolConfiguration
  package private(set) var revision: Revision = 0

  package init(_ configuration: PoolConfiguration) {
    self.configuration = configuration
  }

  /// Applies `command` and writes what it did into `outcome`, which is reset first.
  package func apply(_ command: Command, into outcome: Outcome) {}
}

/// What a pool is made with.
package struct PoolConfiguration: Equatable {
  /// Usable blocks N, 1 ... `maximumBlocks`; their ids are 1 ... N.
  package var blocks: UInt32
  /// Tokens per block, 1 ... `maximumBlockSize`.
  package var blockSize: UInt32
  package var copyAck: CopyAck

  package static let maximumBlocks: UInt32 = 1 << 28
  package static let maximumBlockSize: UInt32 = 1 << 16

  package init(blocks: UInt32, blockSize: UInt32, copyAck: CopyAck = .nextStep) {
    precondition(blocks >= 1 && blocks <= Self.maximumBlocks, "blocks out of range")
    precondition(blockSize >= 1 && blockSize <= Self.maximumBlockSize, "block size out of range")
    self.blocks = blocks
    self.blockSize = blockSize
    self.copyAck = copyAck
  }
}

/// When an ordered copy counts as done.
package enum CopyAck: UInt8 {
  /// When its session steps again (or acknowledges it).
  case nextStep
  /// Only when it is acknowledged.
  case explicit
}

/// What `KVPool.describe` tells of a sequence. Valid until the next command.
package struct SequenceView {
  package var sequence: SequenceID
  package var session: SessionID
  package var state: SequenceState
  package var tokens: UInt32
  /// Tokens that have been scheduled: they have slots.
  package var computedTokens: UInt32
  package var priority: Int32
  package var preemptions: UInt32
  package var admittedRevision: Revision
  package var label: UnsafeBufferPointer<UInt8>
  /// The block table, in order.
  package var blocks: UnsafeBufferPointer<BlockID>
  /// Blocks of the table with reference count 1 / more.
  package var exclusiveBlocks: UInt32
  package var sharedBlocks: UInt32
  /// Maximal runs of ascending adjacent ids in the table.
  package var runs: UInt32
}

package enum SequenceState: UInt8 {
  case waiting = 1
  case running = 2
  case preempted = 3
  case swapped = 4
}

/// A pool's counters and its exact partition: `free + cached + active + shared + pinned == blocks`.
package struct PoolStats {
  package var revision: Revision = 0
  package var blocks: UInt32 = 0
  package var blockSize: UInt32 = 0
  package var free: UInt32 = 0
  package var cached: UInt32 = 0
  /// Reference count 1.
  package var active: UInt32 = 0
  /// Reference count above 1.
  package var shared: UInt32 = 0
  /// No references but copies under way.
  package var pinned: UInt32 = 0
  /// Most blocks unavailable at once since the pool was made or reset.
  package var highWatermark: UInt32 = 0
  package var waitingSequences: UInt32 = 0
  package var runningSequences: UInt32 = 0
  package var preemptedSequences: UInt32 = 0
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
  /// By `Refusal.Reason` raw value.
  package var refusals: [UInt64] = Array(repeating: 0, count: 17)

  package init() {}
}

/// What it takes a scan of the pool to tell. O(blocks + table entries).
package struct PoolLayout {
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

  package init() {}
}
