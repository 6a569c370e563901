import Glibc
import Workloads

/// `quire-load`: the command line around `Workloads`. It parses, reads or draws a plan, has it played
/// over one connection and prints the report; every rule of scheduling and measuring is in `Workloads`.
@main
enum QuireLoad {
  static let version = "0.1.0"

  static func main() {
    let command: LoadCommand
    do throws(UsageError) {
      command = try LoadCommand.parse(Array(CommandLine.arguments.dropFirst()))
    } catch {
      complain("\(error); see quire-load --help")
      exit(ExitCode.usage.rawValue)
    }
    switch command {
    case .help: print(LoadCommand.usage, terminator: "")
    case .version: print("quire-load \(version)")
    case .generate(_, let seed, let requests):
      print(
        MooncakeWriter.text(of: ChatSystemPrompt.plan(seed: seed, limit: requests)), terminator: "")
    case .replay, .run:
      complain("not connected yet")
      exit(ExitCode.usage.rawValue)
    }
  }

  static func complain(_ text: String) {
    write("quire-load: \(text)\n", to: STDERR_FILENO)
  }
}
