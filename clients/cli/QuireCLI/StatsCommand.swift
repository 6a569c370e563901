internal import ToolSupport

extension CommandSpec {
  static let stats = CommandSpec(
    name: "stats", summary: "counters, fragmentation and sequences of a pool, at one moment",
    options: [
      watch, count,
      OptionSpec(
        "--perfetto", "FILE", .text,
        "with --watch: also write a trace that ui.perfetto.dev and chrome://tracing open: counters, "
          + "and the phases of sequences as they were seen"),
    ],
    notes: """
      With --watch a line for each look: states in blocks, counters as their growth in a second, hit
      rate of the prefix cache, internal and external fragmentation in percent.
      """,
    examples: [
      "stats --pool tight", "stats --watch 1", "stats --watch 0.2 --count 50 --csv > stats.csv",
      "stats --json | jq .free_runs.largest",
      "stats --watch 0.1 --count 600 --perfetto minute.json",
    ],
    check: { invocation throws(UsageError) in
      try countNeedsWatch(invocation)
      if invocation.has("--perfetto"), !invocation.has("--watch") {
        throw UsageError("--perfetto needs --watch")
      }
    })
}

extension Command {
  func stats() throws(Failure) -> ExitCode {
    let connection = try connect()
    var rows = StatsRows()
    var recording = try Recording(invocation)
    try repeated(connection) { round throws(Failure) in
      let stats = try connection.stats()
      let now = Self.now
      try recording?.look(stats, connection, at: now)
      if invocation.format != .text {
        var sample = Message("HistorySample")
        sample.set("time_ms", now)
        sample.set("stats", stats)
        try write(invocation.has("--watch") ? sample : stats, isFirst: round == 0)
      } else if invocation.has("--watch") {
        try terminal.write(rows.next(stats, at: now))
      } else {
        try terminal.write(StatsText.render(stats, style: terminal.style))
      }
    }
    try recording?.end(at: Self.now)
    connection.close()
    return .fine
  }

  /// What --perfetto asks for.
  private struct Recording {
    private var trace = PerfettoTrace()
    private let file: TraceFile
    private let pool: String
    private var isBegun = false

    init?(_ invocation: Invocation) throws(Failure) {
      guard let path = invocation.text("--perfetto") else { return nil }
      file = try TraceFile(path: path)
      pool = invocation.server.pool
    }

    mutating func look(
      _ stats: Message, _ connection: Connection, at milliseconds: UInt64
    ) throws(Failure) {
      if !isBegun { try file.append(PerfettoTrace.head(pool: pool)) }
      isBegun = true
      let sequences = try connection.sequences().sequences
      try file.append(trace.look(stats, sequences, at: milliseconds))
    }

    mutating func end(at milliseconds: UInt64) throws(Failure) {
      try file.append(trace.end(at: milliseconds))
    }
  }
}

extension Connection {
  /// With runs and slots.
  func stats() throws(Failure) -> Message {
    var request = request("GetStatsRequest")
    request.set("include", list: [1, 2])
    return try call("Analyzer/GetStats", request, reply: "Stats")
  }
}
