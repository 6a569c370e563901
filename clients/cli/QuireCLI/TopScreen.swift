internal import ForeignText
internal import ToolSupport

/// What `top` shows and what keys have made of it. Changed by looks at the pool and by keys, rendered by
/// a function of it and the window's size: nothing here knows a terminal.
package struct TopState {
  package var target = ""
  package var pool = "default"
  /// Seconds between looks.
  package var interval = 1.0
  package var isPaused = false
  package var showsHelp = false
  /// Why the latest look failed; nil = it did not.
  package var problem: String?
  package private(set) var stats: Message?
  package private(set) var sequences: [Message] = []
  /// Sequences there are beside those that were fetched.
  package private(set) var hasMore = false
  private var rates: [String: Double] = [:]
  /// Of the tokens looked up between the last two looks; nil = none were, or there was one look only.
  private var hitRate: Double?
  /// Share of the pool that was held, a look each.
  private var usage: [Double] = []
  private var looked: UInt64 = 0
  var order = SequenceOrder.blocks
  var isReversed = false
  /// First sequence on the screen.
  var firstRow = 0

  package init() {}

  /// Takes in a look at the pool.
  /// - Parameters:
  ///   - milliseconds: Since the epoch.
  ///   - hasMore: There are more sequences than these.
  package mutating func look(
    _ stats: Message, _ sequences: [Message], hasMore: Bool = false, at milliseconds: UInt64
  ) {
    if let before = self.stats, milliseconds > looked {
      let seconds = Double(milliseconds - looked) / 1000
      for (name, count) in Self.counters(stats) {
        let old = Self.counters(before)[name] ?? 0
        // A pool that was reset counts from 0 again.
        rates[name] = Double(count >= old ? count - old : count) / seconds
      }
      hitRate = StatsText.hitRate(stats, since: before)
    }
    self.stats = stats
    self.sequences = sequences
    self.hasMore = hasMore
    looked = milliseconds
    problem = nil
    usage.append(StatsText.usage(stats))
    if usage.count > 512 { usage.removeFirst() }
  }

  /// Another pool: what was seen of the last one says nothing.
  package mutating func changePool(to name: String) {
    pool = name
    stats = nil
    sequences = []
    rates = [:]
    hitRate = nil
    usage = []
    firstRow = 0
  }

  private static func counters(_ stats: Message) -> [String: UInt64] {
    [
      "alloc": stats.number("allocated_blocks"), "free": stats.number("freed_blocks"),
      "refused": stats.messages("refusals").reduce(0) { $0 &+ $1.number("count") },
      "preempted": stats.number("preemptions"), "evicted": stats.number("evictions"),
    ]
  }

  // MARK: Keys

  package enum Key: Equatable, Sendable {
    case letter(Character)
    case up, down, pageUp, pageDown, home, end
  }

  package enum Wish: Equatable, Sendable {
    case nothing
    case redraw
    case look
    case nextPool
    case quit
  }

  /// - Parameter rows: Sequences that the window has room for.
  package mutating func press(_ key: Key, rows: Int) -> Wish {
    switch key {
    case .letter("q"), .letter("Q"): return showsHelp ? closeHelp() : .quit
    case .letter("h"), .letter("?"): showsHelp.toggle()
    case .letter(" "): isPaused.toggle()
    case .letter("n"): return .nextPool
    case .letter("+"), .letter("="): interval = min(60, interval * 2)
    case .letter("-"): interval = max(0.125, interval / 2)
    case .letter("R"): isReversed.toggle()
    case .letter(let letter):
      guard let chosen = Self.sortKeys.first(where: { $0.key == letter })?.order else {
        return showsHelp ? closeHelp() : .nothing
      }
      order = chosen
      firstRow = 0
    case .up: firstRow -= 1
    case .down: firstRow += 1
    case .pageUp: firstRow -= max(1, rows)
    case .pageDown: firstRow += max(1, rows)
    case .home: firstRow = 0
    case .end: firstRow = sequences.count
    }
    firstRow = max(0, min(firstRow, sequences.count - max(1, rows)))
    return .redraw
  }

  private mutating func closeHelp() -> Wish {
    showsHelp = false
    return .redraw
  }

  static let sortKeys: [(key: Character, order: SequenceOrder)] = [
    ("b", .blocks), ("t", .tokens), ("s", .shared), ("r", .runs), ("p", .preemptions),
    ("o", .priority), ("i", .id),
  ]

  // MARK: The screen

  /// Lines above the sequences.
  private static let headLines = 9

  /// Sequences that a window has room for.
  package static func rows(height: Int) -> Int { max(0, height - headLines - 1) }

  /// At most `style.height` lines of at most `style.width` columns.
  package func render(style: Style, at milliseconds: UInt64) -> [String] {
    var lines = head(style, milliseconds)
    if showsHelp {
      lines += Self.help
    } else {
      lines += table(style)
    }
    let room = max(1, style.height - 1)
    lines = Array(lines.prefix(room))
    lines += Array(repeating: "", count: room - lines.count)
    lines.append(footer(style))
    return lines.map { Self.clipped($0, to: style.width) }
  }

  private func head(_ style: Style, _ milliseconds: UInt64) -> [String] {
    var title =
      "quire top  pool '\(ForeignText.printable(pool))' at \(ForeignText.printable(target))  "
    title += StatsRows.clock(milliseconds) + " UTC"
    title += isPaused ? "  paused" : "  every \(NumberText.trimmed(interval)) s"
    var lines = [style.paint(title, .strong)]
    if let problem { lines.append(style.paint(ForeignText.printable(problem), .bad)) }
    guard let stats else {
      lines += [problem == nil ? "asking the server" : "", ""]
      return lines + Array(repeating: "", count: max(0, Self.headLines - lines.count))
    }
    if problem == nil {
      lines.append(StatsText.head(stats, Style()))
    }
    func count(_ field: String) -> String { NumberText.grouped(stats.number(field)) }
    func rate(_ name: String) -> String {
      rates[name].map { NumberText.fixed($0, $0 > 0 && $0 < 10 ? 1 : 0) + "/s" } ?? "-"
    }
    let width = max(10, min(60, style.width - 36))
    lines.append(
      "Blocks    \(StatsText.bar(stats, width: width, style))  "
        + "\(NumberText.percent(StatsText.usage(stats))) held")
    lines.append(
      "          "
        + StatsText.states.filter { $0.name != "pending" || stats.number($0.field) > 0 }
        .map { style.paint($0.name, $0.color) + " " + count($0.field) }.joined(separator: "  ")
        + "  high " + count("high_watermark_blocks"))
    lines.append(
      "History   " + Self.sparkline(usage, width: width + 2))
    let largest = stats.message("available_runs")?.number("largest") ?? 0
    lines.append(
      "Fragments internal \(NumberText.percent(stats.real("internal_fragmentation")))  external "
        + "\(NumberText.percent(stats.real("external_fragmentation")))  run "
        + "\(NumberText.grouped(largest)) of \(count("available_blocks"))  refusals by it "
        + count("refusals_by_fragmentation"))
    lines.append(
      "Rates     alloc \(rate("alloc"))  free \(rate("free"))  refused \(rate("refused"))  "
        + "preempted \(rate("preempted"))  evicted \(rate("evicted"))  hits "
        + (hitRate.map(NumberText.percent) ?? "-"))
    lines.append(
      "Sequences "
        + ["running", "waiting", "preempted", "swapped"].map {
          "\(count($0 + "_sequences")) \($0)"
        }.joined(separator: "  ") + (hasMore ? "  (the first \(sequences.count) are shown)" : ""))
    lines.append("")
    return lines
  }

  private func table(_ style: Style) -> [String] {
    guard !sequences.isEmpty else { return stats == nil ? [] : ["no sequences"] }
    let sorted = isReversed ? order.sorted(sequences).reversed() : order.sorted(sequences)
    let rows = Self.rows(height: style.height)
    let shown = Array(sorted.dropFirst(firstRow).prefix(max(0, rows - 1)))
    var lines = SequencesText.table(shown, isNarrow: style.width < SequencesText.narrow).lines()
    lines[0] = style.paint(TextTable.padded(lines[0], to: style.width), .inverse)
    return lines
  }

  private func footer(_ style: Style) -> String {
    let keys = Self.sortKeys.map {
      $0.order == order ? "[\($0.key)]" : "\($0.key)"
    }.joined(separator: " ")
    return style.paint(
      "q quit  h help  space pause  n pool  by \(order.rawValue): \(keys)  R reverse",
      .free)
  }

  private static let help = [
    "Keys",
    "  q            quit              space      pause, and go on",
    "  n            next pool         + -        slower, quicker",
    "  up down      scroll            PgUp PgDn  a page; Home, End",
    "  b blocks  t tokens  s shared  r runs  p preemptions  o priority  i id: sort by it",
    "  R            reverse the order",
    "",
    "Blocks: a active, s shared, p pinned, l pending, c cached, the rest is free. History: the share",
    "of the pool that was held, a look each. External: free blocks outside the longest free run.",
    "Internal: slots that sequences hold and do not use. Run: the longest of available blocks.",
    "Refusals by it: with enough blocks, and no run.",
    "Hits: the share of the tokens looked up since the last look that the cache had.",
    "",
    "h or q: back",
  ]

  private static let bars = Array(" ▁▂▃▄▅▆▇█")

  /// The latest values, 0 to 1, a column each.
  static func sparkline(_ values: [Double], width: Int) -> String {
    String(
      values.suffix(width).map { bars[max(0, min(8, Int(($0 * 8).rounded(.up))))] })
  }

  /// Cut at the window's edge; what switches colour takes no column and is kept.
  static func clipped(_ line: String, to width: Int) -> String {
    var text = ""
    var columns = 0
    var isCode = false
    for letter in line {
      if letter == "\u{1B}" { isCode = true }
      if isCode {
        text.append(letter)
        if letter.isLetter { isCode = false }
      } else {
        // Behind a wide letter that has no room nothing else stands.
        columns += TextWidth.columns(letter)
        if columns <= width { text.append(letter) }
      }
    }
    return text
  }
}

