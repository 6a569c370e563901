/// A block of a pool: 1 ... `blocks`. 0 is the null block, which no one holds.
package typealias BlockID = UInt32
/// The client's name for a sequence, unique within its session.
package typealias SequenceID = UInt64
/// Who holds: 0 is the default session, which never expires.
package typealias SessionID = UInt64
/// Counts the commands that changed a pool's state.
package typealias Revision = UInt64

/// One thing to do to a pool, as a value: the unit that is applied, refused, journalled and replayed.
///
/// A unary call is a command of one operation; a scheduler step is a command of many. The buffers
/// inside the operations are borrowed for the time of `KVPool.apply` and never kept.
package struct Command {
  package var session: SessionID
  /// Refuse the whole command unless the pool is at this revision; 0 = whatever it is at.
  package var ifRevision: Revision
  /// The caller's clock, milliseconds; `KVPool.readClock` says when it counts.
  package var now: UInt64
  /// Answer as if, change nothing.
  package var isDryRun: Bool
  /// Marks a scheduler step: in a `CopyAck.nextStep` pool every copy the session was ordered to make
  /// in earlier commands is done by now.
  package var isStep: Bool
  /// A step's copies up to this id are done; 0 = none named.
  package var acknowledgedCopyID: UInt64
  /// Tokens that decode, extend and admit may schedule in all, in order; 0 = no budget.
  package var tokenBudget: UInt32
  /// After a preemption in this command, admissions are refused with `.notAttempted`.
  package var refusesAdmissionAfterPreemption: Bool
  /// What a refusal does where an operation does not say.
  package var onRefusal: OnRefusal
  /// Whom `OnRefusal.preempt` preempts, where a decode has no list of its own.
  package var victimPolicy: VictimPolicy
  package var operations: UnsafeBufferPointer<Operation>

  package init(
    session: SessionID, operations: UnsafeBufferPointer<Operation>, ifRevision: Revision = 0,
    now: UInt64 = 0, isDryRun: Bool = false, isStep: Bool = false, acknowledgedCopyID: UInt64 = 0,
    tokenBudget: UInt32 = 0, refusesAdmissionAfterPreemption: Bool = false,
    onRefusal: OnRefusal = .continue, victimPolicy: VictimPolicy = .fcfs
  ) {
    self.victimPolicy = victimPolicy
    self.session = session
    self.operations = operations
    self.ifRevision = ifRevision
    self.now = now
    self.isDryRun = isDryRun
    self.isStep = isStep
    self.acknowledgedCopyID = acknowledgedCopyID
    self.tokenBudget = tokenBudget
    self.refusesAdmissionAfterPreemption = refusesAdmissionAfterPreemption
    self.onRefusal = onRefusal
  }
}

/// What happens to the rest of a command when one of its operations is refused.
package enum OnRefusal: UInt8, BitwiseCopyable {
  /// In an operation only: as the command says.
  case inherit
  /// Every operation stands alone.
  case `continue`
  /// What follows is `.notAttempted` (head-of-line admission).
  case stop
  /// Preempt a running sequence by the victim order and retry the same operation, as vLLM does.
  case preempt
  /// All or nothing: the command is undone and refused as a whole.
  case abort
}

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

