/// Who is at the other end of a call's connection, as far as the transport can prove it. Both parts
/// are nil for a client that came over TCP without a certificate.
package struct PeerIdentity: Equatable, Sendable {
  /// The names in a client certificate that was verified.
  package struct Certificate: Equatable, Sendable {
    /// As RFC 2253 writes it, e.g. `CN=scheduler,O=Example`.
    package var subject: String
    /// URIs of the subjectAltName, e.g. `spiffe://example.org/scheduler`.
    package var uris: [String]
    package var dnsNames: [String]

    package init(subject: String, uris: [String], dnsNames: [String]) {
      self.subject = subject
      self.uris = uris
      self.dnsNames = dnsNames
    }
  }

  /// The process that connected to a Unix socket, as the kernel knows it.
  package struct Process: Equatable, Sendable {
    package var pid: Int32
    package var uid: UInt32
    package var gid: UInt32

    package init(pid: Int32, uid: UInt32, gid: UInt32) {
      self.pid = pid
      self.uid = uid
      self.gid = gid
    }
  }

  package var certificate: Certificate?
  package var process: Process?

  package init() {}
}
