import GRPCWire
import HTTP2

/// Budgets of the server as a whole, and the account of what went past them.
extension GRPCServer {
  /// Refuses for want of room. Clients keep away for the time they are told.
  func overloaded(_ message: String) -> Status {
    Status(
      .unavailable, message,
      trailers: [.init("grpc-retry-pushback-ms", "\(options.retryPushbackNanoseconds / 1_000_000)")]
    )
  }

  /// Bytes a connection may hold of `limit`: its share, when the server as a whole holds too much.
  func share(of limit: Int) -> Int {
    if bufferedBytes <= options.maxBufferedBytes { return limit }
    return min(limit, max(64 << 10, options.maxBufferedBytes / max(1, connectionCount)))
  }

  /// Counts and reports that something was cut off; what happens on one connection time and again is
  /// reported once.
  func count(_ reason: CutOff, on connection: ServerConnection?) {
    counts.cutOff[reason] += 1
    guard let onCutOff else { return }
    if let connection {
      if connection.hasReportedCutOff { return }
      connection.hasReportedCutOff = true
    }
    onCutOff(reason, connection?.peer ?? "")
  }

  /// How often a connection with something to do looks at itself: a quarter of the shortest time
  /// that it may have to notice, and 5 seconds at most.
  static func checkupInterval(_ options: ServerOptions) -> UInt64 {
    let shortest = [
      options.handshakeNanoseconds, options.tlsHandshakeNanoseconds, options.keepaliveNanoseconds,
      options.keepaliveTimeoutNanoseconds, options.requestStallNanoseconds,
      options.responseStallNanoseconds, options.maxIdleNanoseconds,
    ].reduce(20_000_000_000, min)
    return max(shortest / 4, 1_000_000)
  }
}
