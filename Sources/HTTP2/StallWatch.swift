/// Watches whether something moves: bytes of a request, of a response, of a socket.
///
/// A pause of our own, of a process that was stopped or of a turn that took long, is held against nobody.
/// A stall must be seen twice: what came during a pause is read between two looks. And when a look comes
/// long after the one before, the watch begins anew.
package struct StallWatch {
  private var since: UInt64 = 0
  private var mark = 0
  private var lastLook: UInt64 = 0
  private var isSuspect = false
  /// Looks this close together (nanoseconds) are no sign of a pause, however short the limit.
  private static let shortestPause: UInt64 = 10_000_000

  package init() {}

  /// - Parameters:
  ///   - total: Bytes moved so far. A smaller number than last time is another message's: a new start.
  ///   - limit: Nanoseconds without enough progress. To be looked at four times as often at least.
  ///   - bytesPerSecond: What is enough, on the average of `limit`; 0 = any progress.
  package mutating func isStalled(
    _ total: Int, at now: UInt64, limit: UInt64, bytesPerSecond: Int
  ) -> Bool {
    let gap = now &- lastLook
    guard since != 0, total >= mark, gap <= max(limit / 2, StallWatch.shortestPause) else {
      start(total, at: now)
      return false
    }
    lastLook = now
    let elapsed = now &- since
    if elapsed < limit { return false }
    let enough = Int(elapsed / 1_000_000) * bytesPerSecond / 1_000
    if total - mark >= max(1, enough) {
      start(total, at: now)
      return false
    }
    if isSuspect { return true }
    isSuspect = true
    return false
  }

  /// Begins at `now`, which otherwise the first look does.
  package mutating func start(_ total: Int = 0, at now: UInt64) {
    since = now
    mark = total
    lastLook = now
    isSuspect = false
  }

  package mutating func reset() { since = 0 }
}

/// What the owner of a stream looks at from time to time.
package struct HTTP2StreamNotes {
  package var request = StallWatch()
  package var response = StallWatch()
  package var idle = StallWatch()

  package init() {}
}
