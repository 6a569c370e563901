import TLSEngine
import UVLoop

/// The time that TLS handshakes may take: a share of all time, saved up for a short burst.
struct HandshakeBudget {
  /// A dozen handshakes with RSA, a hundred with elliptic curves.
  static let burst: Int64 = 10_000_000
  /// Nanoseconds. Overdrawn by what the last one took more than there was.
  private var saved = HandshakeBudget.burst
  private var lastFilled: UInt64 = 0

  /// - Parameter percent: 1 ... 100.
  mutating func hasTime(at now: UInt64, percent: Int) -> Bool {
    let elapsed = Int64(clamping: min(now &- lastFilled, 3_600_000_000_000))
    lastFilled = now
    saved = min(HandshakeBudget.burst, saved + elapsed * Int64(percent) / 100)
    return saved > 0
  }

  mutating func took(_ nanoseconds: UInt64) { saved -= Int64(clamping: nanoseconds) }
}

/// Keeps the loop for those who are connected while many others want to be: a ClientHello of a few
/// hundred bytes costs us a signature, which is hundreds of calls.
///
/// The time that handshakes take is measured. When they have had their share, and anybody else was
/// served meanwhile, what comes for a handshake is held, its socket is not read, and its turn comes with
/// the next time there is. The newest is first: in a flood those who have waited for long are the ones who
/// give up, and answering them would be in vain. Without a flood nobody waits.
final class HandshakeGate {
  private unowned(unsafe) let server: GRPCServer
  private var budget = HandshakeBudget()
  /// Those that wait, with gaps where one has closed; the last is none.
  private var waiting: [ServerConnection?] = []
  private var gaps = 0
  private var timer: LoopTimer?
  private var readsSeen: UInt64 = 0

  init(_ server: GRPCServer) { self.server = server }

  /// Connections that wait.
  var count: Int { waiting.count - gaps }

  /// A part of a handshake has come: it is dealt with now or held.
  func take(_ bytes: UnsafeRawBufferPointer, on connection: ServerConnection) {
    let percent = server.options.tlsHandshakePercent
    if percent >= 100
      || count == 0 && budget.hasTime(at: EventLoop.clock, percent: percent)
    {
      return shake(bytes, on: connection)
    }
    connection.stream.stopReading()
    connection.heldHandshake.append(contentsOf: bytes)
    connection.holds(bytes.count)
    if connection.holdsTooMuch { return connection.end(.overload) }
    if connection.placeInGate == nil {
      connection.placeInGate = waiting.count
      waiting.append(connection)
    }
    if timer == nil { timer = LoopTimer(on: server.loop) { [unowned self] in letIn() } }
    if timer?.isRunning == false { timer?.start(afterNanoseconds: 0) }
  }

  private func shake(_ bytes: UnsafeRawBufferPointer, on connection: ServerConnection) {
    let began = EventLoop.clock
    connection.receive(sealed: bytes)
    budget.took(EventLoop.clock &- began)
  }

  /// Once a turn of the loop at most: between two of them everybody else is served.
  private func letIn() {
    let hasTime = budget.hasTime(
      at: EventLoop.clock, percent: server.options.tlsHandshakePercent)
    // Time that nobody else wants is nobody's share.
    let isIdle = server.readsServed == readsSeen
    readsSeen = server.readsServed
    if hasTime || isIdle, let connection = waiting.last ?? nil {
      let bytes = connection.heldHandshake
      forget(connection)
      connection.stream.startReading()
      bytes.withUnsafeBytes { shake($0, on: connection) }
    }
    if count > 0 { timer?.start(afterNanoseconds: hasTime || isIdle ? 0 : 1_000_000) }
  }

  /// It has closed, or its turn has come.
  func forget(_ connection: ServerConnection) {
    guard let place = connection.placeInGate else { return }
    connection.placeInGate = nil
    connection.holds(-connection.heldHandshake.count)
    connection.heldHandshake = []
    waiting[place] = nil
    gaps += 1
    while case .some(nil) = waiting.last {
      waiting.removeLast()
      gaps -= 1
    }
    if gaps > count + 64 { closeGaps() }
  }

  private func closeGaps() {
    waiting.removeAll { $0 == nil }
    gaps = 0
    for (place, connection) in waiting.enumerated() { connection?.placeInGate = place }
  }
}
