internal import ToolSupport

/// A pool over time, a line for each look, as `vmstat` shows a machine: states as they are, counters
/// as their growth in a second, the hit rate as that since the line before.
package struct StatsRows {
  private static let columns: [(title: String, width: Int)] = [
    ("time", 8), ("held", 6), ("free", 9), ("cached", 9), ("active", 9), ("shared", 9),
    ("run", 6), ("wait", 6), ("alloc/s", 9), ("free/s", 9), ("refus/s", 8), ("preem/s", 8),
    ("evict/s", 8), ("hit", 6), ("int", 6), ("ext", 6),
  ]

  private var last: (stats: Message, milliseconds: UInt64)?
  private var rowsSinceTitles = 0

  package init() {}

  package static var titles: String {
    columns.map { right($0.title, $0.width) }.joined(separator: " ") + "\n"
  }

  /// One line, after the titles where it is time for them.
  /// - Parameters:
  ///   - milliseconds: Since the epoch.
  ///   - titlesEvery: Lines between titles.
  package mutating func next(
    _ stats: Message, at milliseconds: UInt64, titlesEvery: Int = 20
  ) -> String {
    let seconds = last.map { Double(milliseconds - min(milliseconds, $0.milliseconds)) / 1000 } ?? 0
    func rate(_ now: UInt64, _ field: (Message) -> UInt64) -> String {
      guard let last, seconds > 0 else { return "-" }
      let before = field(last.stats)
      // A pool that was reset counts from 0 again.
      let value = Double(now >= before ? now - before : now) / seconds
      return NumberText.fixed(value, value > 0 && value < 10 ? 1 : 0)
    }
    func rate(_ field: String) -> String { rate(stats.number(field)) { $0.number(field) } }
    func refusals(_ stats: Message) -> UInt64 {
      stats.messages("refusals").reduce(0) { $0 &+ $1.number("count") }
    }
    func short(_ ratio: Double) -> String { NumberText.fixed(ratio * 100, 1) }
    let hitRate = last.flatMap { StatsText.hitRate(stats, since: $0.stats) }
    let cells = [
      Self.clock(milliseconds), short(StatsText.usage(stats)), "\(stats.number("free_blocks"))",
      "\(stats.number("cached_blocks"))", "\(stats.number("active_blocks"))",
      "\(stats.number("shared_blocks"))", "\(stats.number("running_sequences"))",
      "\(stats.number("waiting_sequences"))", rate("allocated_blocks"), rate("freed_blocks"),
      rate(refusals(stats), refusals), rate("preemptions"), rate("evictions"),
      hitRate.map(short) ?? "-",
      short(stats.real("internal_fragmentation")), short(stats.real("external_fragmentation")),
    ]
    last = (stats, milliseconds)
    var text = rowsSinceTitles % titlesEvery == 0 ? Self.titles : ""
    rowsSinceTitles += 1
    text += zip(cells, Self.columns).map { Self.right($0, $1.width) }.joined(separator: " ") + "\n"
    return text
  }

  /// The time of day, UTC.
  static func clock(_ milliseconds: UInt64) -> String {
    let seconds = milliseconds / 1000 % 86_400
    func two(_ value: UInt64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
