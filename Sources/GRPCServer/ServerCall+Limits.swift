import GRPCWire
import HTTP2

/// What a call holds and what it waits for, as its connection's checkups and budgets see it.
extension ServerCall {
  /// A request, or the end of one, is on its way.
  var waitsForRequest: Bool {
    !isOver && !isBackedUp && !hasRequest && (requestBytes > 0 || !isClientStreaming)
  }

  /// Bytes of the request under way, for as long as it is; a different number when it moves.
  var requestBytes: Int { framer.gatheredBytes + (requestCount > 0 && !isClientStreaming ? 1 : 0) }

  /// Whether the one request of a call that takes one has come with its end.
  private var hasRequest: Bool { stream?.peerEnded ?? true }

  /// A streaming call with nothing under way in either direction.
  var isIdle: Bool {
    guard let receiver, !isOver, !isDelivering, framer.isBetweenMessages, !isBackedUp else {
      return false
    }
    return held.isEmpty && queuedBytes == 0 && receiver.isIdle
  }

  /// Tells the connection what the call holds now. A call that goes past a budget ends.
  func noteHeldBytes() {
    guard let connection, !isOver else { return }
    let fieldBytes = fields.map { $0.byteCount > ServerCall.freeFieldBytes ? $0.byteCount : 0 } ?? 0
    let holds = framer.heldBytes + (request?.count ?? 0) + held.count + fieldBytes
    if holds == heldBytes { return }
    let grows = holds > heldBytes
    connection.holds(holds - heldBytes)
    heldBytes = holds
    if grows, connection.holdsTooMuch {
      server.count(.overload, on: connection)
      fail(server.overloaded("too many bytes of half-sent requests on this connection"))
    }
  }

  /// Header fields that every call may have.
  static let freeFieldBytes = 1_024
}