/// A sequence to come: its content is known, it has no blocks yet (`SequenceState.waiting`).
package struct AddSequence: BitwiseCopyable {
  package var sequence: SequenceID
  /// Known tokens, at least 1.
  package var tokens: UInt32
  /// Lower runs first and is preempted last, as in vLLM.
  package var priority: Int32
  package var expectedTokens: UInt32
  /// UTF-8, copied.
  package var label: UnsafeBufferPointer<UInt8>
  /// The hashes of its full blocks, in order, or none at all; copied.
  package var blockHashes: UnsafeBufferPointer<UInt8>
  /// Its tokens, or none; those that are needed are copied.
  package var tokenIDs: UnsafeBufferPointer<UInt32>
  /// What else the hasher hashes with its blocks, in the hasher's own form; copied.
  package var extraKeys: UnsafeBufferPointer<UInt8>
  /// Hits nothing, but is cached for others.
  package var skipsPrefixLookup: Bool
  /// Copied.
  package var retention: UnsafeBufferPointer<RetentionRange>
  /// The number of its size class, from 1; 0 = by its expected length.
  package var sizeClass: UInt32

  package init(
    sequence: SequenceID, tokens: UInt32, priority: Int32 = 0, expectedTokens: UInt32 = 0,
    label: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0),
    blockHashes: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0),
    tokenIDs: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    extraKeys: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0),
    skipsPrefixLookup: Bool = false,
    retention: UnsafeBufferPointer<RetentionRange> = .init(start: nil, count: 0),
    sizeClass: UInt32 = 0
  ) {
    self.sizeClass = sizeClass
    self.retention = retention
    self.blockHashes = blockHashes
    self.tokenIDs = tokenIDs
    self.extraKeys = extraKeys
    self.skipsPrefixLookup = skipsPrefixLookup
    self.sequence = sequence
    self.tokens = tokens
    self.priority = priority
    self.expectedTokens = expectedTokens
    self.label = label
  }
}

/// Waiting or preempted to running: slots for the sequence's tokens (vLLM's `allocate_slots` for a
/// request that holds nothing yet; `reference` rules are in the DocC article of this module).
package struct Admit: BitwiseCopyable {
  package var sequence: SequenceID
  /// Add and admit in one: a refusal leaves no trace unless `keepsOnRefusal`.
  package var add: AddSequence?
  package var keepsOnRefusal: Bool
  /// Slots for at most this many uncached tokens now (chunked prefill); 0 = all.
  package var maxTokensNow: UInt32
  package var lookaheadTokens: UInt32
  /// False: refused unless the whole sequence fits now (vLLM's default gate).
  package var allowsPartialFit: Bool
  /// Blocks that must stay available beside this admission.
  package var reservedBlocks: UInt32
  /// Full blocks are not hit-able until they are committed, or until an operation that does not
  /// delay schedules the sequence. False: at once, as vLLM does.
  package var delaysCommit: Bool
  /// The caller says that nothing runs.
  package var ignoresWatermark: Bool
  /// Tokens behind the hits whose KV comes from elsewhere: they get slots and are not scheduled.
  /// At most as many as the sequence has.
  package var externalComputedTokens: UInt32

  package init(
    sequence: SequenceID, add: AddSequence? = nil, keepsOnRefusal: Bool = false,
    maxTokensNow: UInt32 = 0, lookaheadTokens: UInt32 = 0, allowsPartialFit: Bool = false,
    reservedBlocks: UInt32 = 0, delaysCommit: Bool = false, ignoresWatermark: Bool = false,
    externalComputedTokens: UInt32 = 0
  ) {
    self.delaysCommit = delaysCommit
    self.ignoresWatermark = ignoresWatermark
    self.externalComputedTokens = externalComputedTokens
    self.sequence = sequence
    self.add = add
    self.keepsOnRefusal = keepsOnRefusal
    self.maxTokensNow = maxTokensNow
    self.lookaheadTokens = lookaheadTokens
    self.allowsPartialFit = allowsPartialFit
    self.reservedBlocks = reservedBlocks
  }
}

