/// What moving blocks is to achieve.
package enum DefragmentGoal: Equatable, Sendable {
  /// The longest run of available blocks that the moves can make.
  case longestRun
  /// A run of so many available blocks.
  case contiguous(UInt32)
  /// The blocks of this sequence's table in one run, in order.
  case sequence(SequenceID)
}

/// One block to another place.
package struct BlockMove: Equatable, BitwiseCopyable, Sendable {
  package var source: BlockID
  package var target: BlockID
  /// Filled slots. A plan says it; who applies one does not have to.
  package var tokens: UInt32
  /// The first to hold the source, of the session's running sequences in the order of admission.
  package var sequence: SequenceID

  package init(
    source: BlockID, target: BlockID, tokens: UInt32 = 0, sequence: SequenceID = 0
  ) {
    self.source = source
    self.target = target
    self.tokens = tokens
    self.sequence = sequence
  }
}

/// Moves that reach a goal, or a part of the way.
package struct DefragmentPlan: Equatable, Sendable {
  /// The only revision at which it can be applied.
  package var revision: Revision
  /// No block is an end of two of them.
  package var moves: [BlockMove] = []
  /// Longest run of available blocks, now and once the moves are made.
  package var largestRunBefore: UInt32 = 0
  package var largestRunAfter: UInt32 = 0
  /// The same of free blocks alone, those without content.
  package var largestFreeRunBefore: UInt32 = 0
  package var largestFreeRunAfter: UInt32 = 0
  package var tokensToCopy: UInt64 = 0
  /// The moves reach the goal; without one: no number of moves makes a longer run.
  package var isSufficient = false

  package init(revision: Revision) { self.revision = revision }
}
