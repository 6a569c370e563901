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
