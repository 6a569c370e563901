/// What is remembered of the pools for those who look at them.
package struct AnalysisOptions: Equatable {
  package enum BlockHistory: String {
    case on, off
    /// From the first question on.
    case auto
  }

  package var blockHistory = BlockHistory.auto
  /// One block handed out in so many has its lifetime measured; 0 = none, nil = not said.
  package var lifetimeSample: UInt32?
  /// nil = nothing is to be measured, and commands are told to nobody for it.
  package var measuredLifetimes: UInt32? {
    if lifetimeSample == 0 { return nil }
    return lifetimeSample ?? (blockHistory == .on ? 100 : nil)
  }

  /// Blocks of a pool that WhatIf may play a trace into, and the share of a core's time that it may take.
  package var whatIfBlocks: UInt32 = 1 << 18
  package var whatIfPercent: UInt64 = 25

  package init() {}

  static let flags = [
    "--block-history", "--lifetime-sample", "--what-if-blocks", "--what-if-percent",
  ]

  mutating func set(_ flag: String, _ value: String) throws(Arguments.Problem) {
    switch flag {
    case "--block-history":
      guard let history = BlockHistory(rawValue: value) else {
        throw Arguments.Problem("--block-history '\(value)': must be on, off or auto")
      }
      blockHistory = history
    case "--what-if-blocks":
      guard let blocks = UInt64(digits: value[...]), (1...(1 << 24)).contains(blocks) else {
        throw Arguments.Problem("--what-if-blocks '\(value)': must be 1 to 16777216")
      }
      whatIfBlocks = UInt32(blocks)
    case "--what-if-percent":
      guard let percent = UInt64(digits: value[...]), (1...100).contains(percent) else {
        throw Arguments.Problem("--what-if-percent '\(value)': must be 1 to 100")
      }
      whatIfPercent = percent
    default:
      guard let every = UInt64(digits: value[...]), every <= 1_000_000 else {
        throw Arguments.Problem("--lifetime-sample '\(value)': must be 0 to 1000000")
      }
      lifetimeSample = UInt32(every)
    }
  }
}
