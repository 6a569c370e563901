internal import Glibc
internal import ToolSupport

/// The program: parses, runs one command, ends the process.
package enum QuireProgram {
  package static let version = "0.1.0"

  package static func main() -> Never {
    var environment: [String: String] = [:]
    for name in ["QUIRE_TARGET", "QUIRE_POOL", "NO_COLOR", "TERM"] {
      if let value = getenv(name), value.pointee != 0 { environment[name] = String(cString: value) }
    }
    // A reader that has seen enough ends a pipe: that is an error of `write`, not a death.
    signal(SIGPIPE, SIG_IGN)
    do throws(Failure) {
      let request: Request
      do throws(UsageError) {
        request = try Invocation.parse(
          Array(CommandLine.arguments.dropFirst()), environment: environment)
      } catch {
        throw Failure(.usage, "\(error); see quire --help")
      }
      let terminal = Terminal(environment)
      switch request {
      case .help: try terminal.write(CommandSpec.usage)
      case .helpFor(let command): try terminal.write(Invocation.help(for: command))
      case .version: try terminal.write("quire \(version)\n")
      case .run(let invocation): exit(try run(invocation, terminal).rawValue)
      }
      exit(ExitCode.fine.rawValue)
    } catch {
      if !error.message.isEmpty { write("quire: \(error.message)\n", to: STDERR_FILENO) }
      exit(error.code.rawValue)
    }
  }

  private static func run(
    _ invocation: Invocation, _ terminal: Terminal
  ) throws(Failure) -> ExitCode {
    let terminal = invocation.hasNoColor ? terminal.withoutColor : terminal
    let command = Command(invocation, terminal)
    switch invocation.command {
    case "top": return try command.top()
    case "stats": return try command.stats()
    case "pools": return try command.pools()
    case "sequences": return try command.sequences()
    case "map": return try command.map()
    case "report": return try command.report()
    case "events": return try command.events()
    case "explain": return try command.explain()
    case "health": return try command.health()
    case "size": return try command.size()
    case "what-if": return try command.whatIf()
    case "defrag": return try command.defragment()
    default: preconditionFailure("a command that nobody runs")
    }
  }
}

/// Standard output, and what it can show.
struct Terminal {
  let isTerminal: Bool
  private(set) var style: Style

  init(_ environment: [String: String]) {
    isTerminal = isatty(STDOUT_FILENO) == 1
    style = .plain
    style.hasColor =
      isTerminal && environment["NO_COLOR"] == nil && environment["TERM"] != "dumb"
    measure()
  }

  /// Asks the window for its size.
  mutating func measure() {
    var size = winsize()
    guard isTerminal, ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return
    }
    style.width = Int(size.ws_col)
    style.height = Int(size.ws_row)
  }

  var withoutColor: Terminal {
    var copy = self
    copy.style.hasColor = false
    return copy
  }

  /// - Throws: When output cannot be written; without words when its reader has left.
  func write(_ text: String) throws(Failure) {
    guard ToolSupport.write(text, to: STDOUT_FILENO) else {
      if errno == EPIPE { throw Failure(.usage, "") }
      throw Failure(
        .usage, "standard output cannot be written: \(String(cString: strerror(errno)))")
    }
  }
}

/// One command under way: its invocation, and where its output goes. Each is a method in a file of its
/// own.
struct Command {
  let invocation: Invocation
  let terminal: Terminal

  init(_ invocation: Invocation, _ terminal: Terminal) {
    self.invocation = invocation
    self.terminal = terminal
  }

  func connect() throws(Failure) -> Connection { try Connection(invocation.server) }

  /// Milliseconds since the epoch.
  static var now: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
  }

  /// Writes a message for programs. `header` is written before the first row of CSV.
  func write(_ message: Message, isFirst: Bool) throws(Failure) {
    if invocation.format == .csv {
      if isFirst { try terminal.write(CSVText.row(Message.columns(message.name))) }
      try terminal.write(CSVText.row(message.cells))
    } else {
      try terminal.write(message.json + "\n")
    }
  }

  /// Writes messages of one kind for programs; of CSV the header even without one.
  func write(_ messages: [Message], of name: String) throws(Failure) {
    if messages.isEmpty, invocation.format == .csv {
      try terminal.write(CSVText.row(Message.columns(name)))
    }
    for (place, message) in messages.enumerated() { try write(message, isFirst: place == 0) }
  }

  /// Does `once` once, or with --watch again and again.
  func repeated(
    _ connection: Connection, _ once: (_ round: UInt64) throws(Failure) -> Void
  ) throws(Failure) {
    guard let interval = invocation.number("--watch") else { return try once(0) }
    var round: UInt64 = 0
    let start = Self.now
    let interruption = try Interruption(connection)
    while true {
      try once(round)
      round += 1
      if let count = invocation.whole("--count"), round >= count { return }
      // Places in time are fixed: a slow answer does not shift those after it.
      let due = Double(start) + Double(round) * interval * 1000
      connection.wait(seconds: (due - Double(Self.now)) / 1000) { interruption.isAsked }
      if interruption.isAsked { return }
    }
  }
}
