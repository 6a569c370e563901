internal import KVBlocks

/// Curves and bars of a report, as SVG.
struct ReportCharts {
  typealias Words = ReportWords

  let report: FragmentationReport
  /// Oldest first.
  let points: [HistorySample]

  // Units of a chart over time.
  private static let width = 1_070.0
  private static let height = 230.0
  private static let left = 64.0
  private static let right = 1_000.0
  private static let top = 10.0
  private static let bottom = 200.0

  /// The frame of a chart of some size, with what it shows.
  private static func svg(
    _ width: Double, _ height: Double, _ label: String, _ body: String, isFixed: Bool = false
  ) -> String {
    "<svg class=\"chart\"" + (isFixed ? " style=\"max-width:\(Markup.number(width))px\"" : "")
      + " viewBox=\"0 0 \(Markup.number(width)) \(Markup.number(height))\" "
      + "role=\"img\" aria-label=\"\(Markup.escaped(label))\">\(body)</svg>\n"
  }

  private static func text(
    _ x: Double, _ y: Double, _ text: String, anchor: String = "start", isStrong: Bool = false
  ) -> String {
    "<text x=\"\(Markup.number(x))\" y=\"\(Markup.number(y))\" text-anchor=\"\(anchor)\""
      + (isStrong ? " class=\"strong\"" : "") + ">\(Markup.escaped(text))</text>"
  }

  // MARK: Over time

  private func x(_ milliseconds: UInt64) -> Double {
    let first = points[0].timeMilliseconds
    let span = max(1, points[points.count - 1].timeMilliseconds - first)
    return Self.left + (Self.right - Self.left) * Double(milliseconds - first) / Double(span)
  }

  /// `share` 0 at the bottom, 1 at the top.
  private static func y(_ share: Double) -> Double {
    bottom - (bottom - top) * min(max(share, 0), 1)
  }

  private static func point(_ x: Double, _ y: Double) -> String {
    "\(Markup.number(x)) \(Markup.number(y))"
  }

  /// Lines at quarters with what they mean, and times.
  private func axes(_ label: (Double) -> String) -> String {
    var body = ""
    for quarter in 0...4 {
      let share = Double(quarter) / 4
      let y = Self.y(share)
      body +=
        "<path class=\"grid\" d=\"M\(Markup.number(Self.left)) \(Markup.number(y))H\(Markup.number(Self.right))\"/>"
      body += Self.text(Self.left - 8, y + 4, label(share), anchor: "end")
    }
    let first = points[0].timeMilliseconds
    let last = points[points.count - 1].timeMilliseconds
    let steps: UInt64 = last - first < 4_000 ? 1 : 4
    for step in 0...steps {
      let time = first + (last - first) * step / steps
      body += Self.text(
        x(time), Self.bottom + 20, Words.clock(time),
        anchor: step == 0 ? "start" : step == steps ? "end" : "middle")
    }
    return body
  }

  /// Blocks of a state, by its raw value.
  static func blocks(_ stats: PoolStats, _ state: Int) -> UInt32 {
    switch state {
    case 0: stats.free
    case 1: stats.cached
    case 2: stats.active
    case 3: stats.shared
    case 4: stats.pinned
    default: stats.lazyPending
    }
  }

  /// Blocks by state, one upon the other, with the watermark, the peak, and preemptions as ticks.
  func utilisation() -> String {
    let blocks = Double(report.look.stats.blocks)
    var body = axes { Words.grouped(UInt64(($0 * blocks).rounded())) }
    var floor = points.map { _ in 0.0 }
    for state in [2, 3, 4, 1, 5] {
      let roof = zip(floor, points).map { $0 + Double(Self.blocks($1.stats, state)) / blocks }
      defer { floor = roof }
      if zip(floor, roof).allSatisfy({ $0 == $1 }) { continue }
      let above = zip(points, roof).map { Self.point(x($0.timeMilliseconds), Self.y($1)) }
      let below = zip(points, floor).map { Self.point(x($0.timeMilliseconds), Self.y($1)) }
      body +=
        "<path fill=\"url(#s\(state))\" d=\"M\(above.joined(separator: "L"))"
        + "L\(below.reversed().joined(separator: "L"))Z\"><title>\(BlockPicture.names[state])</title></path>"
    }
    body += level("peak", Double(report.look.stats.highWatermark) / blocks, "most used")
    if report.configuration.watermarkBlocks > 0 {
      body += level(
        "limit", 1 - Double(report.configuration.watermarkBlocks) / blocks, "watermark")
    }
    var ticks = ""
    for (before, after) in zip(points, points.dropFirst())
    where after.stats.preemptions > before.stats.preemptions {
      ticks += "M\(Markup.number(x(after.timeMilliseconds))) \(Markup.number(Self.bottom))v-13"
    }
    if !ticks.isEmpty {
      body += "<path class=\"tick\" d=\"\(ticks)\"><title>preemptions</title></path>"
    }
    return Self.svg(Self.width, Self.height, "Blocks by state over time", body)
  }

