package import ToolSupport

/// What `quire-load` was asked to do, as its command line says.
package enum LoadCommand: Equatable {
  case help
  case version
  /// Play a trace file.
  case replay(path: String, isDequantised: Bool, RunOptions)
  /// Play a seeded scenario, until `limit` requests are made or `durationSeconds` are over.
  case run(scenario: String, durationSeconds: Double, RunOptions)
  /// Write a scenario as a trace to standard output.
  case generate(scenario: String, seed: UInt64, requests: Int)
}

/// What `replay` and `run` have in common.
package struct RunOptions: Equatable {
  package var server = ServerChoice()
  /// What requests are compressed with; nil = nothing.
  package var compression: RequestCompression?
  package var speed: Double = 1
  package var limit = Int.max
  package var seed: UInt64 = 42
  /// Milliseconds from one scheduler step to the next, at speed 1.
  package var decodeMilliseconds: Double = 30
  /// Where the report goes as JSON; nil = nowhere.
  package var jsonPath: String?
  package var isQuiet = false
  /// Status as plain lines even on a terminal.
  package var hasPlainStatus = false

  package init() {}
}

/// A message encoding, by gRPC's name.
package enum RequestCompression: String, Sendable, CaseIterable {
  case gzip
  case deflate
}

extension LoadCommand {
  package static let usage = """
    usage: quire-load replay FILE --target ADDR [options]
           quire-load run chat-system-prompt --target ADDR [options]
           quire-load generate [chat-system-prompt] [--seed N] [--requests N] > FILE

    Plays requests against a Quire server: each is added when it arrives, admitted when it fits,
    decoded a token a step, and freed when it is complete; when the pool is full, the latest admitted
    are preempted and recomputed. Arrivals never wait for completions. Ends with a report.

    replay    a trace: Mooncake JSON lines, or Azure's CSV of 2023 (told by content)
    run       a seeded scenario; chat-system-prompt: Poisson arrivals, 5.5 a second, that share a
              512-token system prompt, lengths as in Azure's conversations
    generate  a scenario as a Mooncake trace on standard output (default: 300 requests)

    \(ServerChoice.help)
    --pool NAME       the pool to load (default: default)
    --compress HOW    gzip or deflate: compress requests, as servers then do replies (default: not)
    --speed X         how many times faster than the trace's own time (default: 1)
    --limit N         play only the first N requests
    --duration S      run: seconds of arrivals, in the scenario's time (default: 60 without --limit)
    --dequantise      replay: spread requests that share an instant over the trace's clock tick
    --seed N          of every random draw (default: 42)
    --decode-ms N     milliseconds from step to step at speed 1 (default: 30)
    --json FILE       write the report as JSON, too
    --quiet           no status lines on standard error
    --no-tty          status as plain lines, a line a second, even on a terminal
    --version, --help

    Exit codes: 0 pass; 1 wrong usage or a broken trace; 2 connection lost or server error; 3 an
    invariant is broken (blocks leaked or handed out twice); 4 the run is invalid, because this
    program was too slow (p99 of its own lag above 10 ms); 130 interrupted, after freeing everything.

    """

  /// - Parameter arguments: Without the program's name.
  package static func parse(_ arguments: [String]) throws(UsageError) -> LoadCommand {
    var arguments = ArgumentList(arguments)
    guard let verb = arguments.next() else {
      throw UsageError("a command is missing; expected replay, run or generate")
    }
    switch verb {
    case "--help", "-h", "help": return .help
    case "--version": return .version
    case "replay": return try parseReplay(&arguments)
    case "run": return try parseRun(&arguments)
    case "generate": return try parseGenerate(&arguments)
    default:
      throw UsageError("\(verb) is no command; expected replay, run or generate")
    }
  }

