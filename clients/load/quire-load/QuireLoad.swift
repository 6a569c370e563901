import Glibc
import Workloads
import ToolSupport

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
      stop(.usage, "\(error); see quire-load --help")
    }
    switch command {
    case .help: write(LoadCommand.usage, to: STDOUT_FILENO)
    case .version: write("quire-load \(version)\n", to: STDOUT_FILENO)
    case .generate(_, let seed, let requests):
      let plan = ChatSystemPrompt.plan(seed: seed, limit: requests)
      guard write(MooncakeWriter.text(of: plan), to: STDOUT_FILENO) else {
        stop(.usage, "standard output cannot be written: \(String(cString: strerror(errno)))")
      }
    case .replay(let path, let isDequantised, let options):
      let plan = readPlan(path, isDequantised, options)
      play(plan, "replay \(path)", options)
    case .run(let scenario, let seconds, let options):
      let plan = ChatSystemPrompt.plan(
        seed: options.seed, limit: options.limit, durationSeconds: seconds)
      guard !plan.requests.isEmpty else {
        stop(.usage, "--duration is so short that no request arrives")
      }
      play(plan, "run \(scenario)", options)
    }
  }

  private static func readPlan(
    _ path: String, _ isDequantised: Bool, _ options: RunOptions
  ) -> RequestPlan {
    do throws(TraceError) {
      var plan = try RequestPlan.trace(path: path, limit: options.limit)
      if isDequantised, plan.dequantise(seed: options.seed) == nil {
        complain("--dequantise: no two requests share an instant; played as it is")
      }
      return plan
    } catch {
      stop(.usage, "\(error)")
    }
  }

  private static func play(_ plan: RequestPlan, _ command: String, _ options: RunOptions) -> Never {
    do throws(UsageError) {
      try plan.check(speed: options.speed)
    } catch {
      stop(.usage, "\(error)")
    }
    // A report that cannot be written is better known before the run than after it.
    if let path = options.jsonPath, !writeFile("", path: path) {
      stop(.usage, "--json: \(path) cannot be written: \(String(cString: strerror(errno)))")
    }
    let report: RunReport
    do throws(RunFailure) {
      let run = try LoadRun(plan: plan, options: options)
      report = try run.play(command: command, version: version)
    } catch {
      stop(error.code, error.message)
    }
    var code = report.exitCode
    // A report that nobody gets is no pass; what is worse stays what it is.
    func missing(_ what: String) {
      complain("\(what) cannot be written: \(String(cString: strerror(errno)))")
      if code == .pass { code = .usage }
    }
    if !write(report.text, to: STDOUT_FILENO) { missing("standard output") }
    if let path = options.jsonPath, !writeFile(report.json, path: path) {
      missing("--json: \(path)")
    }
    exit(code.rawValue)
  }

  private static func complain(_ text: String) {
    write("quire-load: \(text)\n", to: STDERR_FILENO)
  }

  private static func stop(_ code: ExitCode, _ text: String) -> Never {
    complain(text)
    exit(code.rawValue)
  }
}
