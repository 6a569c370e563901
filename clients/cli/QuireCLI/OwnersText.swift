internal import ForeignText
internal import ToolSupport

extension Command {
  func owners(_ connection: Connection) throws(Failure) {
    var request = connection.request("GetSnapshotRequest")
    request.set("top_sequences", 1)
    var owners = try connection.call(
      "Analyzer/GetSnapshot", request, reply: "FragmentationSnapshot"
    ).messages("owners")
    if let limit = invocation.whole("--limit") { owners = Array(owners.prefix(Int(limit))) }
    if invocation.format == .csv { return try write(owners, of: "OwnerFootprint") }
    request = connection.request("GetHistoryRequest")
    let seconds = invocation.number("--since") ?? 7_200
    request.set("since_ms", Self.now - min(Self.now, UInt64(seconds * 1_000)))
    // The samples are not what is asked for.
    request.set("max_samples", 720)
    var history = try connection.call("Analyzer/GetHistory", request, reply: "History")
    if invocation.format == .json {
      try write(owners, of: "OwnerFootprint")
      history.set("samples", list: [Message]())
      return try write(history, isFirst: false)
    }
    try terminal.write(OwnersText.render(owners, history, style: terminal.style))
  }
}

package enum OwnersText {
  /// Stretches of time in a line of the table; so many where it is narrow.
  static let steps = 24
  static let narrowSteps = 12

  /// - Parameters:
  ///   - owners: `OwnerFootprint`.
  ///   - history: `History`.
  package static func render(
    _ owners: [Message], _ history: Message, style: Style = .plain
  ) -> String {
    guard !owners.isEmpty else { return "nobody holds anything\n" }
    // 80 columns have room for labels of 18, and of fewer where numbers are long.
    let isNarrow = style.width < 100
    var columns: [(String, TextTable.Alignment)] = [
      ("SESSION", .right), ("BLOCKS", .right), ("RAW", .right),
    ]
    if !isNarrow { columns += [("PINNED", .right), ("SEQUENCES", .right)] }
    columns += [
      ("RUNNING", .right), ("HELD IDLE", .right), ("GREW", .right), ("OVER TIME", .left),
      ("LABEL", .left),
    ]
    var table = TextTable(columns)
    let series = history.messages("owners")
    let most = series.flatMap { $0.numbers("blocks") }.max() ?? 0
    for owner in owners {
      let own = series.first {
        $0.number("session") == owner.number("session") && $0.text("name") == owner.text("name")
      }
      let idle = owner.number("held_idle_ms")
      var cells = [
        owner.number("session") == 0 ? "default" : "\(owner.number("session"))",
        NumberText.grouped(owner.number("blocks")), NumberText.grouped(owner.number("raw_blocks")),
      ]
      if !isNarrow {
        cells += ["pinned_blocks", "sequences"].map { NumberText.grouped(owner.number($0)) }
      }
      cells += [
        NumberText.grouped(owner.number("running_sequences")),
        idle == 0 ? "-" : "\(idle / 1_000) s",
        idle == 0 ? "-" : "\(owner.signed("idle_growth_blocks"))",
        own.map {
          line($0.numbers("blocks"), most: most, steps: isNarrow ? narrowSteps : steps)
        } ?? "-",
        owner.text("name").isEmpty ? "-" : ForeignText.printable(owner.text("name")),
      ]
      table.row(cells)
    }
    var lines = table.lines()
    lines[0] = style.paint(lines[0], .strong)
    let times = history.numbers("owner_times_ms")
    if let first = times.first, let last = times.last, times.count > 1 {
      lines += [
        "",
        "over time: \(times.count) looks in \((last - first) / 1_000) s, the tallest is "
          + "\(NumberText.grouped(most)) blocks",
      ]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static let bars = Array(" ▁▂▃▄▅▆▇█")

  /// The highest of each stretch as a bar, all owners to the same scale.
  package static func line(_ values: [UInt64], most: UInt64, steps: Int = steps) -> String {
    if values.isEmpty || most == 0 { return "-" }
    let count = min(steps, values.count)
    return String(
      (0..<count).map { step in
        let part = values[step * values.count / count..<(step + 1) * values.count / count]
        let value = part.max() ?? 0
        // What is there is seen.
        return bars[value == 0 ? 0 : max(1, Int((value * 8 + most / 2) / most))]
      })
  }
}
