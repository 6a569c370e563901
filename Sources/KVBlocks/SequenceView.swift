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
  /// Full blocks of its tokens whose hash is known.
  package var knownHashes: UInt32
  /// Leading blocks of the table that were hit or cached.
  package var cachedBlocks: UInt32
  /// The block table, in order.
  package var blocks: UnsafeBufferPointer<BlockID>
  /// Blocks of the table with reference count 1 / more.
  package var exclusiveBlocks: UInt32
  package var sharedBlocks: UInt32
  /// Maximal runs of ascending adjacent ids in the table.
  package var runs: UInt32
  /// The number of its size class, from 1; 0 in a pool without.
  package var sizeClass: UInt32
  /// Blocks promised to it; none while it runs.
  package var reservedBlocks: UInt32
}

package enum SequenceState: UInt8 {
  case waiting = 1
  case running = 2
  case preempted = 3
  case swapped = 4
}
