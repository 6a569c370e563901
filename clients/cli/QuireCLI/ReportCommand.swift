internal import ForeignText
internal import Glibc
internal import ToolSupport

extension CommandSpec {
  static let report = CommandSpec(
    name: "report",
    summary: "where a pool's memory goes and what to change, in words, figures and pictures",
    options: [
      OptionSpec(
        "--format", "FORMAT", .choice(["text", "json", "csv"]),
        "text, json (the same as --json) or csv (the same as --csv) (default: text)"),
      OptionSpec(
        "--html", "FILE", .text,
        "write one page with pictures that opens offline, - for standard output; with --format also "
          + "that on standard output"),
      OptionSpec(
        "--since", "S", .number(1...86_400), "of the history only the last S seconds"),
    ],
    notes: """
      The server makes the report: the pattern of the fragmentation, its causes, its impact and what
      would reduce it, each piece of advice with what it rests on. What happened over time is in it
      where the server samples its pools (quired --sample-interval or --admin), how long blocks live
      where it follows them (quired --block-history on).
      """,
    examples: [
      "report", "report --html pool.html", "report --since 600 --json | jq .advice",
      "report --pool tight --csv > tight.csv",
    ],
    check: { invocation throws(UsageError) in
      guard let format = invocation.text("--format") else { return }
      if invocation.format != .text, ReportFormat(invocation.format).rawValue != format {
        throw UsageError("--format \(format) and --\(invocation.format) are two things; give one")
      }
    })
}

/// A way to write a report down, by its word on the command line.
private enum ReportFormat: String {
  case text, json, csv, html

  init(_ format: Format) {
    switch format {
    case .text: self = .text
    case .json: self = .json
    case .csv: self = .csv
    }
  }

  /// `ReportFormat` of the contract.
  var code: UInt64 {
    switch self {
    case .text: 1
    case .json: 2
    case .csv: 3
    case .html: 4
    }
  }
}

extension Command {
  func report() throws(Failure) -> ExitCode {
    let connection = try connect()
    let path = invocation.text("--html")
    if let path {
      let page = try report(.html, connection)
      if path == "-" {
        try terminal.write(page)
      } else if !writeFile(page, path: path) {
        throw Failure(.usage, "--html: \(path): \(String(cString: strerror(errno)))")
      }
    }
    let format =
      invocation.text("--format").flatMap(ReportFormat.init) ?? ReportFormat(invocation.format)
    if path == nil || invocation.has("--format") || format != .text {
      let text = try report(format, connection)
      try terminal.write(
        format == .text ? ReportText.render(text, style: terminal.style) : text)
    }
    connection.close()
    return .fine
  }

  private func report(
    _ format: ReportFormat, _ connection: Connection
  ) throws(Failure) -> String {
    var request = connection.request("GetReportRequest")
    request.set("format", format.code)
    if let seconds = invocation.number("--since") {
      request.set("since_ms", Self.now - UInt64(seconds * 1000))
    }
    let reply = try connection.call("Analyzer/GetReport", request, reply: "Report")
    return String(decoding: reply.bytes("content"), as: UTF8.self)
  }
}

/// A server's report on a terminal.
package enum ReportText {
  /// What begins at the margin is a heading. No control code gets through.
  package static func render(_ text: String, style: Style = .plain) -> String {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      let safe = ForeignText.printable(String(line))
      return safe.hasPrefix(" ") ? safe : style.paint(safe, .strong)
    }
    if lines.last == "" { lines.removeLast() }
    return lines.joined(separator: "\n") + "\n"
  }
}
