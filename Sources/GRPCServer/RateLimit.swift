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
    let second: UInt64 = 1_000_000_000
    // An hour empties what nobody would call a limit.
    let elapsed = min(now &- lastEmptied, 3_600_000_000_000)
    let left = elapsed.multipliedFullWidth(by: perSecond)
    let leaves = left.high < second ? second.dividingFullWidth(left).quotient : .max
    if leaves >= filled {
      filled = 0
      lastEmptied = now
    } else if leaves > 0 {
      filled -= leaves
      // What is left of the time empties the next: short steps must not leave more in than long ones.
      let taken = perSecond.dividingFullWidth(leaves.multipliedFullWidth(by: second))
      lastEmptied = now &- elapsed &+ taken.quotient &+ (taken.remainder > 0 ? 1 : 0)
    }
    filled += UInt64(count)
    return filled <= burst
  }
}
