import GRPCClient
import Glibc
import UVLoop

// gRPC's interoperability test client on our stack. Its options are those of gRPC's own programs.

/// What the command line asks for.
package struct ClientArguments: Equatable {
  package var host = "127.0.0.1"
  package var port: UInt16 = 0
  package var cases: [InteropCase] = []

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
             [--server_host=HOST]

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
    let channel = try GRPCChannel(loop: loop, target: "\(arguments.host):\(arguments.port)")
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
