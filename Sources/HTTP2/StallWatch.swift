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

  /// The time since the look before is nobody's fault and does not count.
  package mutating func pause(at now: UInt64) {
    if since == 0 { return }
    since &+= now &- lastLook
    lastLook = now
  }
}

/// Tells whether a peer has had what was sent to it before it came to wait: while that lies in a full
/// socket, the peer cannot answer it.
package struct SentMark {
  /// -1: there is no mark yet.
  private var moved = -1
  private var end = 0

  package init() {}

  /// Whether all that was written before the last mark has arrived. If so, and something has moved since,
  /// the mark is put behind what is written by now.
  ///
  /// - Parameters:
  ///   - moved: Bytes of what is watched that have moved.
  ///   - written: Bytes written to the socket so far, `delivered` of which have arrived.
  package mutating func hasArrived(_ moved: Int, written: Int, delivered: Int) -> Bool {
    if delivered < end { return false }
    if moved != self.moved {
      self.moved = moved
      end = written
    }
    return true
  }
}

/// What the owner of a stream looks at from time to time.
package struct HTTP2StreamNotes {
  package var request = StallWatch()
  package var response = StallWatch()
  package var idle = StallWatch()
  /// Behind what was sent to the peer when the request, or the response, last moved.
  package var requestMark = SentMark()
  package var responseMark = SentMark()

  package init() {}
}