/// Keys out of the bytes that a terminal sends for them.
package enum KeyReader {
  /// An escape sequence that is not known is passed over whole, and so is a lone escape.
  package static func keys(in bytes: [UInt8]) -> [TopState.Key] {
    var keys: [TopState.Key] = []
    var rest = bytes[...]
    while let byte = rest.popFirst() {
      guard byte == 0x1B else {
        if byte >= 0x20, byte < 0x7F { keys.append(.letter(Character(Unicode.Scalar(byte)))) }
        continue
      }
      guard let next = rest.first, next == UInt8(ascii: "[") || next == UInt8(ascii: "O") else {
        continue
      }
      rest.removeFirst()
      var parameter: UInt8 = 0
      while let digit = rest.first, !(0x40...0x7E).contains(digit) {
        if parameter == 0 { parameter = digit }
        rest.removeFirst()
      }
      guard let final = rest.popFirst() else { break }
      switch (final, parameter) {
      case (UInt8(ascii: "A"), _): keys.append(.up)
      case (UInt8(ascii: "B"), _): keys.append(.down)
      case (UInt8(ascii: "H"), _), (UInt8(ascii: "~"), UInt8(ascii: "1")): keys.append(.home)
      case (UInt8(ascii: "F"), _), (UInt8(ascii: "~"), UInt8(ascii: "4")): keys.append(.end)
      case (UInt8(ascii: "~"), UInt8(ascii: "5")): keys.append(.pageUp)
      case (UInt8(ascii: "~"), UInt8(ascii: "6")): keys.append(.pageDown)
      default: break
      }
    }
    return keys
  }
}
