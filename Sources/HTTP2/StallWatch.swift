/// Watches whether something moves: bytes of a request, of a response, of a socket.
///
/// A stall is told from a pause of our own (a process that was stopped, a turn that took long) by
/// having been looked at several times.
package struct StallWatch {
  private var since: UInt64 = 0
  private var mark = 0
  private var looks = 0
  private static let fewestLooks = 3

  package init() {}

  /// - Parameters:
  ///   - total: Bytes moved so far. A smaller number than last time is another message's: a new start.
  ///   - limit: Nanoseconds without enough progress.
  ///   - bytesPerSecond: What is enough, on the average of `limit`.
  package mutating func isStalled(
    _ total: Int, at now: UInt64, limit: UInt64, bytesPerSecond: Int
  ) -> Bool {
    guard since != 0, total >= mark else {
      start(total, at: now)
      return false
    }
    looks += 1
    let elapsed = now &- since
    if elapsed < limit || looks < StallWatch.fewestLooks { return false }
    let enough = Int(elapsed / 1_000_000) * bytesPerSecond / 1_000
    if total - mark < max(1, enough) { return true }
    start(total, at: now)
    return false
  }

  private mutating func start(_ total: Int, at now: UInt64) {
    since = now
    mark = total
    looks = 0
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
