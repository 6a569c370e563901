/// Bounds of the admin port.
package struct AdminOptions: Equatable, Sendable {
  /// Connections at once; further ones wait in the system's queue until one ends.
  package var maxConnections: UInt32 = 64
  /// Of those, connections that receive server-sent events. Further ones get 503.
  package var maxStreams: UInt32 = 16
  /// Bytes of one request's line and headers, and of the answer's headers; past it 413, 414 or 431.
  package var maxRequestBytes = 32_768
  /// Seconds without a byte in either direction, then the connection is closed. A stream that waits for
  /// an event is not idle.
  package var timeoutSeconds: UInt32 = 30
  /// Bytes of events that one stream may leave unread; what comes then is left out.
  package var maxUnreadStreamBytes = 1 << 20
  /// Host names, beside `localhost` and addresses, that requests may be for.
  package var hostNames: [String] = []

  package init() {}
}
