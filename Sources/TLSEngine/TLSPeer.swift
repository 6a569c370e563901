internal import COpenSSL

/// The names in a certificate that was verified.
package struct TLSPeer: Equatable, Sendable {
  /// The subject as RFC 2253 writes it, e.g. `CN=scheduler,O=Example`.
  package var subject = ""
  /// URIs of the subjectAltName, in order, e.g. `spiffe://example.org/scheduler`.
  package var uris: [String] = []
  /// DNS names of the subjectAltName, in order.
  package var dnsNames: [String] = []

  init(_ certificate: OpaquePointer) {
    var length: CInt = 0
    if let text = copenssl_subject(certificate, &length) {
      subject = TLSPeer.text(UnsafeRawPointer(text), length)
      copenssl_free(text)
    }
    guard let names = copenssl_alternative_names(certificate) else { return }
    defer { GENERAL_NAMES_free(names) }
    for index in 0..<copenssl_name_count(names) {
      var isURI: CInt = 0
      guard let bytes = copenssl_name(names, index, &isURI, &length) else { continue }
      let name = TLSPeer.text(UnsafeRawPointer(bytes), length)
      if isURI != 0 { uris.append(name) } else { dnsNames.append(name) }
    }
  }

  private static func text(_ bytes: UnsafeRawPointer, _ length: CInt) -> String {
    String(decoding: UnsafeRawBufferPointer(start: bytes, count: Int(length)), as: UTF8.self)
  }
}
