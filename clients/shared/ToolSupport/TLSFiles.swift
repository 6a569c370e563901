package import TLSEngine

/// Whom a program trusts and how it names itself; all nil = the system's roots and no name of its own.
package struct TLSFiles: Equatable, Sendable {
  package var ca: String?
  package var certificate: String?
  package var key: String?
  package var serverName: String?

  package init() {}

  mutating func set(_ option: String, _ value: String) {
    switch option {
    case "--tls-ca": ca = value
    case "--tls-cert": certificate = value
    case "--tls-key": key = value
    default: serverName = value
    }
  }

  func check() throws(UsageError) {
    if certificate != nil, key == nil { throw UsageError("--tls-cert needs --tls-key") }
    if key != nil, certificate == nil { throw UsageError("--tls-key needs --tls-cert") }
  }

  /// Reads the files.
  package func context() throws(UsageError) -> TLSContext {
    var configuration = TLSClientConfiguration()
    configuration.caPath = ca
    configuration.certificatePath = certificate
    configuration.keyPath = key
    configuration.serverName = serverName
    do throws(TLSError) {
      return try TLSContext(client: configuration)
    } catch {
      throw UsageError("TLS: \(error)")
    }
  }
}
