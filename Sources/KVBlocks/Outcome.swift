/// What a command did: one result per operation, and the lists they point into.
///
/// Made once and reused: `KVPool.apply` resets it first. The lists are flat, so that an outcome of
/// any shape costs no allocation once they have grown.
package final class Outcome {
  /// The pool's revision after the command; generations of the blocks it handed out are the low 32
  /// bits of it.
  package var revision: Revision = 0
  /// Of the command as a whole (`.abort`, `.revisionMoved`); then nothing changed.
  package var refusal: Refusal = .none
  /// The operation whose refusal aborted the command; nil when none did.
  package var abortingOperation: Int?
  package var availableBlocks: UInt32 = 0
  package var results = FlatList<OperationResult>()
  /// Block ids newly handed out, in the order they are filled.
  package var blocks = FlatList<BlockID>()
  /// Block ids that were hit in the prefix cache, in the order of the prefix.
  package var cached = FlatList<BlockID>(minimumCapacity: 1)
  /// Numbers per sequence or block, as the operation says.
  package var counts = FlatList<UInt32>()
  /// Null blocks per sequence of a decode.
  package var nullCounts = FlatList<UInt32>(minimumCapacity: 1)
  /// Indexes of refused sequences of a decode.
  package var refusedIndexes = FlatList<UInt32>()
  package var preempted = FlatList<SequenceID>()
  package var copies = FlatList<CopyOrder>()
  /// Blocks that the client fills with zeros before it copies or writes.
  package var mustZero = FlatList<BlockID>(minimumCapacity: 1)
  /// What the rungs of recoveries did.
  package var reports = FlatList<RungReport>(minimumCapacity: 1)
  /// Copies acknowledged by this command whose moves were given up: the tables stay as they were.
  package var abandoned = FlatList<UInt64>(minimumCapacity: 1)

  package init() {}

  package func reset() {
    revision = 0
    refusal = .none
    abortingOperation = nil
    availableBlocks = 0
    results.removeAll()
    blocks.removeAll()
    cached.removeAll()
    counts.removeAll()
    nullCounts.removeAll()
    refusedIndexes.removeAll()
    preempted.removeAll()
    copies.removeAll()
    mustZero.removeAll()
    reports.removeAll()
    abandoned.removeAll()
  }
}

/// A part of one of an outcome's lists.
public struct Slice32: Equatable, BitwiseCopyable {
  public var start: UInt32
  public var count: UInt32
  public init(start: UInt32 = 0, count: UInt32 = 0) {
    self.start = start
    self.count = count
  }
}

/// The result of one operation. Fields that the operation has no use for are 0 or empty.
package struct OperationResult: BitwiseCopyable {
  /// `.reason == .none` when the operation stands.
  package var refusal: Refusal = .none
  /// allocate, admit, extend, decode: new block ids. (Targets of copies are never among them.)
  package var newBlocks = Slice32()
  /// admit, acquire: blocks that were hit, in `Outcome.cached`.
  package var cachedBlocks = Slice32()
  /// decode: new blocks per sequence, empty when none needed a block. forkBlocks: reference counts.
  package var counts = Slice32()
  /// decode: null blocks at the head of each sequence's table, in `Outcome.nullCounts`; empty when
  /// no window moved.
  package var nullCounts = Slice32()
  /// admit, extend: null blocks at the head of the table.
  package var nullBlocks: UInt32 = 0
  /// decode: indexes of the sequences refused; `firstRefusal` says why the first was.
  package var refusedIndexes = Slice32()
  package var firstRefusal: Refusal = .none
  package var preempted = Slice32()
  /// recover: what each rung did, or would have done beside a refusal.
  package var reports = Slice32()
  package var copies = Slice32()
  /// Of the targets of copies and then of the new blocks those to be zeroed, in `Outcome.mustZero`.
  package var mustZero = Slice32()
  /// admit, extend: tokens that now have slots thanks to this operation.
  package var scheduledTokens: UInt32 = 0
  /// admit, acquire: tokens found in the prefix cache, at most the largest number.
  package var cachedTokens: UInt32 = 0
  /// Cached blocks that lost their content because this operation took them.
  package var evictedBlocks: UInt32 = 0
  /// add: the sequence's tokens. append, rewind: the sequence's tokens after it. commit: tokens
  /// committed, from the first. pin: tokens of the prefix that are pinned now.
  package var tokens: UInt32 = 0
  /// add: blocks its tokens need.
  package var blocksNeeded: UInt32 = 0
  /// freeBlocks, freeSequences, preempt, rewind: blocks that became available. swapOut, swapIn:
  /// blocks of the tier that is left that become available with their copies.
  package var freedBlocks: UInt32 = 0
  /// freeSequences: sequences that went. preempt, swapOut, swapIn: sequences that changed
  /// state. applyDefragment: moves. fork: children made.
  /// acknowledgeCopies: copies acknowledged. commit, cacheBlocks: blocks that became hit-able.
  /// evictBlocks, resetPrefixCache: blocks that had content and lost it. pin: blocks that the session
  /// pins after it. reserve: blocks promised in the pool, after it.
  package var affected: UInt32 = 0
  /// copyOnWrite: the block to write.
  package var block: BlockID = 0
  /// rewind: the sequence's computed tokens after it.
  package var computedTokens: UInt32 = 0
  /// fork: blocks of the parent's table, now shared.
  package var sharedBlocks: UInt32 = 0
  /// acknowledgeCopies: copies of the session still to be acknowledged.
  package var pendingCopies: UInt32 = 0
  /// pin: blocks that the session may still pin.
  package var budgetBlocks: UInt32 = 0
  /// swapOut, swapIn: available blocks of the host tier after it.
  package var availableHostBlocks: UInt32 = 0
  /// Available blocks after this operation.
  package var availableBlocks: UInt32 = 0

  package init() {}
}

/// Copy `tokens` filled slots from `source` to `target`, then acknowledge `id`. Both ends stay
/// pinned until then.
package struct CopyOrder: Equatable, BitwiseCopyable {
  /// Increasing per session, from 1.
  package var id: UInt64
  package var source: BlockID
  package var target: BlockID
  /// 0: nothing is to be copied, but the table entry has changed.
  package var tokens: UInt32
  /// Whose table now holds the target, and where; sequence 0 with `isRaw` for a raw block.
  package var sequence: SequenceID
  package var tableIndex: UInt32
  package var isRaw: Bool
  package var kind: CopyKind

  package init(
    id: UInt64, source: BlockID, target: BlockID, tokens: UInt32, sequence: SequenceID,
    tableIndex: UInt32, isRaw: Bool, kind: CopyKind = .write
  ) {
    self.id = id
    self.source = source
    self.target = target
    self.tokens = tokens
    self.sequence = sequence
    self.tableIndex = tableIndex
    self.isRaw = isRaw
    self.kind = kind
  }
}
