import GRPCWire
import HTTP2

/// Budgets of responses that their client does not read, whether its windows or its socket hold them up.
extension ServerConnection {
  /// So much has room on every connection: less than the smallest share.
  static let freeBytes = 32 << 10

  /// Whether there is room for `more` bytes of a response.
  @inline(__always)
  func hasRoom(for more: Int) -> Bool {
    session.queuedOutputBytes + socketBytes + more <= ServerConnection.freeBytes
      || hasShare(for: more)
  }

  @inline(never)
  private func hasShare(for more: Int) -> Bool {
    let unread = session.queuedOutputBytes
    // Where nothing waits there is room for one message however long: it may be read at once.
    if unread > 0, unread + more > server.options.maxUnreadResponseBytes { return false }
    countOutput()
    return server.bufferedBytes + more <= server.options.maxBufferedBytes
      || countedOutput + more <= server.leastShare
  }

  /// Whether the reply that was just queued is too long for what all connections may have waiting.
  ///
  /// - Parameter request: Bytes held of its request, which are about to be freed.
  func lacksRoomForReply(to request: Int) -> Bool {
    countOutput()
    return server.bufferedBytes - request > server.options.maxBufferedBytes
      && countedOutput > server.leastShare
  }

  var tooMuchUnread: Status {
    server.overloaded("too many response bytes on this connection are not read")
  }
}

extension ServerCall {
  /// Refuses a long reply for which the server has no room; false when it has. The call has been
  /// served: a client should not try again by itself.
  @inline(never)
  func refuseLongReply() -> Bool {
    guard let connection, let stream, connection.lacksRoomForReply(to: heldBytes) else {
      return false
    }
    stream.unreserve(stream.queuedBytes)
    server.count(.overload, on: connection)
    fail(
      Status(
        .unavailable, "served, but the server has no room for the reply",
        trailers: [.init("grpc-retry-pushback-ms", "-1")]))
    return true
  }
}
