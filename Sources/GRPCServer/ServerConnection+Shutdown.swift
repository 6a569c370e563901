import GRPCWire
import HTTP2

/// The graceful stop, as one connection takes part in it.
extension ServerConnection {
  static let shutdownPing: UInt64 = 0x7175_6972_652D_6279

  func announceShutdown() {
    session.submitShutdownNotice()
    session.submitPing(ServerConnection.shutdownPing)
    scheduleFlush()
  }

  /// The final GOAWAY: streams the client began before it knew are served, later ones are not.
  func sendGoAway() {
    if hasSentGoAway || isClosed { return }
    hasSentGoAway = true
    session.submitGoAway(.noError)
    scheduleFlush()
  }

  func cancelAndClose() {
    session.forEachOpenStream { stream in
      guard let call = ServerCall.of(stream) else { return }
      call.takeUnretainedValue().fail(
        Status(.unavailable, "the server is shutting down"), timeHasRunOut: true)
    }
    sendGoAway()
    closeAfterFlush = true
    scheduleFlush()
  }
}
