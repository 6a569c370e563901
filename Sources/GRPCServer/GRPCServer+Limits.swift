import GRPCWire
import HTTP2
import UVLoop

/// Budgets of the server as a whole, and the account of what went past them.
extension GRPCServer {
  /// Refuses for want of room. Clients keep away for the time they are told.
  func overloaded(_ message: String) -> Status {
    Status(
      .unavailable, message,
      trailers: [.init("grpc-retry-pushback-ms", "\(options.retryPushbackNanoseconds / 1_000_000)")]
    )
  }

  /// Whether a call that begins on `connection` is one too many.
  ///
  /// When there are as many as the server takes, those are refused who have more than their share: what
  /// is left of as many again, dealt out to all. Equal connections find that nothing is left when they
  /// have filled the limit, and one that comes late finds room all the same.
  @inline(__always)
  func hasTooManyCalls(for connection: ServerConnection) -> Bool {
    context.openStreams > options.maxCalls && hasNoShare(connection)
  }

  @inline(never)
  private func hasNoShare(_ connection: ServerConnection) -> Bool {
    // Streams that came in the same read and whose turn has yet to come are open already.
    let others = connection.streamsBefore
    let unseen = max(0, connection.session.openStreams - others)
    let total = context.openStreams - unseen
    if total < options.maxCalls { return false }
    let share = max(options.reservedCalls, (2 * options.maxCalls - total) / max(1, connectionCount))
    return others >= share
  }

  /// Keeps the socket of a client that was cut off for a while. Not while the server ends.
  func letLinger(_ stream: ByteStream) {
    if isShuttingDown { return stream.close() }
    lingering.add(stream, until: loop.now &+ options.cutOffLingerNanoseconds)
  }

  /// Bytes a connection may hold of `limit`: its share, when the server as a whole holds too much.
  func share(of limit: Int) -> Int {
    bufferedBytes <= options.maxBufferedBytes ? limit : min(limit, leastShare)
  }

  var leastShare: Int { max(64 << 10, options.maxBufferedBytes / max(1, connectionCount)) }

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