/// Slots for a running sequence. Appended tokens are a fact and recorded even when the slots are
/// refused (unless the whole command is undone).
package struct Extend: BitwiseCopyable {
  package var sequence: SequenceID
  package var appendTokens: UInt32
  /// Slots for at most this many outstanding tokens; 0 = all.
  package var maxTokensNow: UInt32
  package var lookaheadTokens: UInt32
  package var reservedBlocks: UInt32
  /// Computed tokens that steps under way still compute: a sliding window moves behind the others
  /// only.
  package var inFlightTokens: UInt32
  /// Of the blocks that are full with the appended tokens.
  package var blockHashes: UnsafeBufferPointer<UInt8>
  /// The appended tokens.
  package var tokenIDs: UnsafeBufferPointer<UInt32>
  package var delaysCommit: Bool

  package init(
    sequence: SequenceID, appendTokens: UInt32 = 0, maxTokensNow: UInt32 = 0,
    lookaheadTokens: UInt32 = 0, reservedBlocks: UInt32 = 0, inFlightTokens: UInt32 = 0,
    blockHashes: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0),
    tokenIDs: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    delaysCommit: Bool = false
  ) {
    self.blockHashes = blockHashes
    self.tokenIDs = tokenIDs
    self.delaysCommit = delaysCommit
    self.inFlightTokens = inFlightTokens
    self.sequence = sequence
    self.appendTokens = appendTokens
    self.maxTokensNow = maxTokensNow
    self.lookaheadTokens = lookaheadTokens
    self.reservedBlocks = reservedBlocks
  }
}

/// Takes back computed tokens (rejected speculation) or the tokens themselves.
package struct Rewind: BitwiseCopyable {
  package var sequence: SequenceID
  /// Their slots are kept for reuse.
  package var uncomputeTokens: UInt32
  /// These tokens go altogether; at least one token stays.
  package var dropTokens: UInt32
  /// Tail blocks that are now empty are freed.
  package var releasesBlocks: Bool

  package init(
    sequence: SequenceID, uncomputeTokens: UInt32 = 0, dropTokens: UInt32 = 0,
    releasesBlocks: Bool = false
  ) {
    self.sequence = sequence
    self.uncomputeTokens = uncomputeTokens
    self.dropTokens = dropTokens
    self.releasesBlocks = releasesBlocks
  }
}

/// Many running sequences extended at once, in columns.
package struct Decode: BitwiseCopyable {
  package var sequences: UnsafeBufferPointer<SequenceID>
  /// Tokens to append to each; empty = one each.
  package var appendCounts: UnsafeBufferPointer<UInt32>
  /// Tokens to schedule of each; empty = everything outstanding.
  package var scheduleCounts: UnsafeBufferPointer<UInt32>
  /// Empty = none; one value = for all.
  package var lookaheadTokens: UnsafeBufferPointer<UInt32>
  /// Computed tokens that steps under way still compute; empty = none; one value = for all.
  package var inFlightTokens: UnsafeBufferPointer<UInt32>
  /// For `OnRefusal.preempt`: whom to preempt first; empty = this list from its end.
  package var victimOrder: UnsafeBufferPointer<SequenceID>
  /// Hashes of the blocks that are full with the appended tokens, one sequence after the other.
  package var blockHashes: UnsafeBufferPointer<UInt8>
  /// Hashes of each sequence in `blockHashes`, 0 or all it lacks; empty = all that those lack which
  /// run. Hashes of sequences that do not run are passed over.
  package var hashCounts: UnsafeBufferPointer<UInt32>
  /// The appended tokens, one sequence after the other, those of sequences that do not run among
  /// them.
  package var tokenIDs: UnsafeBufferPointer<UInt32>
  package var delaysCommit: Bool
  /// What was scheduled of these sequences before this operation is now written.
  package var commitsPrevious: Bool

  package init(
    sequences: UnsafeBufferPointer<SequenceID>,
    appendCounts: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    scheduleCounts: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    lookaheadTokens: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    inFlightTokens: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    victimOrder: UnsafeBufferPointer<SequenceID> = .init(start: nil, count: 0),
    blockHashes: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0),
    hashCounts: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    tokenIDs: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    delaysCommit: Bool = false, commitsPrevious: Bool = false
  ) {
    self.blockHashes = blockHashes
    self.hashCounts = hashCounts
    self.tokenIDs = tokenIDs
    self.delaysCommit = delaysCommit
    self.commitsPrevious = commitsPrevious
    self.inFlightTokens = inFlightTokens
    self.sequences = sequences
    self.appendCounts = appendCounts
    self.scheduleCounts = scheduleCounts
    self.lookaheadTokens = lookaheadTokens
    self.victimOrder = victimOrder
  }
}
