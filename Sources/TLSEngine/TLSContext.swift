/// TLS without sockets. This module owns OpenSSL's contexts and sessions: ciphertext in, plaintext
/// out, and the other way round. It never reads a socket or a clock, and it knows of HTTP/2 only the
/// name by which the two sides agree on it.
internal import COpenSSL
internal import Glibc

/// Certificates and rules for the sessions of one thread. Sessions keep their context alive, so
/// connections outlive a change of certificates; new ones are made with a new context.
package final class TLSContext {
  let raw: OpaquePointer
  let method: OpaquePointer
  package let buffers: TLSBuffers
  /// A client's: the name to expect instead of the host that is connected to.
  package let serverName: String?
  let isServer: Bool

  /// - Throws: When a file cannot be read or used.
  package init(
    server configuration: TLSServerConfiguration, buffers: TLSBuffers = TLSBuffers()
  ) throws(TLSError) {
    isServer = true
    serverName = nil
    self.buffers = buffers
    raw = TLSContext.make(TLS_server_method(), configuration.minimumVersion)
    method = MemoryBIO.makeMethod()
    // From here on a throw runs deinit.
    try use(certificate: configuration.certificatePath, key: configuration.keyPath)
    if let path = configuration.clientCAPath {
      try trust(path, purpose: "client CA file")
      // Told to clients, so that they can choose among their certificates.
      let names = SSL_load_client_CA_file(path)
      ERR_clear_error()
      SSL_CTX_set_client_CA_list(raw, names)
      SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }
    SSL_CTX_set_alpn_select_cb(
      raw,
      { _, chosen, chosenLength, offered, offeredLength, _ in
        TLSContext.chooseHTTP2(
          from: UnsafeRawBufferPointer(start: offered, count: Int(offeredLength)), chosen,
          chosenLength)
      }, nil)
  }

  /// - Throws: When a file cannot be read or used.
  package init(
    client configuration: TLSClientConfiguration, buffers: TLSBuffers = TLSBuffers()
  ) throws(TLSError) {
    isServer = false
    serverName = configuration.serverName
    self.buffers = buffers
    raw = TLSContext.make(TLS_client_method(), configuration.minimumVersion)
    method = MemoryBIO.makeMethod()
    if let path = configuration.caPath {
      try trust(path, purpose: "CA file")
    } else if SSL_CTX_set_default_verify_paths(raw) != 1 {
      throw TLSContext.error("the system's root certificates", nil)
    }
    if let certificate = configuration.certificatePath, let key = configuration.keyPath {
      try use(certificate: certificate, key: key)
    }
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nil)
    let offer: [UInt8] = [2] + Array("h2".utf8)
    precondition(SSL_CTX_set_alpn_protos(raw, offer, UInt32(offer.count)) == 0, "out of memory")
  }

  deinit {
    SSL_CTX_free(raw)
    BIO_meth_free(method)
  }

  private static func make(_ functions: OpaquePointer?, _ minimum: TLSVersion) -> OpaquePointer {
    let made = SSL_CTX_new(functions)
    precondition(made != nil, "OpenSSL makes no context: out of memory, or a broken installation")
    let raw = made!
    let version = minimum == .tls13 ? TLS1_3_VERSION : TLS1_2_VERSION
    // TLS 1.2 with forward secrecy and authenticated encryption only, as RFC 9113, 9.2.2 asks for;
    // TLS 1.3 has nothing else.
    let isAccepted =
      copenssl_set_minimum_version(raw, version) == 1
      && SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1
    precondition(isAccepted, "OpenSSL lacks TLS 1.2 or its ciphers")
    copenssl_harden(raw)
    // Nor tickets of TLS 1.3, nor data before the handshake is done, which could be replayed.
    SSL_CTX_set_num_tickets(raw, 0)
    SSL_CTX_set_max_early_data(raw, 0)
    SSL_CTX_set_recv_max_early_data(raw, 0)
    // A key with a passphrase is an error; OpenSSL would ask for it on the terminal.
    SSL_CTX_set_default_passwd_cb(raw) { _, _, _, _ in -1 }
    return raw
  }

  // MARK: Files

  private func use(certificate: String, key: String) throws(TLSError) {
    ERR_clear_error()
    guard SSL_CTX_use_certificate_chain_file(raw, certificate) == 1 else {
      throw TLSContext.error("certificate chain", certificate)
    }
    guard SSL_CTX_use_PrivateKey_file(raw, key, SSL_FILETYPE_PEM) == 1,
      SSL_CTX_check_private_key(raw) == 1
    else {
      let error = TLSContext.error("private key", key)
      // OpenSSL's words for whatever its decoders do not make a key of.
      guard ["unsupported", "interrupted or cancelled"].contains(error.reason) else { throw error }
      throw TLSError(
        purpose: error.purpose, path: key, reason: "not a PEM key, or one with a passphrase")
    }
  }

  private func trust(_ path: String, purpose: String) throws(TLSError) {
    ERR_clear_error()
    guard SSL_CTX_load_verify_file(raw, path) == 1 else { throw TLSContext.error(purpose, path) }
  }

  private static func error(_ purpose: String, _ path: String?) -> TLSError {
    TLSError(purpose: purpose, path: path, reason: OpenSSLReason.take() ?? "unusable")
  }

  /// When the certificate that is shown ends to be valid, in seconds since 1970; nil without one.
  package var certificateExpiresAt: Int64? {
    guard let certificate = SSL_CTX_get0_certificate(raw) else { return nil }
    var end = tm()
    guard ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1 else { return nil }
    return Int64(timegm(&end))
  }

  // MARK: ALPN

  /// Picks `h2`; a client that does not offer it gets the fatal alert no_application_protocol
  /// (RFC 7301, 3.2).
  private static func chooseHTTP2(
    from offered: UnsafeRawBufferPointer,
    _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ chosenLength: UnsafeMutablePointer<UInt8>?
  ) -> CInt {
    var rest = offered[...]
    while let length = rest.popFirst(), rest.count >= Int(length) {
      let name = UnsafeRawBufferPointer(rebasing: rest.prefix(Int(length)))
      if isHTTP2(name) {
        chosen?.pointee = name.baseAddress?.assumingMemoryBound(to: UInt8.self)
        chosenLength?.pointee = length
        return SSL_TLSEXT_ERR_OK
      }
      rest = rest.dropFirst(Int(length))
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
  }

  static func isHTTP2(_ name: UnsafeRawBufferPointer) -> Bool {
    name.count == 2 && name[0] == UInt8(ascii: "h") && name[1] == UInt8(ascii: "2")
  }
}
