/// Which free blocks an allocation gets, chosen when a pool is made.
///
/// Raw values are the wire's `Strategy`. `AllocationStrategies.md` has the rules and the costs.
package enum AllocationStrategy: UInt8, CaseIterable, BitwiseCopyable, Sendable {
  /// vLLM's order: what came back last without content is taken first.
  case freeQueue = 1
  /// The lowest ids.
  case firstFit = 2
  /// The smallest free run that holds all, the lowest start on a tie; the lowest ids where none does.
  case bestFit = 3
  /// One aligned run of a power of two, merged with its neighbour when it is free again.
  case buddy = 4
  /// One run for as many tokens as a sequence of this pool may ever have.
  case contiguousMax = 5
  /// One run for the next power of two of the tokens expected.
  case contiguousPowerOfTwo = 6
  /// One run for the tokens expected.
  case contiguousExact = 7

  /// Every allocation is one run of adjacent ids, asked for or not; blocks keep no content.
  package var needsRuns: Bool { rawValue >= Self.buddy.rawValue }

  /// A sequence is admitted into one run that it may grow into, and not past it.
  package var reservesAtAdmission: Bool { rawValue >= Self.contiguousMax.rawValue }
}
