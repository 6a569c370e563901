/// One operation of a command.
package struct Operation: BitwiseCopyable {
  package var onRefusal: OnRefusal
  /// Whether the kind is `.allocate`, and of how many: a look at the kind itself copies as much memory as
  /// the largest kind has, which is more work than to allocate a block.
  private(set) var isAllocate = false
  private(set) var allocateCount: UInt32 = 0
  package private(set) var kind: Kind
  /// What is wrong with it that the pool cannot see (`.none`: nothing): it is refused with this in its
  /// turn, as if the pool had found it.
  package var problem: Refusal

  package init(_ kind: Kind, onRefusal: OnRefusal = .inherit, problem: Refusal = .none) {
    self.onRefusal = onRefusal
    self.kind = kind
    self.problem = problem
    if case .allocate(let count) = kind {
      isAllocate = true
      allocateCount = count
    }
  }

  /// `.allocate(count:)` from now on.
  @inline(__always)
  mutating func become(allocating count: UInt32) {
    onRefusal = .inherit
    isAllocate = true
    allocateCount = count
    kind = .allocate(count: count)
    if problem.reason != .none { problem = .none }
  }

  package enum Kind: BitwiseCopyable {
    // Raw blocks, for schedulers that keep their own tables.

    /// Takes `count` free blocks, all or none, each with reference count 1.
    case allocate(count: UInt32)
    /// The same, adjacent ones or certain ones.
    case place(PlaceBlocks)
    /// Drops one of the session's references to each block, in the given order.
    /// `generations`: empty, one for all, or one each.
    case freeBlocks(UnsafeBufferPointer<BlockID>, generations: UnsafeBufferPointer<UInt32>)
    /// Takes one more reference to each block, held by the session.
    case forkBlocks(UnsafeBufferPointer<BlockID>, generations: UnsafeBufferPointer<UInt32>)
    /// Makes a held block safe to write: itself, or another one and a copy order.
    /// `filledTokens` 0 = the whole block.
    case copyOnWrite(BlockID, filledTokens: UInt32)
    /// The copies named, and all up to `upTo` (0 = none), are done.
    case acknowledgeCopies(UnsafeBufferPointer<UInt64>, upTo: UInt64)

    // Sequences, whose tables the pool keeps.

    case add(AddSequence)
    case admit(Admit)
    case extend(Extend)
    /// Tokens, and the hashes of the blocks that are full with them: all whose hash is not known
    /// yet, or none; or the token ids, as many as `tokens`, and the pool makes the hashes. The same
    /// holds wherever hashes or ids come with tokens.
    case append(
      SequenceID, tokens: UInt32,
      blockHashes: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0),
      tokenIDs: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0))
    /// The KV of the first so many tokens is written (0 = of all that were scheduled): their full
    /// blocks become hit-able.
    case commit(SequenceID, tokens: UInt32)
    case fork(parent: SequenceID, children: UnsafeBufferPointer<SequenceID>)
    case rewind(Rewind)
    case preempt(UnsafeBufferPointer<SequenceID>)
    /// Running to swapped: their blocks go to the host tier, by copies.
    case swapOut(UnsafeBufferPointer<SequenceID>)
    /// Swapped to running.
    case swapIn(UnsafeBufferPointer<SequenceID>)
    /// Orders the moves of a plan; refused unless the pool is at the plan's revision.
    case applyDefragment(revision: Revision, UnsafeBufferPointer<BlockMove>)
    case freeSequences(UnsafeBufferPointer<SequenceID>, ignoresMissing: Bool)
    case reserve(Reserve)
    case recover(Recover)
    /// What the pool puts off, now.
    case flush
    case decode(Decode)

    // The prefix cache by hashes, for schedulers that keep their own tables.

    /// One more reference to each block of the longest cached prefix, then `count` new blocks, all
    /// or nothing.
    case acquire(blockHashes: UnsafeBufferPointer<UInt8>, count: UInt32, sizeClass: UInt32 = 0)
    /// These held, full blocks now have this content; one hash a block. `parentHash`: of the block
    /// before the first of them, empty where that is the first of its sequence.
    case cacheBlocks(
      UnsafeBufferPointer<BlockID>, blockHashes: UnsafeBufferPointer<UInt8>,
      parentHash: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0))
    /// Forgets the content of these blocks, whoever holds them; they keep their references and
    /// their place in the queue.
    case evictBlocks(UnsafeBufferPointer<BlockID>)
    /// Forgets all content, pinned or not; refused with `.wrongState` while any block is held.
    /// `preemptsRunning`: after preempting whatever runs, of all sessions.
    case resetPrefixCache(preemptsRunning: Bool)
    case updatePool(PoolUpdate)
    case pin(PinPrefix)
  }
}

extension Operation.Kind {
  var isAdmission: Bool {
    if case .admit = self { return true }
    return false
  }
}
