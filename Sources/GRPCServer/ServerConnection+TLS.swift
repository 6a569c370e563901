import GRPCWire
import HTTP2
import TLSEngine
import UVLoop

/// TLS between the socket and the session. None of this is called on a cleartext connection.
extension ServerConnection {
  private var security: TLSSession { tls.unsafelyUnwrapped }
  /// Nothing can be said to the client yet.
  var isShakingHands: Bool { tls.map { !$0.isEstablished } ?? false }

  /// As for cleartext, but the session gets a record's plaintext at a time; all answers still leave
  /// in one write.
  func didRead(sealed bytes: UnsafeRawBufferPointer) {
    if isShakingHands { return server.handshakes.take(bytes, on: self) }
    server.readsServed &+= 1
    receive(sealed: bytes)
  }

  func receive(sealed bytes: UnsafeRawBufferPointer) {
    let tls = security
    let wasEstablished = tls.isEstablished
    var failure: HTTP2Failure?
    // What TLS itself has to say: handshake messages, new keys, an alert.
    let (progress, isAlive) = tls.sending(by: stream.write) {
      isInBatch = true
      defer { isInBatch = false }
      return tls.receive(bytes) {
        failure = receiveInSlices($0)
        return failure == nil && !closeAfterFlush
      }
    }
    guard isAlive else { return close() }
    if !wasEstablished, tls.isEstablished { didSecure() }
    if failure == nil { flush() }
    if case .failed(let reason) = progress { didFail(reason) }
    if let failure { return fail(failure, after: UnsafeRawBufferPointer(start: nil, count: 0)) }
    if progress != .more { return close() }
    if session.hasConduct { judgeConduct() }
  }

  /// Whether the session's frames can be sent. Until the handshake is done they wait in the session.
  func canSeal() -> Bool {
    if security.isEstablished { return true }
    if closeAfterFlush { close() }
    return false
  }

  /// Encrypts and sends. False when the connection is dead.
  func write(sealing plaintext: UnsafeRawBufferPointer) -> Bool {
    let tls = security
    let (failure, isAlive) = tls.sending(by: stream.write) { tls.seal(plaintext) }
    return isAlive && failure == nil
  }

  /// Says that nothing more will come, as far as the socket takes it at once.
  func endTLS() {
    let tls = security
    _ = tls.sending(by: stream.write) { tls.end() }
  }

  private func didSecure() {
    // The client's turn to greet, as on a cleartext connection from its start.
    times.greeting.start(at: server.loop.now)
    server.onConnection?(
      .secured(peer: peer, protocol: security.protocolDescription, identity))
  }

  private func didFail(_ reason: TLSFailure) {
    if reason.isHandshake { server.countFailedHandshake() }
    server.onTLSFailure?(reason.description, peer)
  }

  func makeIdentity() -> PeerIdentity {
    var identity = PeerIdentity()
    identity.certificate = tls?.peer.map {
      PeerIdentity.Certificate(subject: $0.subject, uris: $0.uris, dnsNames: $0.dnsNames)
    }
    identity.process = stream.peerCredentials.map {
      PeerIdentity.Process(pid: $0.pid, uid: $0.uid, gid: $0.gid)
    }
    return identity
  }
}
