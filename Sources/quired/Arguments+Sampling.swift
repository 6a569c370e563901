/// How often the pools are looked at for their histories, and what that may cost.
package struct SamplingOptions: Equatable, Sendable {
  /// From one look to the next; nil = none is taken, and the pools are not followed.
  package var intervalNanoseconds: UInt64?
  /// The command line says how often, or that never.
  var isIntervalGiven = false
  /// Of a core's time, 1 ... 100.
  package var budgetPercent: UInt64 = 1

  package init() {}
}

extension Arguments {
  static let samplingFlags = ["--sample-interval", "--sample-budget-percent"]

  static let samplingHelp = """
      --sample-interval TIME how often each pool is looked at for its history, 10ms to 1h; off: never,
                             and nothing follows the pools: looks at them scan. Following costs
                             0.5 to 1.4 % of a short call (default 1s with --admin, else off)
      --sample-budget-percent N
                             of a core's time that looks and watched stats may take, 1 to 100: those
                             that take long come less often (default 1)
    """

  /// Nobody pays for looks that nobody has asked for.
  mutating func settleSampling() {
    if !sampling.isIntervalGiven && admin != nil { sampling.intervalNanoseconds = 1_000_000_000 }
  }

  static let sampleIntervals: ClosedRange<UInt64> = 10_000_000...3_600_000_000_000

  mutating func setSampling(_ flag: String, _ value: String) throws(Problem) {
    func fail(_ reason: String) -> Problem { Problem("\(flag) '\(value)': \(reason)") }
    switch flag {
    case "--sample-interval":
      sampling.isIntervalGiven = true
      if value == "off" {
        sampling.intervalNanoseconds = nil
        return
      }
      guard let time = Quantity.nanoseconds(value[...]), Self.sampleIntervals.contains(time) else {
        throw fail("must be from 10ms to 1h, such as 100ms, 1s or 5m, or off")
      }
      sampling.intervalNanoseconds = time
    default:
      guard let percent = UInt64(digits: value[...]), (1...100).contains(percent) else {
        throw fail("must be a whole number from 1 to 100")
      }
      sampling.budgetPercent = percent
    }
  }
}
