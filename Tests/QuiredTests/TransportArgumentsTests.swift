import TLSEngine
import Testing
import UVLoop
import quired

@Suite("The command line, where it says how to listen")
struct TransportArgumentsTests {
  private struct NotServing: Error {}

  private func parse(_ words: String...) throws -> Arguments {
    guard case .serve(let arguments) = try Arguments.parse(words) else { throw NotServing() }
    return arguments
  }

  @Test("certificates secure every TCP listener that does not say otherwise, and no Unix socket")
  func certificates() throws {
    // The order of the words does not matter.
    let arguments = try parse(
      "--listen", "0.0.0.0:1", "--listen=unix:/q", "--listen=tcp:127.0.0.1:2", "--tls-key=k.pem",
      "--listen=tls:[::]:3", "--listen=unix-abstract:q", "--tls-cert", "c.pem",
      "--tls-client-ca=ca.pem", "--tls-min-version=1.3", "--unix-mode=0660")
    #expect(
      arguments.listen == [
        .init(.tcp(host: "0.0.0.0", port: 1), isSecure: true), .init(.unix(path: "/q")),
        .init(.tcp(host: "127.0.0.1", port: 2)),
        .init(.tcp(host: "::", port: 3), isSecure: true), .init(.abstract(name: "q")),
      ])
    var tls = TLSServerConfiguration(
      certificatePath: "c.pem", keyPath: "k.pem", clientCAPath: "ca.pem")
    tls.minimumVersion = .tls13
    #expect(arguments.tls == tls)
    #expect(arguments.unixMode == 0o660)
  }

  @Test("certificates alone secure the usual listener")
  func usualListener() throws {
    let arguments = try parse("--tls-cert=c", "--tls-key=k")
    #expect(arguments.listen == [.init(.tcp(host: "127.0.0.1", port: 8765), isSecure: true)])
    #expect(arguments.tls?.minimumVersion == .tls12)
  }

  @Test("a host may be called tcp or tls")
  func hostNames() throws {
    let arguments = try parse("--listen=tcp:80", "--listen=tls:443")
    #expect(
      arguments.listen == [.init(.tcp(host: "tcp", port: 80)), .init(.tcp(host: "tls", port: 443))])
  }

  @Test(
    "what does not fit together is refused by name",
    arguments: [
      (["--tls-cert=c"], "--tls-cert needs --tls-key"),
      (["--tls-key=k"], "--tls-key needs --tls-cert"),
      (["--tls-client-ca=ca"], "--tls-client-ca needs --tls-cert"),
      (["--tls-min-version=1.3"], "--tls-min-version needs --tls-cert"),
      (["--tls-min-version=1.1"], "--tls-min-version '1.1': must be 1.2 or 1.3"),
      (["--tls-cert="], "--tls-cert needs a value"),
      (
        ["--listen=tls:127.0.0.1:1"],
        "--listen 'tls:127.0.0.1:1': TLS needs --tls-cert and --tls-key"
      ),
      (
        ["--tls-cert=c", "--tls-key=k", "--listen=unix:/q", "--listen=tcp:h:1"],
        "--tls-cert: no --listen uses TLS"
      ),
      (["--listen=tls:unix:/q"], "--listen 'tls:unix:/q': tls: and tcp: go with host:port"),
      (["--listen=tcp:h:x"], "--listen 'tcp:h:x': the port 'x' is not a number from 0 to 65535"),
      (
        ["--unix-mode=rw"],
        "--unix-mode 'rw': must be octal permissions up to 0777, such as 0660"
      ),
      (
        ["--unix-mode=1777"],
        "--unix-mode '1777': must be octal permissions up to 0777, such as 0660"
      ),
    ] as [([String], String)])
  func problems(words: [String], message: String) {
    do {
      _ = try Arguments.parse(words)
      Issue.record("\(words) was accepted")
    } catch {
      #expect("\(error)" == message)
    }
  }
}
