internal import ForeignText
internal import ToolSupport

/// The parts of one consistent look that counters do not tell: runs by length, what sequences and
/// owners cost, where free blocks lie scattered, what would fit.
package enum SnapshotText {
  /// - Parameter snapshot: `FragmentationSnapshot`.
  /// - Parameter probes: What was asked for with `probe_blocks`.
  package static func render(
    _ snapshot: Message, probes: [UInt64] = [], style: Style = .plain
  ) -> String {
    var lines = usage(snapshot, style)
    lines += runs(snapshot, style)
    lines += self.probes(snapshot, probes, style)
    lines += hotspots(snapshot, style)
    lines += sequences(snapshot, style)
    lines += owners(snapshot, style)
    return lines.joined(separator: "\n") + "\n"
  }

  private static func usage(_ snapshot: Message, _ style: Style) -> [String] {
    let reserve = snapshot.number("reserve_max_slots")
    let held = snapshot.message("stats")?.number("sequence_slots_held") ?? 0
    var lines = [
      style.paint("Usage", .strong)
        + "  by blocks \(NumberText.percent(snapshot.real("usage_by_blocks"))), by slots "
        + "\(NumberText.percent(snapshot.real("usage_by_slots"))): the gap is what blocks hold "
        + "without a token",
      "  \(NumberText.grouped(snapshot.number("partial_blocks"))) blocks partly filled, "
        + "\(NumberText.grouped(snapshot.number("empty_blocks"))) held ahead of their tokens, "
        + "\(NumberText.grouped(snapshot.number("unused_slots"))) slots unused in all",
    ]
    if reserve > 0 {
      lines.append(
        "  reserving the longest (\(NumberText.grouped(snapshot.number("longest_sequence_tokens"))) "
          + "tokens) for each would hold \(NumberText.grouped(reserve)) slots instead of "
          + NumberText.grouped(held))
    }
    return lines
  }

  private static func runs(_ snapshot: Message, _ style: Style) -> [String] {
    let free = snapshot.numbers("free_run_histogram")
    let available = snapshot.numbers("available_run_histogram")
    // A pool has fewer than 2^32 blocks.
    let orders = min(32, max(free.count, available.count))
    guard orders > 0 else { return ["", "No free blocks, so no runs of them."] }
    let most = max(1, (free + available).max() ?? 1)
    var table = TextTable([
      ("  blocks", .right), ("runs of free", .right), ("", .left),
      ("of free and cached", .right), ("", .left),
    ])
    func bar(_ count: UInt64, _ color: Style.Color) -> String {
      let width = count == 0 ? 0 : max(1, Int(count * 24 / most))
      return style.paint(String(repeating: "#", count: width), color)
        + String(repeating: " ", count: 24 - width)
    }
    for order in 0..<orders {
      let low = UInt64(1) << UInt64(order)
      let counts = [free, available].map { $0.count > order ? $0[order] : 0 }
      table.row([
        low == 1 ? "1" : "\(low)-\(low * 2 - 1)", NumberText.grouped(counts[0]),
        bar(counts[0], .active), NumberText.grouped(counts[1]), bar(counts[1], .cached),
      ])
    }
    return ["", style.paint("Runs by length", .strong)] + table.lines() + [
      "  mean: \(NumberText.fixed(snapshot.real("mean_free_run"), 1)) free, "
        + "\(NumberText.fixed(snapshot.real("mean_available_run"), 1)) free and cached"
    ]
  }

  private static func probes(
    _ snapshot: Message, _ asked: [UInt64], _ style: Style
  ) -> [String] {
    let free = snapshot.flags("probe_fits")
    let available = snapshot.flags("probe_fits_available")
    guard !asked.isEmpty, free.count == asked.count, available.count == asked.count else {
      return []
    }
    return ["", style.paint("Would a run fit?", .strong)]
      + zip(asked, zip(free, available)).map { wanted, fits in
        let answer =
          fits.0
          ? style.paint("yes", .good)
          : fits.1 ? "yes, if cached blocks are evicted" : style.paint("no", .bad)
        return "  \(NumberText.grouped(wanted)) blocks: \(answer)"
      }
  }

  private static func hotspots(_ snapshot: Message, _ style: Style) -> [String] {
    let spots = snapshot.messages("hotspots")
    guard !spots.isEmpty else { return [] }
    var table = TextTable([
      ("  BLOCKS", .left), ("AVAILABLE", .right), ("IN RUNS", .right),
    ])
    for spot in spots {
      let first = spot.number("first_block")
      table.row([
        "  \(first)-\(first + max(1, spot.number("blocks")) - 1)",
        NumberText.grouped(spot.number("available_blocks")),
        NumberText.grouped(spot.number("runs")),
      ])
    }
    return ["", style.paint("Where it is most scattered", .strong)] + table.lines()
  }

  private static func sequences(_ snapshot: Message, _ style: Style) -> [String] {
    let footprints = snapshot.messages("sequences")
    guard !footprints.isEmpty else { return [] }
    var table = TextTable([
      ("  SEQUENCE", .right), ("TOKENS", .right), ("BLOCKS", .right), ("SHARED", .right),
      ("RUNS", .right), ("UNUSED", .right), ("PARTS", .right), ("AGE", .right), ("LABEL", .left),
    ])
    for footprint in footprints {
      let sequence = footprint.message("sequence") ?? Message("Sequence")
      table.row([
        "\(sequence.number("sequence_id"))", "\(sequence.number("tokens"))",
        "\(SequencesText.blocks(sequence))", "\(sequence.number("shared_blocks"))",
        "\(sequence.number("runs"))", "\(footprint.number("unused_slots"))",
        "\(footprint.number("separated_runs"))", age(footprint.number("age_ms")),
        ForeignText.printable(sequence.text("label")),
      ])
    }
    return [
      "",
      style.paint("Sequences that cost most", .strong)
        + "  unused: slots; parts: pairs of runs that would be one without it",
    ] + table.lines()
  }

  private static func owners(_ snapshot: Message, _ style: Style) -> [String] {
    let owners = snapshot.messages("owners")
    guard !owners.isEmpty else { return [] }
    var table = TextTable([
      ("  SESSION", .right), ("BLOCKS", .right), ("RAW", .right), ("PINNED", .right),
      ("SEQUENCES", .right), ("RUNNING", .right), ("UNUSED", .right), ("IDLE", .right),
      ("LABEL", .left),
    ])
    for owner in owners {
      let name = ForeignText.printable(owner.text("name"))
      table.row(
        [
          "session", "blocks", "raw_blocks", "pinned_blocks", "sequences", "running_sequences",
          "unused_slots",
        ].map { "\(owner.number($0))" } + [age(owner.number("idle_ms")), name.isEmpty ? "-" : name])
    }
    return ["", style.paint("Who holds most", .strong)] + table.lines()
  }

  /// Milliseconds as people say them; "-" where they are not known.
  static func age(_ milliseconds: UInt64) -> String {
    let seconds = milliseconds / 1000
    switch seconds {
    case 0: return milliseconds == 0 ? "-" : "\(milliseconds) ms"
    case ..<120: return "\(seconds) s"
    case ..<7_200: return "\(seconds / 60) min"
    default: return "\(seconds / 3_600) h"
    }
  }
}
