internal import GRPCWire
internal import HTTP2
internal import TLSEngine
internal import UVLoop

/// TLS between the socket and the session. None of this is called on a cleartext connection.
extension ClientConnection {
  private var established: TLSSession { tls.unsafelyUnwrapped }

  func startTLS(_ security: TLSContext) {
    let host =
      switch target {
      case .tcp(let host, _): host
      case .unix, .abstract: "localhost"
      }
    let tls = TLSSession(security, host: host)
    self.tls = tls
    let (failure, isAlive) = tls.sending(by: write(sealed:)) { tls.start() }
    if let failure {
      loseLater(Status(.unavailable, "connect to \(target): \(failure)"))
    } else if !isAlive {
      loseLater(Status(.unavailable, "connect to \(target): the server closed it"))
    }
  }

  /// As for cleartext, but the session gets a record's plaintext at a time.
  func didRead(sealed bytes: UnsafeRawBufferPointer) {
    let tls = established
    var failure: HTTP2Failure?
    // What TLS itself has to say: handshake messages, new keys, an alert.
    let (progress, isAlive) = tls.sending(by: write(sealed:)) {
      tls.receive(bytes) {
        failure = session.receive($0) { handle($0) }
        return failure == nil
      }
    }
    if phase == .closed || phase == .abandoned { return }
    if let failure { return lose(Status(.unavailable, "connection to \(target): \(failure)")) }
    switch progress {
    case .more:
      if !isAlive {
        lose(Status(.unavailable, "connection to \(target): the server closed it"))
      } else if !closeIfDone() {
        scheduleFlush()
      }
    case .ended:
      lose(Status(.unavailable, "connection to \(target): the server closed the connection"))
    case .failed(let reason):
      let what = reason.isHandshake ? "connect" : "connection"
      lose(Status(.unavailable, "\(what) to \(target): \(reason)"))
    }
  }

  /// Encrypts and sends. False when the connection is dead.
  func write(sealing plaintext: UnsafeRawBufferPointer) -> Bool {
    let tls = established
    let (failure, isAlive) = tls.sending(by: write(sealed:)) { tls.seal(plaintext) }
    return isAlive && failure == nil
  }

  /// Says that nothing more will come.
  func endTLS() {
    let tls = established
    _ = tls.sending(by: write(sealed:)) { tls.end() }
  }

  private func write(sealed bytes: UnsafeRawBufferPointer) -> Bool { stream?.write(bytes) ?? false }
}
