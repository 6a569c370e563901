internal import ToolSupport

package enum WhatIfText {
  /// - Parameter reply: `WhatIfReply`.
  package static func render(_ reply: Message, style: Style = .plain) -> String {
    let rows = reply.messages("rows")
    let hasTrace = rows.contains { $0.has("replay") }
    var lines = [
      "\(NumberText.grouped(reply.number("sequences"))) "
        + (hasTrace ? "requests" : "sequences")
        + (reply.flag("truncated") ? ", the first of more," : "")
        + " of \(NumberText.fixed(reply.real("mean_length"), 1)) tokens on average"
    ]
    if reply.real("optimal_block_size") > 0 {
      lines.append(
        "sqrt(2 L m_meta / m_token): blocks of "
          + "\(NumberText.fixed(reply.real("optimal_block_size"), 1)) tokens waste least memory")
    }
    lines.append("")
    var table = (hasTrace ? replayed(rows) : computed(rows)).lines()
    table[0] = style.paint(table[0], .strong)
    return (lines + table).joined(separator: "\n") + "\n"
  }

  private static let made: [(String, TextTable.Alignment)] = [
    ("POOL", .right), ("SIZE", .right), ("STRATEGY", .left), ("WATERMARK", .right),
  ]

  private static func made(_ row: Message) -> [String] {
    [
      NumberText.grouped(row.number("pool_blocks")), "\(row.number("block_size"))",
      row.word("strategy"), NumberText.percent(row.real("watermark")),
    ]
  }

  private static func computed(_ rows: [Message]) -> TextTable {
    var table = TextTable(
      made + [
        ("BLOCKS", .right), ("WASTED", .right), ("WASTE", .right), ("BATCH", .right),
        ("METADATA", .right),
      ])
    for row in rows {
      table.row(
        made(row) + [
          NumberText.grouped(row.number("blocks")), NumberText.grouped(row.number("wasted_slots")),
          NumberText.percent(row.real("waste")), NumberText.fixed(row.real("effective_batch"), 1),
          ByteText.short(row.number("metadata_bytes")),
        ])
    }
    return table
  }

  private static func replayed(_ rows: [Message]) -> TextTable {
    var table = TextTable(
      made + [
        ("EVICTION", .left), ("HIT", .right), ("EVICTED", .right), ("REFUSED", .right),
        ("PREEMPTED", .right), ("NEVER FIT", .right), ("PEAK", .right), ("BLOCKS", .right),
        ("WASTED", .right), ("BATCH", .right), ("WAIT", .right),
      ])
    for row in rows {
      let replay = row.message("replay") ?? Message("WhatIfReplay")
      let asked = replay.number("prompt_tokens")
      table.row(
        made(row) + [
          row.word("eviction"),
          asked == 0
            ? "-"
            : NumberText.percent(Double(replay.number("hit_tokens")) / Double(asked)),
          NumberText.grouped(replay.number("evictions")),
          NumberText.grouped(replay.number("refusals")),
          NumberText.grouped(replay.number("preemptions")),
          NumberText.grouped(replay.number("never_fit")),
          NumberText.grouped(replay.number("peak_blocks")),
          NumberText.grouped(row.number("blocks")),
          NumberText.grouped(row.number("wasted_slots")),
          NumberText.fixed(row.real("effective_batch"), 1),
          NumberText.fixed(replay.real("mean_wait_us") / 1e6, 3) + " s",
        ])
    }
    return table
  }
}
