internal import ToolSupport

extension CommandSpec {
  static let defrag = CommandSpec(
    name: "defrag", summary: "plans moves that join free blocks, and orders them on request",
    options: [
      OptionSpec("--run", "N", .whole(1...(1 << 31)), "goal: a run of N available blocks"),
      OptionSpec(
        "--sequence", "ID", .whole(0...UInt64.max), "goal: this running sequence in one run"),
      OptionSpec(
        "--max-moves", "N", .whole(1...1_000_000), "blocks that may move (default: 256)"),
      OptionSpec("--class", "N", .whole(1...16), "of which size class, from 1"),
      OptionSpec("--apply", .flag, "order the moves; somebody must make the copies"),
      OptionSpec(
        "--copy-with", "COMMAND", .text,
        "with --apply: run by the shell with a line for each copy on its standard input, COPY_ID "
          + "SOURCE TARGET TOKENS; when it ends with 0 they are acknowledged"),
      OptionSpec(
        "--acknowledge", .flag,
        "with --apply: acknowledge at once, without a copy: for pools without real memory"),
      OptionSpec(
        "--force", .flag,
        "with --apply: even where the next step would acknowledge copies that nobody made"),
      OptionSpec(
        "--watch", "S", .number(0.05...86_400),
        "look every S seconds, and act when the server advises it"),
      CommandSpec.count,
    ],
    notes: """
      The pool only keeps tables: whoever has the KV memory copies `tokens` slots from source to target
      and acknowledges, and tables change then. Without --apply nothing changes. Where copies are
      acknowledged by the next step (copy_ack NEXT_STEP), a scheduler that does not know of the copies
      would acknowledge them unmade; --apply needs --copy-with, --acknowledge or --force there.

      The server advises to defragment when over half of what is available is outside the longest run
      and less than 70 % of the pool is used. Only blocks that sequences of the default session hold
      alone can move. Ends with 4 when the goal cannot be reached.
      """,
    examples: [
      "defrag", "defrag --run 64 --max-moves 1000", "defrag --apply --copy-with ./copy-kv-blocks",
      "defrag --watch 10 --apply --copy-with ./copy-kv-blocks",
    ],
    check: { invocation throws(UsageError) in
      try countNeedsWatch(invocation)
      if invocation.has("--run"), invocation.has("--sequence") {
        throw UsageError("--run and --sequence are two goals; give one")
      }
      for option in ["--copy-with", "--acknowledge", "--force"]
      where invocation.has(option) && !invocation.has("--apply") {
        throw UsageError("\(option) needs --apply")
      }
      if invocation.has("--copy-with"), invocation.has("--acknowledge") {
        throw UsageError("--copy-with and --acknowledge both acknowledge; give one")
      }
    })
}

extension Command {
  func defragment() throws(Failure) -> ExitCode {
    let connection = try connect()
    if invocation.has("--apply") { try checkAcknowledgement(connection) }
    var code = ExitCode.fine
    if invocation.has("--watch") {
      try repeated(connection) { round throws(Failure) in
        let stats = try connection.stats()
        let isAdvised = stats.flag("defragment_advised")
        if invocation.format == .text {
          try terminal.write(
            StatsRows.clock(Self.now) + " " + DefragText.advice(stats, terminal.style) + "\n")
        }
        if isAdvised { code = try moveTogether(connection, isFirst: round == 0) }
      }
    } else {
      if invocation.format == .text {
        try terminal.write(DefragText.advice(try connection.stats(), terminal.style) + "\n")
      }
      code = try moveTogether(connection, isFirst: true)
    }
    connection.close()
    return code
  }

  /// Whether an acknowledgement is sure to come from somebody who knows of the copies.
  private func checkAcknowledgement(_ connection: Connection) throws(Failure) {
    let ways = ["--copy-with", "--acknowledge", "--force"]
    if ways.contains(where: { invocation.has($0) }) { return }
    let pool = try connection.call(
      "Pools/GetPool", connection.request("GetPoolRequest"), reply: "PoolInfo")
    if pool.message("config")?.word("copy_ack") != "explicit" {
      throw Failure(
        .usage,
        "--apply: in this pool the next step of the scheduler acknowledges the copies, made or not; "
          + "give --copy-with COMMAND, --acknowledge or --force (see quire defrag --help)")
    }
  }

  /// One plan, and what is to be done with it.
  private func moveTogether(
    _ connection: Connection, isFirst: Bool
  ) throws(Failure) -> ExitCode {
    var plan = try self.plan(connection)
    if invocation.format == .text {
      try terminal.write(DefragText.plan(plan, style: terminal.style))
    } else if !invocation.has("--apply") {
      try write(plan, isFirst: isFirst)
    }
    let hasGoal = invocation.has("--run") || invocation.has("--sequence")
    let isShort = hasGoal && !plan.flag("sufficient")
    guard invocation.has("--apply"), !plan.messages("moves").isEmpty else {
      return isShort ? .unwell : .fine
    }
    var attempts = 0
    while true {
      var request = connection.request("ApplyDefragmentRequest")
      request.set("plan", plan)
      switch try connection.answer(
        "Pools/ApplyDefragment", request, reply: "ApplyDefragmentReply")
      {
      case .success(let ordered):
        try settle(ordered, connection, isFirst: isFirst)
        return isShort ? .unwell : .fine
      case .failure(let refused):
        // Somebody was quicker; what is true now is planned anew.
        attempts += 1
        guard refused.reason == "REVISION_MOVED", attempts < 20 else { throw refused.failure }
        plan = try self.plan(connection)
      }
    }
  }

  private func plan(_ connection: Connection) throws(Failure) -> Message {
    var request = connection.request("PlanDefragmentRequest")
    if let run = invocation.whole("--run") { request.set("contiguous_blocks", run) }
    if let id = invocation.whole("--sequence") { request.set("sequence_id", id) }
    request.set("max_moves", invocation.whole("--max-moves") ?? 0)
    request.set("size_class", invocation.whole("--class") ?? 0)
    return try connection.call("Pools/PlanDefragment", request, reply: "DefragmentPlan")
  }

  /// Tells of the copies that were ordered; has them made and acknowledges them if that was asked for.
  private func settle(
    _ ordered: Message, _ connection: Connection, isFirst: Bool
  ) throws(Failure) {
    let copies = ordered.messages("copies")
    if invocation.format == .text {
      try terminal.write(DefragText.orders(ordered, style: terminal.style))
    } else {
      try write(ordered, isFirst: isFirst)
    }
    if let command = invocation.text("--copy-with") {
      let ended = try ShellCommand.run(command, input: DefragText.copyLines(copies))
      guard ended == 0 else {
        throw Failure(
          .unwell,
          "--copy-with: the command ended with \(ended); \(copies.count) copies are not acknowledged"
        )
      }
    } else if !invocation.has("--acknowledge") {
      if invocation.format == .text { try terminal.write(DefragText.whoAcknowledges) }
      return
    }
    var acknowledgement = Message("AckCopies")
    acknowledgement.set("copy_ids", list: copies.map { $0.number("copy_id") })
    var request = connection.request("AckCopiesRequest")
    request.set("ack_copies", acknowledgement)
    let reply = try connection.call("BlockPool/AckCopies", request, reply: "AckCopiesReply")
    if invocation.format == .text {
      try terminal.write(DefragText.acknowledged(reply))
    }
  }
}
