internal import GRPCServer

/// Who was cut off and why, in the log. Somebody who opens and breaks connections as fast as possible must
/// not fill a disk: above a rate, only the number of what was left out is said.
final class CutOffLog {
  /// Lines at once, and then in a second.
  static let burst = 20
  static let linesPerSecond = 2

  private let log: Log
  private let now: () -> UInt64
  private var lines = CutOffLog.burst
  private var lastRefill: UInt64
  private var leftOut = 0

  /// - Parameter now: Nanoseconds of a clock that never goes back.
  init(_ log: Log, now: @escaping () -> UInt64) {
    self.log = log
    self.now = now
    lastRefill = now()
  }

  func note(_ reason: CutOff, peer: String) { note(reason.words, peer: peer) }

  func note(_ reason: String, peer: String) {
    let time = now()
    let refill = Int((time - lastRefill) / 1_000_000_000) * CutOffLog.linesPerSecond
    if refill > 0 {
      lines = min(CutOffLog.burst, lines + refill)
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
    log.write(.info, "cut off", fields)
  }
}
