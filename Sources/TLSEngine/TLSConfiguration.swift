/// The oldest protocol a peer may speak. Nothing older than 1.2 is served: HTTP/2 forbids it
/// (RFC 9113, 9.2).
package enum TLSVersion: String, Equatable, Sendable {
  case tls12 = "1.2"
  case tls13 = "1.3"
}

/// What a server shows of itself and asks of its clients. All files are PEM.
package struct TLSServerConfiguration: Equatable, Sendable {
  /// The server's certificate, then those that lead from it to a root.
  package var certificatePath: String
  /// Its private key, without a passphrase.
  package var keyPath: String
  /// Roots for client certificates. Set: a client without a valid certificate is refused.
  package var clientCAPath: String?
  package var minimumVersion = TLSVersion.tls12

  package init(certificatePath: String, keyPath: String, clientCAPath: String? = nil) {
    self.certificatePath = certificatePath
    self.keyPath = keyPath
    self.clientCAPath = clientCAPath
  }
}

/// Whom a client trusts and how it names itself. All files are PEM.
package struct TLSClientConfiguration: Equatable, Sendable {
  /// Roots for server certificates; nil = the system's.
  package var caPath: String?
  /// The client's own certificate chain and key, for servers that ask for one. Both or neither.
  package var certificatePath: String?
  package var keyPath: String?
  /// The name the server's certificate must bear, and that is asked for, instead of the host that is
  /// connected to.
  package var serverName: String?
  package var minimumVersion = TLSVersion.tls12

  package init() {}
}

/// A file or a setting that TLS cannot use: what it is for, which file, and OpenSSL's reason.
package struct TLSError: Error, Equatable, Sendable, CustomStringConvertible {
  /// For example `certificate chain`.
  package let purpose: String
  /// nil when no file is at fault.
  package let path: String?
  package let reason: String

  package var description: String {
    path.map { "\(purpose) '\($0)': \(reason)" } ?? "\(purpose): \(reason)"
  }
}

/// Why a TLS connection is over, in OpenSSL's words. What can still be sent, an alert, is in the
/// output.
package struct TLSFailure: Error, Equatable, Sendable, CustomStringConvertible {
  package let reason: String
  /// Whether the handshake had not been completed.
  package let isHandshake: Bool

  package var description: String { isHandshake ? "TLS handshake: \(reason)" : "TLS: \(reason)" }
}
