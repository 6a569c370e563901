import GRPCWire
import HTTP2
import UVLoop

/// The graceful end in two steps, of one connection or as its part in the stop of the server: a
/// notice with a ping; and when the ping is answered, and everything the client sent before it has
/// arrived, the GOAWAY that names the last stream to be served.
extension ServerConnection {
  static let shutdownPing: UInt64 = 0x7175_6972_652D_6279

  /// The first step.
  ///
  /// - Parameter grace: How long the calls may go on; the server's own stop sees to that itself.
  func beginEnding(graceNanoseconds grace: UInt64 = ServerOptions.never) {
    if isEnding || isClosed { return }
    isEnding = true
    // Nothing can be said before the end of the TLS handshake, and nothing was asked.
    if isShakingHands { return close() }
    let now = server.loop.now
    let (cancelsAt, isNever) = now.addingReportingOverflow(grace)
    times.cancelsAt = isNever ? .max : cancelsAt
    times.goAwayAt = min(now &+ server.options.goAwayDelayNanoseconds, times.cancelsAt)
    session.submitShutdownNotice()
    // nghttp2 sends pings first; this one is to come behind the notice.
    flush()
    session.submitPing(ServerConnection.shutdownPing)
    scheduleFlush()
    scheduleCheckup(at: times.goAwayAt)
  }

  /// The final GOAWAY: streams the client began before it knew are served, later ones are not.
  func sendGoAway() {
    if hasSentGoAway || isClosed { return }
    hasSentGoAway = true
    times.goAwayAt = .max
    session.submitGoAway(.noError)
    scheduleFlush()
    if server.isShuttingDown { scheduleCheckup(at: server.loop.now) }
  }

  /// A stopping server waits for work under way only: a streaming call whose every request has been
  /// answered, and to which nothing came for a while, is ended.
  func endIdleCalls(_ now: UInt64) {
    session.forEachOpenStream { stream in
      guard let call = ServerCall.of(stream)?.takeUnretainedValue() else { return }
      var notes = stream.notes
      if !call.isIdle {
        notes.idle.reset()
      } else if notes.idle.isStalled(
        stream.framedBytes, at: now, limit: server.options.idleCallGraceNanoseconds,
        bytesPerSecond: 0)
      {
        return call.fail(ServerConnection.shuttingDown)
      }
      stream.notes = notes
    }
  }

  static let shuttingDown = Status(.unavailable, "the server is shutting down")

  func cancelAndClose(_ status: Status = shuttingDown) {
    session.forEachOpenStream { stream in
      guard let call = ServerCall.of(stream) else { return }
      call.takeUnretainedValue().fail(status, timeHasRunOut: true)
    }
    sendGoAway()
    closeAfterFlush = true
    scheduleFlush()
  }
}
