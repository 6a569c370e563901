/// How many sequences and tokens went through a pool since it was made, loaded or reset. Like all
/// counters nothing depends on it; unlike those of `PoolStats` it is not in dumps.
package struct SequenceTally: Equatable, BitwiseCopyable, Sendable {
  /// Sequences admitted for the first time: not those that come back from a preemption.
  package var admitted: UInt64 = 0
  /// Their tokens then, and those of them that were found in the cache.
  package var promptTokens: UInt64 = 0
  package var promptTokensCached: UInt64 = 0
  /// Tokens that were appended to sequences.
  package var appendedTokens: UInt64 = 0
  /// Sequences that were freed while they ran or were swapped out, and while they waited for blocks.
  package var finished: UInt64 = 0
  package var cancelled: UInt64 = 0
  /// Tokens of preempted sequences that had been computed.
  package var preemptedTokens: UInt64 = 0

  package init() {}
}

extension KVPool {
  /// O(1).
  package var tally: SequenceTally { activity.tally }
}
