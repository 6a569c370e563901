/// What a strategy does not go with.
extension PoolConfiguration {
  package enum Conflict {
    /// Blocks that keep their content are scattered, and a hit makes a table of more than one run.
    case prefixCaching
    /// A reservation of the longest sequence needs to know how long that is.
    case noMaxModelTokens
    /// No sequence could ever be admitted.
    case tooFewSlots
    /// A swapped sequence comes back block by block.
    case hostBlocks
    /// A window gives back what a reservation is there to keep.
    case slidingWindow
  }

  /// nil where the strategy goes with the rest. `slots`: of the whole pool.
  package static func conflict(
    _ strategy: AllocationStrategy, cachesPrefixes: Bool, maxModelTokens: UInt32, slots: UInt64,
    hostBlocks: UInt32, slidingWindow: UInt32
  ) -> Conflict? {
    if strategy.needsRuns && cachesPrefixes { return .prefixCaching }
    if !strategy.reservesAtAdmission { return nil }
    if strategy == .contiguousMax && maxModelTokens == 0 { return .noMaxModelTokens }
    if strategy == .contiguousMax && UInt64(maxModelTokens) > slots { return .tooFewSlots }
    if hostBlocks > 0 { return .hostBlocks }
    return slidingWindow > 0 ? .slidingWindow : nil
  }
}
