import GRPCClient
import Glibc
import TLSEngine
import UVLoop

// gRPC's interoperability test client on our stack. Its options are those of gRPC's own programs.

/// What the command line asks for.
package struct ClientArguments: Equatable {
  package var host = "127.0.0.1"
  package var port: UInt16 = 0
  package var cases: [InteropCase] = []
  package var usesTLS = false
  /// Roots for the server's certificate; empty = the system's.
  package var caPath = ""
  /// The name the server's certificate must bear instead of the host; empty = the host.
  package var serverName = ""

  /// nil for words that make no sense.
  package init?(_ words: [String]) {
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let value = parts.count == 2 ? String(parts[1]) : ""
      switch parts.first {
      case "--server_host": host = value
      case "--server_port":
        guard let port = UInt16(value) else { return nil }
        self.port = port
      case "--use_tls":
        guard let isWanted = Bool(value) else { return nil }
        usesTLS = isWanted
      case "--ca_file": caPath = value
      case "--server_host_override": serverName = value
      case "--test_case":
        switch value {
        case "all": cases += InteropCase.allCases
        case "standard": cases += InteropCase.standard
        case "compression": cases += InteropCase.compression
        default:
          guard let one = InteropCase(rawValue: value) else { return nil }
          cases.append(one)
        }
      default: return nil
      }
    }
    if port == 0 || cases.isEmpty { return nil }
  }
}

@main
enum InteropClient {
  private static let usage = """
    usage: InteropClient --server_port=N --test_case=CASE|standard|compression|all
             [--server_host=HOST] [--use_tls=true] [--ca_file=FILE] [--server_host_override=NAME]

    Runs gRPC's interoperability cases against a server. Exits with 1 when one fails.

    """

  static func main() {
    guard let arguments = ClientArguments(Array(CommandLine.arguments.dropFirst())) else {
      write(usage, to: STDERR_FILENO)
      exit(2)
    }
    do {
      exit(try run(arguments) ? 0 : 1)
    } catch {
      write("InteropClient: \(error)\n", to: STDERR_FILENO)
      exit(1)
    }
  }

  /// Whether all cases passed.
  private static func run(_ arguments: ClientArguments) throws -> Bool {
    let loop = try EventLoop()
    var tls: TLSContext?
    if arguments.usesTLS {
      var configuration = TLSClientConfiguration()
      if !arguments.caPath.isEmpty { configuration.caPath = arguments.caPath }
      if !arguments.serverName.isEmpty { configuration.serverName = arguments.serverName }
      tls = try TLSContext(client: configuration)
    }
    let channel = try GRPCChannel(
      loop: loop, target: "\(arguments.host):\(arguments.port)", tls: tls)
    let runner = InteropRunner(channel, on: loop)
    var hasPassed = true
    for one in arguments.cases {
      do throws(InteropFailure) {
        try one.run(runner)
        write("\(one.rawValue): ok\n", to: STDOUT_FILENO)
      } catch {
        hasPassed = false
        write("\(one.rawValue): FAILED: \(error)\n", to: STDOUT_FILENO)
      }
    }
    channel.close()
    return hasPassed
  }

  private static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
  }
}
