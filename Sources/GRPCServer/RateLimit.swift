/// What may come in a burst and then at a steady rate: a bucket that time empties. Empty when made.
struct RateLimit {
  private var filled: UInt64 = 0
  private var lastEmptied: UInt64 = 0

  /// Puts `count` in at the time `now` (nanoseconds).
  ///
  /// - Returns: False when that is more than `burst`, of which `perSecond` leave in a second.
  mutating func takes(
    _ count: UInt32, at now: UInt64, burst: UInt64, perSecond: UInt64
  ) -> Bool {
    // An hour empties what nobody would call a limit, and no product overflows.
    let elapsed = min(now &- lastEmptied, 3_600_000_000_000)
    let left = (elapsed / 1_000).multipliedReportingOverflow(by: perSecond)
    let leaves = left.overflow ? .max : left.partialValue / 1_000_000
    if leaves > 0 {
      filled -= min(filled, leaves)
      lastEmptied = now
    }
    filled += UInt64(count)
    return filled <= burst
  }
}
