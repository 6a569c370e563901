internal import ToolSupport

/// One command: what the parser takes and the help says. What it does is in a file of its own name.
struct CommandSpec: Sendable {
  var name: String
  var summary: String
  /// What stands behind the name in the usage line.
  var operands = ""
  var mostOperands = 0
  var options: [OptionSpec] = []
  var hasServer = true
  var hasPool = true
  /// Paragraphs behind the options.
  var notes = ""
  var examples: [String] = []
  /// What cannot be seen of one option alone.
  var check: @Sendable (Invocation) throws(UsageError) -> Void = { _ in }

  var optionNames: [String] {
    options.map(\.name) + ["--json", "--csv", "--no-color", "--help"]
      + (hasServer ? ServerChoice.options.filter { $0 != "--pool" || hasPool } : [])
  }

  static func named(_ name: String) throws(UsageError) -> CommandSpec {
    guard let spec = all.first(where: { $0.name == name }) else {
      let names = all.map(\.name)
      throw UsageError(
        "\(name) is no command; expected \(names.joined(separator: ", "))"
          + Suggestion.hint(for: name, among: names))
    }
    return spec
  }

  static let watch = OptionSpec(
    "--watch", "S", .number(0.05...3_600), "again every S seconds, until stopped")
  static let count = OptionSpec(
    "--count", "N", .whole(1...1_000_000_000), "with --watch: so many times, then end")

  static func countNeedsWatch(_ invocation: Invocation) throws(UsageError) {
    if invocation.has("--count"), !invocation.has("--watch") {
      throw UsageError("--count needs --watch")
    }
  }
}

// MARK: - Help

extension CommandSpec {
  package static var usage: String {
    let width = all.map(\.name.count).max()! + 2
    let lines = all.map {
      "  " + TextTable.padded($0.name, to: width) + $0.summary
    }
    return """
      usage: quire COMMAND [options]

      Shows what the pools of a Quire server hold and where their memory goes.

      \(lines.joined(separator: "\n"))

      quire COMMAND --help says more, with examples. Common to all:

      --target ADDR     the server: host:port, [::1]:port, unix:PATH or unix-abstract:NAME
                        (default: $QUIRE_TARGET, or else \(Invocation.usualTarget))
      --pool NAME       the pool (default: $QUIRE_POOL, or else default)
      --json            a JSON object on a line for each message, fields as the contract names them
      --csv             comma-separated values with a header
      --no-color        no colour on a terminal, either; NO_COLOR in the environment says it too
      --version, --help

      On a terminal there is colour; in a pipe or a file there is none, and no control codes.

      Exit codes: 0 fine; 1 wrong usage, or a file that cannot be read or written; 2 the server cannot
      be reached; 3 the server refused (no such pool, for example); 4 what was asked about is not well
      (health: not serving; defrag: the goal cannot be reached).

      """
  }

  var help: String {
    var lines = ["usage: quire \(name)\(operands.isEmpty ? "" : " " + operands) [options]", ""]
    lines.append(
      contentsOf: Self.wrapped(summary.prefix(1).uppercased() + summary.dropFirst() + "."))
    if !notes.isEmpty { lines += ["", notes] }
    lines.append("")
    let all =
      options + [
        OptionSpec("--json", .flag, "a JSON object on a line for each message"),
        OptionSpec("--csv", .flag, "comma-separated values with a header"),
        OptionSpec("--no-color", .flag, "no colour, even on a terminal"),
      ]
    for option in all {
      let words = option.placeholder.isEmpty ? option.name : "\(option.name) \(option.placeholder)"
      let meaning = Self.wrapped(option.meaning, width: 76)
      if words.count < 17 {
        lines.append(TextTable.padded(words, to: 18) + meaning[0])
      } else {
        lines += [words, "                  " + meaning[0]]
      }
      lines += meaning.dropFirst().map { "                  " + $0 }
    }
    if hasPool {
      lines.append("--pool NAME       the pool (default: $QUIRE_POOL, or else default)")
    }
    if hasServer {
      lines.append(ServerChoice.help)
      lines.append(
        "                  (default target: $QUIRE_TARGET, or else \(Invocation.usualTarget))")
    }
    if !examples.isEmpty {
      lines += ["", "Examples:"]
      lines += examples.map { "  quire " + $0 }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func wrapped(_ text: String, width: Int = 94) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      if !line.isEmpty, line.count + 1 + word.count > width {
        lines.append(line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    return lines + [line]
  }
}

extension Invocation {
  package static var usage: String { CommandSpec.usage }

  /// - Parameter command: Of a `Request.helpFor`.
  package static func help(for command: String) -> String {
    CommandSpec.all.first { $0.name == command }?.help ?? usage
  }
}
