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
        "with --apply: even where the scheduler's next step acknowledges the copies, made or not"),
      OptionSpec(
        "--watch", "S", .number(0.05...86_400),
        "look every S seconds, and act when the server advises it"),
      CommandSpec.count,
    ],
    notes: """
      The pool only keeps tables: whoever has the KV memory copies `tokens` slots from source to target
      and acknowledges, and tables change then. Without --apply nothing changes. In a pool whose
      copy_ack is NEXT_STEP any step of the scheduler acknowledges all copies, also those that
      the command of --copy-with is about to make; --apply needs --acknowledge or --force there. Give
      --force only while no scheduler steps, or to one that makes the copies before its next step.

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
    let isWatching = invocation.has("--watch")
    var code = ExitCode.fine
    try repeated(connection) { round throws(Failure) in
      let stats = try connection.stats()
      switch invocation.format {
      case .text:
        try terminal.write(
          (isWatching ? StatsRows.clock(Self.now) + " " : "")
            + DefragText.advice(stats, terminal.style) + "\n")
      case .csv:
        // Also where no row may ever follow.
        let rows = invocation.has("--apply") ? "ApplyDefragmentReply" : "DefragmentPlan"
        if round == 0 { try write([], of: rows) }
      case .json: break
      }
      if !isWatching || stats.flag("defragment_advised") { code = try moveTogether(connection) }
    }
    connection.close()
    return code
  }

  /// Whether no copy can be acknowledged before it is made. Where a step of the scheduler acknowledges,
  /// one may come while a command still copies, so --copy-with is no help there.
  private func checkAcknowledgement(_ connection: Connection) throws(Failure) {
    if invocation.has("--acknowledge") || invocation.has("--force") { return }
    let pool = try connection.call(
      "Pools/GetPool", connection.request("GetPoolRequest"), reply: "PoolInfo")
    if pool.message("config")?.word("copy_ack") != "explicit" {
      throw Failure(.usage, DefragText.stepAcknowledges)
    }
  }

  /// One plan, and what is to be done with it. What is told and judged is the plan that was applied, or
  /// the latest where none was.
  private func moveTogether(_ connection: Connection) throws(Failure) -> ExitCode {
    let hasGoal = invocation.has("--run") || invocation.has("--sequence")
    var attempts = 0
    while true {
      let plan = try self.plan(connection)
      let code: ExitCode = hasGoal && !plan.flag("sufficient") ? .unwell : .fine
      guard invocation.has("--apply"), !plan.messages("moves").isEmpty else {
        try tell(plan)
        return code
      }
      var request = connection.request("ApplyDefragmentRequest")
      request.set("plan", plan)
      switch try connection.answer(
        "Pools/ApplyDefragment", request, reply: "ApplyDefragmentReply")
      {
      case .success(let ordered):
        try tell(plan)
        try settle(ordered, connection)
        return code
      case .failure(let refused):
        // Somebody was quicker; what is true now is planned anew.
        attempts += 1
        guard refused.reason == "REVISION_MOVED", attempts < 20 else { throw refused.failure }
      }
    }
  }

  /// Programs that apply a plan are told what was ordered instead.
  private func tell(_ plan: Message) throws(Failure) {
    if invocation.format == .text {
      try terminal.write(DefragText.plan(plan, style: terminal.style))
    } else if !invocation.has("--apply") {
      try write(plan, isFirst: false)
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
  private func settle(_ ordered: Message, _ connection: Connection) throws(Failure) {
    let copies = ordered.messages("copies")
    if invocation.format == .text {
      try terminal.write(DefragText.orders(ordered, style: terminal.style))
    } else {
      try write(ordered, isFirst: false)
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
