internal import TLSEngine
package import UVLoop

/// Where to listen, and how: addresses, permissions, certificates.
extension Arguments {
  /// One `--listen`.
  package struct Listener: Equatable {
    package var address: ListenAddress
    package var isSecure = false
    /// What the prefix says; nil = none, and the certificates decide.
    var choice: Bool?

    package init(_ address: ListenAddress, isSecure: Bool = false) {
      self.address = address
      self.isSecure = isSecure
    }

    /// `tls:` and `tcp:` are prefixes where an address with a port follows: there may be a host of
    /// that name.
    init(parsing text: String) throws(Problem) {
      var rest = text[...]
      for (prefix, isSecure) in [("tls:", true), ("tcp:", false)]
      where text.hasPrefix(prefix) && text.dropFirst(prefix.count).contains(":") {
        rest = text.dropFirst(prefix.count)
        choice = isSecure
      }
      do throws(AddressError) {
        address = try ListenAddress(parsing: String(rest))
      } catch {
        throw Problem("--listen '\(text)': \(error.reason)")
      }
      if choice != nil, !isTCP {
        throw Problem("--listen '\(text)': tls: and tcp: go with host:port")
      }
    }

    var isTCP: Bool { if case .tcp = address { true } else { false } }
  }

  /// Words that say something only together.
  struct TransportWords: Equatable {
    var certificate: String?
    var key: String?
    var clientCA: String?
    var minimumVersion: TLSVersion?
  }

  mutating func setTransport(_ flag: String, _ value: String) throws(Problem) {
    if value.isEmpty { throw Problem("\(flag) needs a value") }
    switch flag {
    case "--unix-mode":
      let isOctal = value.utf8.allSatisfy { (0x30...0x37).contains($0) }
      guard isOctal, let mode = UInt32(value, radix: 8), mode <= 0o777 else {
        throw Problem("--unix-mode '\(value)': must be octal permissions up to 0777, such as 0660")
      }
      unixMode = mode
    case "--tls-cert": transport.certificate = value
    case "--tls-key": transport.key = value
    case "--tls-client-ca": transport.clientCA = value
    default:
      guard let version = TLSVersion(rawValue: value) else {
        throw Problem("--tls-min-version '\(value)': must be 1.2 or 1.3")
      }
      transport.minimumVersion = version
    }
  }

  /// Decides what depends on more than one word.
  mutating func settleTransport() throws(Problem) {
    switch (transport.certificate, transport.key) {
    case (let certificate?, let key?):
      var configuration = TLSServerConfiguration(
        certificatePath: certificate, keyPath: key, clientCAPath: transport.clientCA)
      if let version = transport.minimumVersion { configuration.minimumVersion = version }
      tls = configuration
    case (_?, nil): throw Problem("--tls-cert needs --tls-key")
    case (nil, _?): throw Problem("--tls-key needs --tls-cert")
    case (nil, nil):
      if transport.clientCA != nil { throw Problem("--tls-client-ca needs --tls-cert") }
      if transport.minimumVersion != nil { throw Problem("--tls-min-version needs --tls-cert") }
    }
    for index in listen.indices {
      let listener = listen[index]
      if listener.choice == true, tls == nil {
        throw Problem("--listen 'tls:\(listener.address)': TLS needs --tls-cert and --tls-key")
      }
      listen[index].isSecure = listener.choice ?? (tls != nil && listener.isTCP)
      listen[index].choice = nil
    }
    transport = TransportWords()
    // Certificates that protect nothing are a mistake to be told of, not to be found out.
    if tls != nil, !listen.contains(where: \.isSecure) {
      throw Problem("--tls-cert: no --listen uses TLS")
    }
  }
}