  private static func parseReplay(_ arguments: inout ArgumentList) throws(UsageError) -> LoadCommand
  {
    var path: String?
    var isDequantised = false
    var options = RunOptions()
    while let argument = arguments.next() {
      if argument == "--help" { return .help }
      if argument == "--dequantise" {
        isDequantised = true
      } else if !argument.hasPrefix("--") {
        guard path == nil else { throw UsageError("\(argument): replay takes one file") }
        path = argument
      } else if try !options.take(argument, &arguments) {
        throw UsageError("\(argument) is no option of replay")
      }
    }
    guard let path else { throw UsageError("replay: the trace file is missing") }
    try options.server.check()
    return .replay(path: path, isDequantised: isDequantised, options)
  }

  private static func parseRun(_ arguments: inout ArgumentList) throws(UsageError) -> LoadCommand {
    var scenario: String?
    var duration: Double?
    var options = RunOptions()
    while let argument = arguments.next() {
      if argument == "--help" { return .help }
      if argument == "--duration" {
        duration = try arguments.number(after: argument, 0.001...1_000_000)
      } else if !argument.hasPrefix("--") {
        guard scenario == nil else { throw UsageError("\(argument): run takes one scenario") }
        scenario = try known(argument)
      } else if try !options.take(argument, &arguments) {
        throw UsageError("\(argument) is no option of run")
      }
    }
    guard let scenario else {
      throw UsageError("run: the scenario is missing; expected \(ChatSystemPrompt.name)")
    }
    try options.server.check()
    if duration == nil, options.limit != .max, options.limit > ChatSystemPrompt.maximumRequests {
      throw UsageError(
        "--limit is '\(options.limit)'; expected a whole number from 1 to "
          + "\(ChatSystemPrompt.maximumRequests), which run makes at most")
    }
    let seconds = duration ?? (options.limit == .max ? 60 : .infinity)
    return .run(scenario: scenario, durationSeconds: seconds, options)
  }

  private static func parseGenerate(
    _ arguments: inout ArgumentList
  ) throws(UsageError) -> LoadCommand {
    var scenario: String?
    var seed: UInt64 = 42
    var requests = 300
    while let argument = arguments.next() {
      switch argument {
      case "--help": return .help
      case "--seed": seed = try arguments.whole(after: argument, 0...UInt64.max)
      case "--requests":
        requests = Int(
          try arguments.whole(after: argument, 1...UInt64(ChatSystemPrompt.maximumRequests)))
      default:
        guard !argument.hasPrefix("--") else {
          throw UsageError("\(argument) is no option of generate")
        }
        guard scenario == nil else { throw UsageError("\(argument): generate takes one scenario") }
        scenario = try known(argument)
      }
    }
    return .generate(
      scenario: scenario ?? ChatSystemPrompt.name, seed: seed, requests: requests)
  }

  private static func known(_ scenario: String) throws(UsageError) -> String {
    guard scenario == ChatSystemPrompt.name else {
      throw UsageError("\(scenario) is no scenario; expected \(ChatSystemPrompt.name)")
    }
    return scenario
  }
}

extension RunOptions {
  /// Takes `option` and its value if it is one of these.
  fileprivate mutating func take(
    _ option: String, _ arguments: inout ArgumentList
  ) throws(UsageError) -> Bool {
    if try server.take(option, &arguments) { return true }
    switch option {
    case "--compress":
      let text = try arguments.value(after: option)
      guard let choice = RequestCompression(rawValue: text) else {
        throw UsageError("--compress is '\(text)'; expected gzip or deflate")
      }
      compression = choice
    case "--speed": speed = try arguments.number(after: option, 0.001...100_000)
    case "--limit": limit = Int(try arguments.whole(after: option, 1...1_000_000_000))
    case "--seed": seed = try arguments.whole(after: option, 0...UInt64.max)
    case "--decode-ms":
      decodeMilliseconds = try arguments.number(after: option, 0.001...60_000)
    case "--json": jsonPath = try arguments.value(after: option)
    case "--quiet": isQuiet = true
    case "--no-tty": hasPlainStatus = true
    default: return false
    }
    return true
  }
}
