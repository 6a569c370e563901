/// How often a pool may be looked at, so that the looks take no more than a share of the time.
package struct SampleBudget: Equatable, Sendable {
  /// Nanoseconds from one look to the next, at least.
  package var intervalNanoseconds: UInt64
  /// Share of a core's time that looks may take, in percent, more than 0.
  package var percent: Double

  package init(intervalNanoseconds: UInt64, percent: Double) {
    precondition(percent > 0, "a budget of no time")
    self.intervalNanoseconds = intervalNanoseconds
    self.percent = percent
  }

  /// From the end of a look that took `cost` nanoseconds to the next: what is left of the interval, or,
  /// where that is longer, as much idle time as makes the look its share: cost x (100 / percent - 1).
  package func delay(after cost: UInt64) -> UInt64 {
    let rest = intervalNanoseconds > cost ? intervalNanoseconds - cost : 0
    let idle = Double(cost) * max(0, 100 / percent - 1)
    return max(rest, idle >= 1e18 ? 1_000_000_000_000_000_000 : UInt64(idle))
  }
}
