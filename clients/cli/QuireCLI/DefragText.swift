internal import ToolSupport

package enum DefragText {
  /// Whether there is reason to move anything.
  /// - Parameter stats: With runs.
  package static func advice(_ stats: Message, _ style: Style = .plain) -> String {
    let available = stats.number("available_blocks")
    let largest = stats.message("available_runs")?.number("largest") ?? 0
    let outside = StatsText.share(available - min(largest, available), of: available)
    let isAdvised = stats.flag("defragment_advised")
    return
      "longest run \(NumberText.grouped(largest)) of \(NumberText.grouped(available)) available "
      + "blocks, \(NumberText.percent(outside)) outside; "
      + "\(NumberText.percent(StatsText.usage(stats))) of the pool held: "
      + (isAdvised ? style.paint("advised", .bad) : "not advised")
  }

  /// - Parameter plan: `DefragmentPlan`.
  package static func plan(_ plan: Message, style: Style = .plain) -> String {
    let moves = plan.messages("moves")
    guard !moves.isEmpty else {
      return plan.flag("sufficient")
        ? "nothing to move: it is as good as it gets\n"
        : "no moves reach the goal: see --max-moves, and who holds the blocks (quire sequences)\n"
    }
    let count = moves.count == 1 ? "1 move" : "\(NumberText.grouped(UInt64(moves.count))) moves"
    var lines = [
      "\(count), \(NumberText.grouped(plan.number("tokens_to_copy"))) tokens to copy: longest run "
        + "\(NumberText.grouped(plan.number("largest_run_before"))) -> "
        + "\(NumberText.grouped(plan.number("largest_run_after"))) available blocks"
        + (plan.flag("sufficient") ? "" : "; not all of what there is to do")
    ]
    var table = TextTable([
      ("  FROM", .right), ("TO", .right), ("TOKENS", .right), ("SEQUENCE", .right),
    ])
    for move in moves.prefix(shown) {
      table.row(
        ["source_block", "target_block", "tokens", "sequence_id"].map { "\(move.number($0))" })
    }
    lines += table.lines()
    if moves.count > shown {
      lines.append("  ... and \(moves.count - shown) more (--json has all)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static let shown = 20

  /// - Parameter reply: `ApplyDefragmentReply`.
  package static func orders(_ reply: Message, style: Style = .plain) -> String {
    let copies = reply.messages("copies")
    guard let first = copies.first, let last = copies.last else { return "nothing was ordered\n" }
    var text =
      "ordered at revision \(reply.number("revision")): copies \(first.number("copy_id")) to "
      + "\(last.number("copy_id"))\n"
    let dirty = reply.numbers("must_zero_block_ids")
    if !dirty.isEmpty {
      text +=
        "to be filled with zeros first: blocks "
        + SequencesText.stretches(of: dirty).joined(separator: " ") + "\n"
    }
    return text
  }

  package static let whoAcknowledges = """
    Tables name the sources until the copies are acknowledged by whoever has the KV memory, the client
    that schedules in the pool's default session: BlockPool.AckCopies with these copy_ids, or its next
    Scheduler.Step where the pool's copy_ack is NEXT_STEP.

    """

  package static let stepAcknowledges =
    "--apply: in this pool (copy_ack NEXT_STEP) any step of the scheduler acknowledges the copies, made "
    + "or not, even while a command is making them; give --acknowledge or --force (see quire defrag "
    + "--help)"

  package static func acknowledged(_ reply: Message) -> String {
    let abandoned = reply.numbers("abandoned_copy_ids").count
    return "acknowledged \(reply.number("acknowledged")) copies"
      + (abandoned == 0
        ? "" : ", of which \(abandoned) were given up: their blocks had changed meanwhile")
      + "\n"
  }

  /// What a copying program reads: COPY_ID SOURCE TARGET TOKENS, a line each.
  package static func copyLines(_ copies: [Message]) -> String {
    copies.map { copy in
      ["copy_id", "source_block", "target_block", "tokens"].map { "\(copy.number($0))" }
        .joined(separator: " ") + "\n"
    }.joined()
  }
}
