internal import ToolSupport

extension CommandSpec {
  static let stats = CommandSpec(
    name: "stats", summary: "counters, fragmentation and sequences of a pool, at one moment",
    options: [watch, count],
    notes: """
      With --watch a line for each look: states in blocks, counters as their growth in a second, hit
      rate of the prefix cache, internal and external fragmentation in percent.
      """,
    examples: [
      "stats --pool tight", "stats --watch 1", "stats --watch 0.2 --count 50 --csv > stats.csv",
      "stats --json | jq .free_runs.largest",
    ],
    check: { invocation throws(UsageError) in try countNeedsWatch(invocation) })
}

extension Command {
  func stats() throws(Failure) -> ExitCode {
    let connection = try connect()
    var rows = StatsRows()
    try repeated(connection) { round throws(Failure) in
      let stats = try connection.stats()
      if invocation.format != .text {
        var sample = Message("HistorySample")
        sample.set("time_ms", Self.now)
        sample.set("stats", stats)
        try write(invocation.has("--watch") ? sample : stats, isFirst: round == 0)
      } else if invocation.has("--watch") {
        try terminal.write(rows.next(stats, at: Self.now))
      } else {
        try terminal.write(StatsText.render(stats, style: terminal.style))
      }
    }
    connection.close()
    return .fine
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
