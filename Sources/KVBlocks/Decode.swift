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
