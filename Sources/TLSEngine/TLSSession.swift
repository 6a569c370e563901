internal import COpenSSL

/// One TLS connection, on either side.
///
/// Use: `start` a client; give every read to `receive`; `seal` what is to be sent once
/// `isEstablished`. After each of these, send what it appended to the context's `buffers`: see there.
package final class TLSSession {
  package enum Progress: Equatable {
    /// All was taken.
    case more
    /// The peer has said that it will send nothing more.
    case ended
    case failed(TLSFailure)
  }

  package let context: TLSContext
  private let raw: OpaquePointer
  private let state: UnsafeMutablePointer<MemoryBIO>
  /// The handshake is done: the peer is who it should be, and HTTP/2 was agreed on.
  package private(set) var isEstablished = false
  /// After a fatal error nothing may be asked of OpenSSL.
  private var isDead = false
  private var hasSentEnd = false
  private var receivedBytes = 0
  /// Why there can be no handshake.
  private var nameProblem: String?

  /// Handshake messages after the handshake that are taken without anything else being received.
  /// An honest peer updates its keys once in many gigabytes.
  private static let spareLateMessages = 32
  /// Received plaintext for which one more is taken.
  private static let bytesPerLateMessage = 1 << 20

  /// - Parameter host: A client's: what it connects to, a name or a numeric address; the server's
  ///   certificate must bear it unless the context names another.
  package init(_ context: TLSContext, host: String? = nil) {
    self.context = context
    let made = SSL_new(context.raw)
    precondition(made != nil, "out of memory")
    raw = made!
    state = .allocate(capacity: 1)
    state.initialize(to: MemoryBIO(output: context.buffers))
    MemoryBIO.attach(state, to: raw, context.method)
    if context.isServer {
      SSL_set_accept_state(raw)
    } else {
      SSL_set_connect_state(raw)
      expect(context.serverName ?? host ?? "")
    }
  }

  deinit {
    SSL_free(raw)
    state.deallocate()
  }

  private func expect(_ name: String) {
    let rules = SSL_get0_param(raw)
    if X509_VERIFY_PARAM_set1_ip_asc(rules, name) == 1 { return }
    X509_VERIFY_PARAM_set_hostflags(rules, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
    // Without a name to compare, any certificate of a trusted root would do.
    if name.isEmpty || X509_VERIFY_PARAM_set1_host(rules, name, name.utf8.count) != 1
      || copenssl_set_server_name(raw, name) != 1
    {
      nameProblem = "'\(name)' cannot be a server's name"
    }
    OpenSSLReason.clear()
  }

  // MARK: Bytes

  /// A client's first words.
  package func start() -> TLSFailure? {
    if case .failed(let failure) = shakeHands() { return failure }
    return nil
  }

  /// Takes a whole read and hands over its plaintext, in order and in place: `handle` gets at most
  /// 16 KiB at a time, borrowed for the time of the call. A part of a record is kept until the rest
  /// comes, at most 17 KiB.
  ///
  /// - Parameter handle: Returns whether it wants more; when not, the rest is dropped. It must not
  ///   run another session's `receive`.
  package func receive(
    _ ciphertext: UnsafeRawBufferPointer, _ handle: (UnsafeRawBufferPointer) -> Bool
  ) -> Progress {
    if isDead { return .ended }
    state.pointee.source = ciphertext.baseAddress
    state.pointee.remaining = ciphertext.count
    // The bytes are gone when this returns.
    defer {
      state.pointee.source = nil
      state.pointee.remaining = 0
    }
    if !isEstablished {
      let progress = shakeHands()
      if !isEstablished { return progress }
    }
    let place = context.buffers.plaintext
    while true {
      var count = 0
      OpenSSLReason.clear()
      let status = SSL_read_ex(raw, place.baseAddress, place.count, &count)
      if state.pointee.lateMessages > state.pointee.lateMessagesLimit {
        return fail("too many handshake messages after the handshake")
      }
      if status != 1 { return progress(after: status) }
      receivedBytes &+= count
      state.pointee.lateMessagesLimit =
        TLSSession.spareLateMessages + receivedBytes / TLSSession.bytesPerLateMessage
      if !handle(UnsafeRawBufferPointer(rebasing: place[..<count])) { return .more }
      // Asking for more would have OpenSSL allocate its buffer anew, only to find nothing.
      if state.pointee.remaining == 0, SSL_pending(raw) == 0 { return .more }
    }
  }

  /// Encrypts `plaintext` in records of 16 KiB, the last one shorter.
  package func seal(_ plaintext: UnsafeRawBufferPointer) -> TLSFailure? {
    precondition(isEstablished, "plaintext sealed before the handshake was done")
    if isDead || hasSentEnd { return TLSFailure(reason: "already closed", isHandshake: false) }
    var rest = plaintext
    while !rest.isEmpty {
      var count = 0
      OpenSSLReason.clear()
      let status = SSL_write_ex(
        raw, rest.baseAddress, min(rest.count, TLSBuffers.recordBytes), &count)
      // The output takes everything, so there is nothing to wait for.
      if status != 1 {
        if case .failed(let failure) = progress(after: status) { return failure }
        return TLSFailure(reason: "OpenSSL does not take more", isHandshake: false)
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
    return nil
  }

  /// Tells the peer that nothing more will be sent (close_notify). Nothing before the handshake is
  /// done or after a failure.
  package func end() {
    if !isEstablished || isDead || hasSentEnd { return }
    hasSentEnd = true
    OpenSSLReason.clear()
    _ = SSL_shutdown(raw)
    OpenSSLReason.clear()
  }

  /// Takes new keys and asks the peer to do the same (TLS 1.3's KeyUpdate). For tests.
  package func updateKeys() {
    OpenSSLReason.clear()
    let isSent =
      SSL_key_update(raw, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(raw) == 1
    precondition(isSent, "a key update outside of an established TLS 1.3 connection")
  }

  // MARK: States

  private func shakeHands() -> Progress {
    if let nameProblem { return fail(nameProblem) }
    OpenSSLReason.clear()
    let status = SSL_do_handshake(raw)
    if status != 1 { return progress(after: status) }
    var name: UnsafePointer<UInt8>?
    var length: UInt32 = 0
    SSL_get0_alpn_selected(raw, &name, &length)
    guard TLSContext.isHTTP2(UnsafeRawBufferPointer(start: name, count: Int(length))) else {
      return fail("the peer did not agree on HTTP/2 by ALPN")
    }
    isEstablished = true
    state.pointee.lateMessagesLimit = TLSSession.spareLateMessages
    return .more
  }

  private func fail(_ reason: String) -> Progress {
    defer { isDead = true }
    return .failed(TLSFailure(reason: reason, isHandshake: !isEstablished))
  }

  /// What a call that did not succeed means.
  private func progress(after status: CInt) -> Progress {
    switch SSL_get_error(raw, status) {
    case SSL_ERROR_WANT_READ: return .more
    case SSL_ERROR_ZERO_RETURN: return .ended
    default:
      var reason = OpenSSLReason.take() ?? "unknown"
      let verdict = SSL_get_verify_result(raw)
      if verdict != CLong(X509_V_OK), !isEstablished,
        let words = X509_verify_cert_error_string(verdict)
      {
        reason += ": " + String(cString: words)
      }
      return fail(reason)
    }
  }

  // MARK: What is known of the peer

  /// For example `TLSv1.3 TLS_AES_256_GCM_SHA384`.
  package var protocolDescription: String {
    let version = SSL_get_version(raw).map { String(cString: $0) } ?? "?"
    let cipher = SSL_get_current_cipher(raw).flatMap { SSL_CIPHER_get_name($0) }
    return version + (cipher.map { " " + String(cString: $0) } ?? "")
  }

  /// Who the peer proved to be; nil when it showed no certificate. Copies the names: not for every
  /// call.
  package var peer: TLSPeer? {
    guard isEstablished, let certificate = SSL_get0_peer_certificate(raw) else { return nil }
    return TLSPeer(certificate)
  }
}