  /// A line across, named at its end.
  private func level(_ kind: String, _ share: Double, _ name: String) -> String {
    let y = Self.y(share)
    return
      "<path class=\"\(kind)\" d=\"M\(Markup.number(Self.left)) \(Markup.number(y))H\(Markup.number(Self.right))\"/>"
      + Self.text(Self.right + 6, y + 4, name)
  }

  func fragmentation() -> String {
    var body = axes { "\(Int($0 * 100)) %" }
    var ends: [(Double, String)] = []
    var curves: [(String, (HistorySample) -> Double)] = [
      ("external", { $0.externalFragmentation }), ("internal", { $0.internalFragmentation }),
    ]
    if report.configuration.cachesPrefixes {
      curves.insert(("with cached", { $0.availableFragmentation }), at: 0)
    }
    for (name, ratio) in curves {
      let kind = name == "with cached" ? "available" : name
      let line = points.map { Self.point(x($0.timeMilliseconds), Self.y(ratio($0))) }
      body += "<path class=\"curve \(kind)\" d=\"M\(line.joined(separator: "L"))\"/>"
      ends.append((Self.y(ratio(points[points.count - 1])), name))
    }
    // Names at the ends of their lines, not on top of each other.
    ends.sort { $0.0 < $1.0 }
    for i in ends.indices {
      let room = Double(ends.count - 1 - i) * 15
      ends[i].0 = max(min(ends[i].0, Self.bottom - room), i == 0 ? Self.top : ends[i - 1].0 + 15)
    }
    for (y, kind) in ends { body += Self.text(Self.right + 6, y + 4, kind, isStrong: true) }
    return Self.svg(Self.width, Self.height, "Fragmentation over time", body)
  }

  // MARK: Now

  /// Where there is no past: the pool as it is, in one bar.
  func bar() -> String {
    let stats = report.look.stats
    let blocks = Double(stats.blocks)
    let counts = [
      (2, stats.active), (3, stats.shared), (4, stats.pinned), (1, stats.cached),
      (5, stats.lazyPending), (0, stats.free),
    ]
    var body = ""
    var begin = 0.0
    for (state, count) in counts where count > 0 {
      let width = Double(count) / blocks * 1_070
      body +=
        "<rect x=\"\(Markup.number(begin))\" y=\"0\" width=\"\(Markup.number(width))\" height=\"34\" "
        + "fill=\"url(#s\(state))\"><title>\(Words.count(count, "block")) \(BlockPicture.names[state])"
        + "</title></rect>"
      begin += width
    }
    return Self.svg(1_070, 34, "Blocks by state", body)
  }

  /// Groups of bars on a logarithmic scale, each with its number above it.
  static func bars(
    _ label: String, _ names: [String], _ series: [(state: Int, counts: [UInt64])]
  ) -> String {
    let most = series.flatMap(\.counts).max() ?? 0
    let slot = max(42.0, min(76, 500 / Double(max(1, names.count))))
    let width = max(500, slot * Double(names.count) + 10)
    let top = log2(most)
    var body = "<path class=\"grid\" d=\"M0 160H\(Markup.number(width))\"/>"
    for (place, name) in names.enumerated() {
      let thick = (slot - 10) / Double(series.count)
      for (i, one) in series.enumerated() where place < one.counts.count && one.counts[place] > 0 {
        let height = max(2, log2(one.counts[place]) / max(top, 1) * 130)
        let x = Double(place) * slot + 5 + Double(i) * thick
        body +=
          "<rect x=\"\(Markup.number(x))\" y=\"\(Markup.number(160 - height))\" "
          + "width=\"\(Markup.number(thick - 1))\" height=\"\(Markup.number(height))\" "
          + "fill=\"url(#s\(one.state))\"/>"
        body += text(
          x + thick / 2, 155 - height, short(one.counts[place]), anchor: "middle")
      }
      body += text(Double(place) * slot + slot / 2, 177, name, anchor: "middle")
    }
    return svg(width, 184, label, body, isFixed: true)
  }

  /// log2(1 + n), exact at the powers and straight between them: for the height of a bar.
  private static func log2(_ count: UInt64) -> Double {
    let number = count &+ 1
    if number == 0 { return 64 }
    let whole = 63 - number.leadingZeroBitCount
    return Double(whole) + Double(number) / Double(UInt64(1) << UInt64(whole)) - 1
  }

  /// 1,234,567 as 1.2M.
  static func short(_ count: UInt64) -> String {
    if count < 10_000 { return "\(count)" }
    if count < 1_000_000 { return "\(count / 1_000)k" }
    if count < 10_000_000 { return "\(Markup.number(Double(count) / 1_000_000))M" }
    return "\(count / 1_000_000)M"
  }
}
