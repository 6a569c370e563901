internal import ForeignText
internal import ToolSupport

/// One look at a pool, for people.
package enum StatsText {
  /// The six states of a block, in the order they are shown, with the fields of `Stats`.
  static let states: [(name: String, field: String, color: Style.Color)] = [
    ("free", "free_blocks", .free),
    ("cached", "cached_blocks", .cached),
    ("active", "active_blocks", .active),
    ("shared", "shared_blocks", .shared),
    ("pinned", "pinned_blocks", .pinned),
    ("pending", "lazy_pending_blocks", .pending),
  ]

  /// - Parameter stats: With runs and slots.
  package static func render(_ stats: Message, style: Style = .plain) -> String {
    var lines = [head(stats, style), ""]
    lines += blocks(stats, style)
    lines += fragmentation(stats, style)
    lines += sequences(stats, style)
    lines += counters(stats, style)
    lines += classes(stats, style)
    lines += host(stats, style)
    return lines.joined(separator: "\n") + "\n"
  }

  /// Of the tokens that were looked up since `before`, the share that the cache had; nil where none
  /// were. A pool that was reset since then counts from 0 again.
  static func hitRate(_ stats: Message, since before: Message) -> Double? {
    var hits = stats.number("prefix_hit_tokens")
    var asked = stats.number("prefix_query_tokens")
    let (hitsBefore, askedBefore) = (
      before.number("prefix_hit_tokens"), before.number("prefix_query_tokens")
    )
    if asked >= askedBefore, hits >= hitsBefore {
      hits -= hitsBefore
      asked -= askedBefore
    }
    return asked == 0 ? nil : share(hits, of: asked)
  }

  // MARK: Parts

  static func head(_ stats: Message, _ style: Style) -> String {
    var line = style.paint("Pool '\(ForeignText.printable(stats.text("pool")))'", .strong)
    line += " at revision \(NumberText.grouped(stats.number("revision"))): "
    line += "\(NumberText.grouped(stats.number("capacity_blocks"))) blocks"
    if stats.number("block_size") > 0 { line += " of \(stats.number("block_size")) tokens" }
    if stats.number("capacity_bytes") > 0 {
      line += ", \(ByteText.short(stats.number("capacity_bytes")))"
    }
    return line
  }

  /// Held by somebody, as a share of the pool.
  static func usage(_ stats: Message) -> Double {
    share(used(stats), of: stats.number("capacity_blocks"))
  }

  static func used(_ stats: Message) -> UInt64 {
    stats.number("active_blocks") + stats.number("shared_blocks") + stats.number("pinned_blocks")
  }

  static func share(_ part: UInt64, of whole: UInt64) -> Double {
    whole == 0 ? 0 : Double(part) / Double(whole)
  }

  private static func blocks(_ stats: Message, _ style: Style) -> [String] {
    let capacity = stats.number("capacity_blocks")
    var table = TextTable([("", .left), ("", .right), ("", .right), ("", .right), ("", .left)])
    func row(_ name: String, _ field: String, _ note: String) {
      let count = stats.number(field)
      table.row([
        "  " + name, NumberText.grouped(count), NumberText.percent(share(count, of: capacity)),
        bytes(of: field, stats), note,
      ])
    }
    row("free", "free_blocks", "no reference, no content")
    row("cached", "cached_blocks", "no reference, content kept: evictable")
    row("active", "active_blocks", "one reference")
    row("shared", "shared_blocks", "more references than one")
    row("pinned", "pinned_blocks", "held by copies under way alone")
    if stats.number("lazy_pending_blocks") > 0 {
      row("pending", "lazy_pending_blocks", "freed, waiting for their batch")
    }
    let states = table.lines(withTitles: false).count
    row("available", "available_blocks", "what an allocation can take: free, cached and pending")
    if stats.number("reserved_blocks") > 0 {
      row("reserved", "reserved_blocks", "of these, promised")
    }
    if stats.number("admission_limit_blocks") > 0 {
      row("admitted up to", "admission_limit_blocks", "memory-aware admission")
      row("owed", "owed_blocks", "that running sequences still need")
    }
    row("high watermark", "high_watermark_blocks", "most held at once")
    if stats.number("raw_blocks") > 0 {
      row("raw", "raw_blocks", "of those held, without a sequence: their fill is unknown")
    }
    if stats.number("rounding_blocks") > 0 {
      row("rounding", "rounding_blocks", "of the active ones, beside what was asked for")
    }
    var lines = table.lines(withTitles: false)
    lines.insert("", at: states)
    return [
      style.paint("Blocks", .strong) + "  " + bar(stats, width: 40, style)
        + "  \(NumberText.percent(usage(stats))) held"
    ] + lines
  }

  /// Of the blocks that `field` counts; empty in a pool without a geometry.
  private static func bytes(of field: String, _ stats: Message) -> String {
    guard stats.number("capacity_bytes") > 0 else { return "" }
    let inBytes = field.replacing("_blocks", with: "_bytes")
    if stats.knows(inBytes) { return ByteText.short(stats.number(inBytes)) }
    let each = stats.number("bytes_per_block")
    return each > 0 ? ByteText.short(Double(stats.number(field)) * Double(each)) : ""
  }

  private static func fragmentation(_ stats: Message, _ style: Style) -> [String] {
    var lines = ["", style.paint("Fragmentation", .strong)]
    let held = stats.number("sequence_slots_held")
    let used = stats.number("sequence_slots_used")
    lines.append(
      "  internal  \(NumberText.percent(stats.real("internal_fragmentation")))"
        + "  \(NumberText.grouped(held - min(used, held))) of \(NumberText.grouped(held)) slots that"
        + " sequences hold are unused: tails of last blocks, and blocks held ahead")
    lines.append(
      "  external  \(NumberText.percent(stats.real("external_fragmentation")))"
        + "  of the free blocks are outside the longest free run")
    for (name, field) in [("free", "free_runs"), ("available", "available_runs")] {
      guard let runs = stats.message(field) else { continue }
      lines.append(
        "  \(name) runs: \(NumberText.grouped(runs.number("count"))), longest "
          + "\(NumberText.grouped(runs.number("largest"))) blocks")
    }
    let refusals = stats.number("refusals_by_fragmentation")
    lines.append(
      "  refusals caused by fragmentation: \(NumberText.grouped(refusals))"
        + (refusals == 0 ? "; where blocks need no run there are none" : ""))
    if stats.flag("defragment_advised") {
      lines.append(
        "  " + style.paint("defragmenting is advised", .bad) + ": see quire defrag")
    }
    return lines
  }

  private static func sequences(_ stats: Message, _ style: Style) -> [String] {
    let states = ["running", "waiting", "preempted", "swapped"].map {
      "\(NumberText.grouped(stats.number($0 + "_sequences"))) \($0)"
    }
    return ["", style.paint("Sequences", .strong) + "  " + states.joined(separator: ", ")]
  }

  private static func counters(_ stats: Message, _ style: Style) -> [String] {
    func count(_ field: String) -> String { NumberText.grouped(stats.number(field)) }
    var lines = ["", style.paint("Since the pool was made or reset", .strong)]
    lines.append(
      "  allocated  \(count("allocated_blocks")) blocks in \(count("allocate_calls")) operations")
    lines.append(
      "  freed      \(count("freed_blocks")) blocks in \(count("free_calls")) operations")
    lines.append(
      "  forks      \(count("forks")); copies \(count("copies")), "
        + "\(count("pending_copies")) not acknowledged")
    lines.append("  preempted  \(count("preemptions")) sequences")
    let byPolicy = stats.messages("evictions_by_policy").map {
      "\($0.word("policy")) \(NumberText.grouped($0.number("count")))"
    }
    lines.append(
      "  evicted    \(count("evictions")) cached blocks"
        + (byPolicy.isEmpty ? "" : ": " + byPolicy.joined(separator: ", "))
        + (stats.number("evictions_ahead") > 0
          ? "; \(count("evictions_ahead")) ahead of need" : ""))
    let asked = stats.number("prefix_query_tokens")
    lines.append(
      "  prefixes   \(count("prefix_hit_tokens")) of \(NumberText.grouped(asked)) tokens found: "
        + "\(NumberText.percent(share(stats.number("prefix_hit_tokens"), of: asked)))")
    if stats.number("moved_blocks") > 0 || stats.number("abandoned_moves") > 0 {
      lines.append(
        "  moved      \(count("moved_blocks")) blocks, \(count("abandoned_moves")) given up")
    }
    let refusals = stats.messages("refusals").map {
      "\($0.word("reason")) \(NumberText.grouped($0.number("count")))"
    }
    lines.append(
      "  refused    " + (refusals.isEmpty ? "nothing" : refusals.joined(separator: ", ")))
    return lines
  }

  private static func classes(_ stats: Message, _ style: Style) -> [String] {
    let classes = stats.messages("size_classes")
    guard !classes.isEmpty else { return [] }
    var table = TextTable(
      [("  tokens", .right)]
        + ["blocks", "free", "cached", "active", "shared", "pinned", "longest run"].map {
          ($0, .right)
        })
    for part in classes {
      table.row(
        [
          "block_size", "capacity_blocks", "free_blocks", "cached_blocks", "active_blocks",
          "shared_blocks", "pinned_blocks", "largest_available_run",
        ].map { NumberText.grouped(part.number($0)) })
    }
    return ["", style.paint("Size classes", .strong)] + table.lines()
  }

  private static func host(_ stats: Message, _ style: Style) -> [String] {
    guard stats.number("host_capacity_blocks") > 0 else { return [] }
    func count(_ field: String) -> String { NumberText.grouped(stats.number(field)) }
    return [
      "",
      style.paint("Host tier", .strong)
        + "  \(count("host_free_blocks")) of \(count("host_capacity_blocks")) blocks free, "
        + "\(count("host_active_blocks")) active, \(count("host_shared_blocks")) shared, "
        + "\(count("host_pinned_blocks")) pinned",
      "  swapped    \(count("swapped_out_blocks")) blocks out, \(count("swapped_in_blocks")) in",
    ]
  }

  /// The pool as a line: what is held from the left, what is free at the right. In colour by state,
  /// else by letter.
  static func bar(_ stats: Message, width: Int, _ style: Style) -> String {
    let capacity = stats.number("capacity_blocks")
    guard capacity > 0 else { return "[" + String(repeating: ".", count: width) + "]" }
    let order: [(field: String, letter: Character, color: Style.Color)] = [
      ("active_blocks", "a", .active), ("shared_blocks", "s", .shared),
      ("pinned_blocks", "p", .pinned), ("lazy_pending_blocks", "l", .pending),
      ("cached_blocks", "c", .cached),
    ]
    var line = ""
    var counted: UInt64 = 0
    var shown = 0
    for state in order {
      counted += stats.number(state.field)
      // The parts of a pool are no more than the pool; of one that says so the line is full.
      let part = min(1, Double(counted) / Double(capacity))
      let end = Int((part * Double(width)).rounded())
      let cell: Character = style.hasColor ? "|" : state.letter
      line += style.paint(String(repeating: cell, count: max(0, end - shown)), state.color)
      shown = max(shown, end)
    }
    return "[" + line + String(repeating: style.hasColor ? " " : ".", count: width - shown) + "]"
  }
}
