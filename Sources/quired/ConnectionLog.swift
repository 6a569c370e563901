internal import GRPCServer
internal import GRPCWire
internal import UVLoop

/// What happens to connections, in the log. Somebody who opens and breaks them as fast as possible must
/// not fill a disk: above a rate, only the number of what was left out is said.
final class ConnectionLog {
  /// Lines at once, and then in a second.
  static let burst = 20
  static let linesPerSecond = 2

  private let log: Log
  private let now: () -> UInt64
  private var lines = ConnectionLog.burst
  private var lastRefill: UInt64
  private var leftOut = 0

  /// - Parameter now: Nanoseconds of a clock that never goes back.
  init(_ log: Log, now: @escaping () -> UInt64) {
    self.log = log
    self.now = now
    lastRefill = now()
  }

  func note(_ notice: ConnectionNotice) {
    switch notice {
    case .accepted(let peer): log.debug("connection", ("peer", peer))
    case .secured(let peer, let version, let identity):
      var fields: [Log.Field] = [("peer", peer), ("protocol", version)]
      if let certificate = identity.certificate {
        fields.append(("subject", certificate.subject))
      }
      log.write(.debug, "secured", fields)
    case .failed(let peer, let reason): tell("TLS failed", peer, reason)
    case .cutOff(let peer, let reason): tell("cut off", peer, reason.words)
    }
  }

  private func tell(_ message: String, _ peer: String, _ reason: String) {
    let time = now()
    let refill = Int((time - lastRefill) / 1_000_000_000) * ConnectionLog.linesPerSecond
    if refill > 0 {
      lines = min(ConnectionLog.burst, lines + refill)
      lastRefill = time
    }
    guard lines > 0 else {
      leftOut += 1
      return
    }
    lines -= 1
    var fields: [Log.Field] = [("reason", reason)]
    if !peer.isEmpty { fields.append(("peer", peer)) }
    if leftOut > 0 { fields.append(("left-out", "\(leftOut)")) }
    leftOut = 0
    log.write(.info, message, fields)
  }
}
