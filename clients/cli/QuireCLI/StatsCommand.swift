internal import ToolSupport

extension CommandSpec {
  static let stats = CommandSpec(
    name: "stats", summary: "counters, fragmentation and sequences of a pool, at one moment",
    options: [
      watch, count,
      OptionSpec(
        "--history", .flag,
        "instead: what the server recorded, each second of ten minutes, each ten seconds of two "
          + "hours, each minute of a day"),
      OptionSpec(
        "--since", "S", .number(1...86_400), "with --history: only the last S seconds"),
      OptionSpec(
        "--detail", .flag,
        "also runs by length, sequences and owners that cost most, where free blocks lie scattered"),
      OptionSpec(
        "--probe", "N,N...", .wholes(1...(1 << 31)),
        "with --detail: would a contiguous request of N blocks fit?"),
      OptionSpec(
        "--orphans", .flag,
        "with --detail: count cached blocks that no lookup reaches; takes the server longer"),
      OptionSpec(
        "--reset-peaks", .flag, "first let the high watermark start again from now"),
      OptionSpec(
        "--perfetto", "FILE", .text,
        "with --watch or --history: also write a trace that ui.perfetto.dev and chrome://tracing "
          + "open: counters, and with --watch the phases of sequences as they were seen"),
    ],
    notes: """
      With --watch and --history a line for each look: states in blocks, counters as their growth in a
      second, hit rate of the prefix cache since the line before, internal and external fragmentation,
      all three in percent.
      """,
    examples: [
      "stats --pool tight", "stats --watch 1", "stats --watch 0.2 --count 50 --csv > stats.csv",
      "stats --detail --probe 16,64,256", "stats --history --since 600",
      "stats --json | jq .free_runs.largest",
      "stats --watch 0.1 --count 600 --perfetto minute.json",
    ],
    check: { invocation throws(UsageError) in
      try countNeedsWatch(invocation)
      if invocation.has("--watch"), invocation.has("--history") {
        throw UsageError("--watch and --history are two things; give one")
      }
      if invocation.has("--perfetto"), !invocation.has("--watch"), !invocation.has("--history") {
        throw UsageError("--perfetto needs --watch or --history")
      }
      for option in ["--detail", "--reset-peaks"] where invocation.has(option) {
        for other in ["--watch", "--history"] where invocation.has(other) {
          throw UsageError("\(option) and \(other) are two things; give one")
        }
      }
      for option in ["--probe", "--orphans"]
      where invocation.has(option) && !invocation.has("--detail") {
        throw UsageError("\(option) needs --detail")
      }
      if let probes = invocation.wholes("--probe"), probes.count > 64 {
        throw UsageError("--probe has \(probes.count) numbers; expected at most 64")
      }
      if invocation.has("--since"), !invocation.has("--history") {
        throw UsageError("--since needs --history")
      }
    })
}

extension Command {
  func stats() throws(Failure) -> ExitCode {
    let connection = try connect()
    if invocation.has("--history") {
      try history(connection)
    } else if invocation.has("--perfetto") {
      try recorded(connection)
    } else if invocation.has("--watch") {
      try watched(connection)
    } else {
      if invocation.has("--reset-peaks") {
        _ = try connection.call(
          "Analyzer/ResetPeaks", connection.request("ResetPeaksRequest"), reply: "Stats")
      }
      try once(connection)
    }
    connection.close()
    return .fine
  }

  private func once(_ connection: Connection) throws(Failure) {
    let answer: Message
    if invocation.has("--detail") {
      var request = connection.request("GetSnapshotRequest")
      request.set("probe_blocks", list: invocation.wholes("--probe") ?? [])
      request.set("with_orphans", invocation.has("--orphans"))
      answer = try connection.call(
        "Analyzer/GetSnapshot", request, reply: "FragmentationSnapshot")
    } else {
      answer = try connection.stats()
    }
    if invocation.format != .text { return try write(answer, isFirst: true) }
    let stats = invocation.has("--detail") ? answer.message("stats") : answer
    try terminal.write(StatsText.render(stats ?? Message("Stats"), style: terminal.style))
    if invocation.has("--orphans") {
      try terminal.write(
        "  orphaned   \(NumberText.grouped(answer.number("orphaned_blocks"))) cached blocks that no "
          + "lookup reaches\n")
    }
    if invocation.has("--detail") {
      try terminal.write(
        "\n"
          + SnapshotText.render(
            answer, probes: invocation.wholes("--probe") ?? [], style: terminal.style))
    }
  }

  /// Looks that the server makes once for all who watch.
  private func watched(_ connection: Connection) throws(Failure) {
    var request = connection.request("WatchStatsRequest")
    request.set("interval_ms", UInt64((invocation.number("--watch") ?? 1) * 1000))
    request.set("include", list: [1, 2])
    var samples = Samples(self)
    var left = invocation.whole("--count") ?? .max
    var failure: Failure?
    try connection.stream("Analyzer/WatchStats", request, of: "Stats") { stats in
      do throws(Failure) {
        try samples.write(stats, at: Self.now)
      } catch {
        failure = error
        return false
      }
      left -= 1
      return left > 0
    }
    if let failure { throw failure }
  }

  /// Looks of ours, because sequences are looked at with each.
  private func recorded(_ connection: Connection) throws(Failure) {
    var trace = PerfettoTrace()
    let file = try TraceFile(path: invocation.text("--perfetto") ?? "")
    var samples = Samples(self)
    try repeated(connection) { round throws(Failure) in
      let stats = try connection.stats()
      let now = Self.now
      if round == 0 { try file.append(PerfettoTrace.head(pool: invocation.server.pool)) }
      try file.append(trace.look(stats, try connection.sequences().sequences, at: now))
      try samples.write(stats, at: now)
    }
    try file.append(trace.end(at: Self.now))
  }

  private func history(_ connection: Connection) throws(Failure) {
    var request = connection.request("GetHistoryRequest")
    if let seconds = invocation.number("--since") {
      request.set("since_ms", Self.now - UInt64(seconds * 1000))
    }
    request.set("max_samples", 4_000)
    let history = try connection.call("Analyzer/GetHistory", request, reply: "History")
    if history.number("interval_ms") == 0 {
      throw Failure(.refused, "the server records nothing: see quired --sample-interval")
    }
    if let path = invocation.text("--perfetto") {
      let file = try TraceFile(path: path)
      try file.append(PerfettoTrace.head(pool: invocation.server.pool))
      var trace = PerfettoTrace()
      for sample in history.messages("samples") {
        guard let stats = sample.message("stats") else { continue }
        try file.append(trace.look(stats, nil, at: sample.number("time_ms")))
      }
    }
    if invocation.format != .text {
      return try write(history.messages("samples"), of: "HistorySample")
    }
    var rows = StatsRows()
    for sample in history.messages("samples") {
      guard let stats = sample.message("stats") else { continue }
      try terminal.write(rows.next(stats, at: sample.number("time_ms")))
    }
  }

  /// Writes looks in the format that was asked for.
  private struct Samples {
    private let command: Command
    private var rows = StatsRows()
    private var isFirst = true

    init(_ command: Command) { self.command = command }

    mutating func write(_ stats: Message, at milliseconds: UInt64) throws(Failure) {
      if command.invocation.format == .text {
        return try command.terminal.write(rows.next(stats, at: milliseconds))
      }
      var sample = Message("HistorySample")
      sample.set("time_ms", milliseconds)
      sample.set("stats", stats)
      sample.set("looks", 1)
      try command.write(sample, isFirst: isFirst)
      isFirst = false
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
