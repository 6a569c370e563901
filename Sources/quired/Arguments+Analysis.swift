/// What is remembered of the pools for those who look at them.
package struct AnalysisOptions: Equatable {
  package enum BlockHistory: String {
    case on, off
    /// From the first question on.
    case auto
  }

  package var blockHistory = BlockHistory.auto
  /// One block handed out in so many has its lifetime measured; 0 = none.
  package var lifetimeSample: UInt32 = 100

  package init() {}

  mutating func set(_ flag: String, _ value: String) throws(Arguments.Problem) {
    switch flag {
    case "--block-history":
      guard let history = BlockHistory(rawValue: value) else {
        throw Arguments.Problem("--block-history '\(value)': must be on, off or auto")
      }
      blockHistory = history
    default:
      guard let every = UInt64(digits: value[...]), every <= 1_000_000 else {
        throw Arguments.Problem("--lifetime-sample '\(value)': must be 0 to 1000000")
      }
      lifetimeSample = UInt32(every)
    }
  }
}
