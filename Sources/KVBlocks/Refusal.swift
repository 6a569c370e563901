/// Why a command, or one of its operations, was refused. A refused operation changes nothing.
package struct Refusal: Equatable, BitwiseCopyable, Sendable {
  package var reason: Reason
  /// The field of the operation that is wrong, as the wire spells it; empty where none is to blame.
  package var field: StaticName
  /// Blocks that the operation needed.
  package var needed: UInt32
  /// Blocks that were available. Short of blocks means `needed + reserved + watermark` is more.
  package var available: UInt32
  /// Of the available ones, cached blocks that the operation counted on hitting; `needed` has them.
  /// Where there is no run: all that are cached.
  package var evictable: UInt32
  /// Blocks kept back beside `needed` for others: promised to them, or named by the operation.
  package var reserved: UInt32
  /// Blocks that the pool's watermark kept back, beside `needed`.
  package var watermark: UInt32
  /// The limit or the index that `field` broke, where the numbers above do not say it. Where there is
  /// no run: the longest that could be had.
  package var limit: UInt64
  /// The number of the size class that is short of blocks, from 1; 0 in a pool without.
  package var sizeClass: UInt8 = 0
  package var sequence: SequenceID
  /// The block, copy or revision that the refusal is about; 0 where none is.
  package var subject: UInt64

  package init(
    _ reason: Reason, field: StaticName = .none, needed: UInt32 = 0, available: UInt32 = 0,
    evictable: UInt32 = 0, reserved: UInt32 = 0, watermark: UInt32 = 0, limit: UInt64 = 0,
    sequence: SequenceID = 0, subject: UInt64 = 0
  ) {
    self.reason = reason
    self.field = field
    self.needed = needed
    self.available = available
    self.evictable = evictable
    self.reserved = reserved
    self.watermark = watermark
    self.limit = limit
    self.sequence = sequence
    self.subject = subject
  }

  package static let none = Refusal(.none)

  /// Raw values are the wire's `RefusalReason`.
  package enum Reason: UInt8, BitwiseCopyable, Sendable {
    case none = 0
    /// The pool is full for now.
    case later = 1
    /// Cannot fit this pool even when it is empty.
    case never = 2
    /// Enough blocks, no contiguous run.
    case noRun = 3
    case quota = 4
    case fenced = 5
    /// The session does not hold this block.
    case notHeld = 6
    case staleGeneration = 7
    case unknownSequence = 8
    case sequenceExists = 9
    /// For example: extending a waiting sequence, preempting one that does not run.
    case wrongState = 10
    case unknownCopy = 11
    case operationIDReused = 12
    case operationIDTooOld = 13
    case revisionMoved = 14
    /// `field` is out of its limits.
    case invalid = 15
    /// An earlier operation of the command was refused.
    case notAttempted = 16
  }

  /// The fields that the domain itself can blame.
  package enum StaticName: UInt8, BitwiseCopyable, Sendable {
    case none, blockIDs, blockID, generations, count, filledTokens, copyIDs, upTo
    case sequenceID, sequenceIDs, childIDs, tokenCount, appendCounts, scheduleCounts
    case lookaheadTokens, uncomputeTokens, dropTokens, victimOrder, label, ifRevision
    case acknowledgedCopyID, maxTokensNow, blockHashes, hashCounts, watermark, inFlightTokens
    case hostBlocks, tokenIDs, blocks, preferredBlockIDs, reservation, eviction, retention
    case contiguousBlocks, plan, planRevision, planMoves, strategy
    case blocksNeeded, rungs, admissionThreshold, proactiveFreeBlocks, lazyFreeBatch
    /// `dropTokens`, where token ids are needed that are not kept.
    case keptTokens
    case sizeClass, parentHash, multimodal, promptEmbedsDigest, loraPath
    /// No field: what the command looked at, and the extra keys that it hashed.
    case work, extraKeys
  }
}
