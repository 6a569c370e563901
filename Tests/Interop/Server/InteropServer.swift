import GRPCServer
import GRPCWire
import Glibc
import TLSEngine
import UVLoop

// gRPC's interoperability test server on our stack. Its options are those of gRPC's own programs;
// where those have their certificates built in, this one is told the files.

/// What the command line asks for.
package struct ServerArguments: Equatable {
  package var port: UInt16 = 0
  package var usesTLS = false
  package var certificatePath = ""
  package var keyPath = ""

  package init() {}

  /// nil for words that make no sense.
  package init?(_ words: [String]) {
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let value = parts.count == 2 ? String(parts[1]) : ""
      switch parts.first {
      case "--port":
        guard let port = UInt16(value) else { return nil }
        self.port = port
      case "--use_tls":
        guard let isWanted = Bool(value) else { return nil }
        usesTLS = isWanted
      case "--tls_cert_file": certificatePath = value
      case "--tls_key_file": keyPath = value
      default: return nil
      }
    }
    if usesTLS, certificatePath.isEmpty || keyPath.isEmpty { return nil }
  }
}

@main
enum InteropServer {
  private static let usage = """
    usage: InteropServer [--port=N] [--use_tls=true --tls_cert_file=FILE --tls_key_file=FILE]

    Serves grpc.testing.TestService on 127.0.0.1 until it is interrupted.

    """

  static func main() {
    guard let arguments = ServerArguments(Array(CommandLine.arguments.dropFirst())) else {
      write(usage, to: STDERR_FILENO)
      exit(2)
    }
    do {
      try serve(arguments)
    } catch {
      write("InteropServer: \(error)\n", to: STDERR_FILENO)
      exit(1)
    }
  }

  private static func serve(_ arguments: ServerArguments) throws {
    let loop = try EventLoop()
    let table = ServiceTable()
    InteropService(on: loop).register(table)
    let server = GRPCServer(loop: loop, services: table)
    if arguments.usesTLS {
      server.tls = try TLSContext(
        server: TLSServerConfiguration(
          certificatePath: arguments.certificatePath, keyPath: arguments.keyPath))
    }
    let address = try server.listen(
      on: .tcp(host: "127.0.0.1", port: arguments.port), isSecure: arguments.usesTLS)
    var isEnding = false
    let signals = try [SIGTERM, SIGINT].map { number in
      try SignalSource(on: loop, signal: number) {
        if isEnding { _exit(128 + number) }
        isEnding = true
        server.beginShutdown(graceNanoseconds: 1_000_000_000) { loop.stop() }
      }
    }
    write("InteropServer: listening on \(address)\n", to: STDOUT_FILENO)
    withExtendedLifetime(signals) { loop.run() }
  }

  private static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
  }
}
