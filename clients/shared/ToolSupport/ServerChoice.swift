/// Which pool of which server a program talks to, and how it trusts it.
package struct ServerChoice: Equatable, Sendable {
  /// `host:port`, `[::1]:port`, `unix:PATH` or `unix-abstract:NAME`.
  package var target = ""
  /// nil = cleartext.
  package var tls: TLSFiles?
  package var pool = "default"

  package init() {}

  package static let options = [
    "--target", "--tls", "--tls-ca", "--tls-cert", "--tls-key", "--tls-server-name", "--pool",
  ]

  /// The lines of a program's `--help`, but for the pool's.
  package static let help = """
    --target ADDR     host:port, [::1]:port, unix:PATH or unix-abstract:NAME
    --tls             TLS, trusting the system's roots; each of the next four says it too
    --tls-ca FILE     trust these roots instead, PEM
    --tls-cert FILE   show this certificate chain, PEM
    --tls-key FILE    its private key, PEM without a passphrase
    --tls-server-name NAME
                      the name in the server's certificate, if it is not the target's host
    """

  /// Takes `option` and its value if it is one of these.
  package mutating func take(
    _ option: String, _ arguments: inout ArgumentList
  ) throws(UsageError) -> Bool {
    switch option {
    case "--target": target = try arguments.value(after: option)
    case "--tls": tls = tls ?? TLSFiles()
    case "--tls-ca", "--tls-cert", "--tls-key", "--tls-server-name":
      var files = tls ?? TLSFiles()
      files.set(option, try arguments.value(after: option))
      tls = files
    case "--pool": pool = try arguments.value(after: option)
    default: return false
    }
    return true
  }

  /// What cannot be seen before all options are there.
  package func check() throws(UsageError) {
    if target.isEmpty {
      throw UsageError("--target is missing; expected host:port, [::1]:port or unix:PATH")
    }
    try tls?.check()
  }
}
