import HTTP2

/// Watches for the answer to a keepalive ping. Its way can be long: it lies behind all that was written
/// before it, and a client that reads slowly answers late.
struct KeepalivePing {
  private(set) var isUnanswered = false
  /// Bytes written to the socket before the ping.
  private var before = 0
  /// Bytes written up to the ping, or somewhat more; `.max` = it could not be written yet.
  private var end = Int.max
  private var watch = StallWatch()
  private var progress = Growth()
  /// All that lies before the ping has arrived.
  private var hasArrived = false
  private var wasRead = true

  /// The ping was submitted.
  ///
  /// - Parameters:
  ///   - before: Bytes written to the socket until then.
  ///   - delivered: How many of them have arrived.
  mutating func sent(before: Int, delivered: Int, at now: UInt64) {
    isUnanswered = true
    self.before = before
    end = .max
    hasArrived = false
    wasRead = true
    progress.note(delivered)
    watch.start(progress.total, at: now)
  }

  mutating func answered() { isUnanswered = false }

  /// Whether the client is gone: for as long as `limit` it took nothing of what lies before the ping, or
  /// did not answer once it had it all.
  ///
  /// - Parameters:
  ///   - written: Bytes written to the socket so far, `delivered` of which have arrived at the other end.
  ///   - isRead: The socket is being read. While it is not, for all that waits to be sent, an answer would
  ///     not be seen, and whatever arrives is a sign of life.
  mutating func isLost(
    written: Int, delivered: Int, isRead: Bool, at now: UInt64, limit: UInt64
  ) -> Bool {
    // Pings are the first to be written when there is room again.
    if end == .max, written != before { end = written }
    if !isRead {
      progress.note(delivered)
    } else if !hasArrived {
      progress.note(min(delivered, end))
    }
    if delivered >= end { hasArrived = true }
    // The answer may be among what is read from now on.
    if isRead, !wasRead { watch.start(progress.total, at: now) }
    wasRead = isRead
    return watch.isStalled(progress.total, at: now, limit: limit, bytesPerSecond: 0)
  }
}
