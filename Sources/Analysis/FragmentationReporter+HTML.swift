internal import KVBlocks

/// One page that needs nothing else: no script, no network, no fonts; well-formed as XML. Light or dark as
/// the reader's system is.
extension FragmentationReporter {
  private typealias Words = ReportWords

  func html() -> String {
    let title = Markup.escaped("Pool \(report.pool)")
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8"/>
      <meta name="viewport" content="width=device-width, initial-scale=1"/>
      <meta name="color-scheme" content="light dark"/>
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
      <title>\(title) · Quire report</title>
      <style>
      \(ReportStyle.css)
      </style>
      </head>
      <body>
      \(ReportStyle.textures)
      <main>
      \(header())\(figures())\(changes())\(blockMap())\(overTime())\(runs())\(words())\(life())\
      \(relations())\(whatIf())\(holders())\(rules())\(footer())</main>
      </body>
      </html>

      """
  }

  func card(_ title: String, _ body: String, _ note: String = "") -> String {
    "<section class=\"card\"><h2>\(Markup.escaped(title))</h2>\n"
      + (note.isEmpty ? "" : "<p class=\"quiet\">\(Markup.escaped(note))</p>\n") + body
      + "</section>\n"
  }

  func paragraph(_ text: String, _ kind: String = "") -> String {
    "<p\(kind.isEmpty ? "" : " class=\"\(kind)\"")>\(Markup.escaped(text))</p>\n"
  }

  // MARK: Above all

  private func header() -> String {
    let lines = head()
    let memory = report.configuration.bytesPerBlock
    return "<header><h1>Pool \(Markup.escaped(report.pool))</h1>\n"
      + paragraph(
        "Quire report of \(Words.time(report.look.timeMilliseconds)), revision "
          + "\(Words.grouped(report.look.stats.revision)). "
          + lines[1].drop { $0 == " " }
          + (memory > 0 && report.configuration.sizeClasses.isEmpty
            ? ", " + Words.bytes(Double(memory) * Double(report.look.stats.blocks)) : "") + ".",
        "quiet") + "</header>\n"
  }

  private func figures() -> String {
    let look = report.look
    let stats = look.stats
    func figure(_ name: String, _ value: String, _ note: String) -> String {
      "<div><small>\(Markup.escaped(name))</small><b>\(Markup.escaped(value))</b>"
        + "<small>\(Markup.escaped(note))</small></div>\n"
    }
    let counts = report.window.counts
    let since = report.window.isWholeLife ? "since it was made" : "in the window"
    return "<section class=\"figures\">\n"
      + figure(
        "Blocks in use", Words.percent(look.usageByBlocks),
        "\(Words.grouped(look.usedBlocks)) of \(Words.grouped(stats.blocks)); "
          + (look.layout.rawBlocks == 0
            ? "\(Words.percent(look.usageBySlots)) of the slots"
            : "\(Words.grouped(look.layout.rawBlocks)) raw, of unknown fill"))
      + figure(
        "External fragmentation", Words.percent(look.externalFragmentation),
        "refusals caused by fragmentation: \(Words.grouped(look.refusalsByFragmentation))")
      + figure(
        "Internal fragmentation",
        look.heldSlots.held == 0 ? "–" : Words.percent(look.internalFragmentation),
        look.heldSlots.held == 0
          ? "no sequence holds a slot"
          : "\(Words.grouped(look.unusedSlots)) of \(Words.grouped(look.heldSlots.held)) slots unused"
      )
      + figure(
        "Cache hits", counts.hitRate.map(Words.percent) ?? "–",
        "of \(Words.grouped(counts.queryTokens)) tokens looked up \(since)")
      + figure(
        "Refusals", Words.grouped(counts.refused),
        "\(Words.grouped(counts.refusedLater)) for want of blocks, \(since)")
      + figure(
        "Preemptions", Words.grouped(counts.preemptions),
        "of \(Words.count(counts.admitted, "admission")) \(since)") + "</section>\n"
  }

  private func changes() -> String {
    var body = ""
    for advice in report.advised {
      body += "<div class=\"advice\"><b>\(Markup.escaped(advice.change))</b>\n"
      body += paragraph(
        "\(Words.capitalized(advice.measured)). Advised from \(advice.threshold), because "
          + "\(advice.reason).", "quiet")
      if !advice.figures.isEmpty { body += paragraph("What if: \(advice.figures).") }
      body += "</div>\n"
    }
    if report.advised.isEmpty {
      let text = report.answers.last?.paragraphs.first ?? ""
      body = "<div class=\"advice none\"><b>\(Markup.escaped(text))</b></div>\n"
    }
    return card("What to change", body)
  }

  private func words() -> String {
    var body = ""
    for answer in report.answers.dropLast() {
      body += "<h3>\(Markup.escaped(answer.question))</h3>\n"
      for text in answer.paragraphs { body += paragraph(text) }
    }
    return card("The pool in words", body)
  }

  // MARK: Pictures

  private func legend(_ states: [Int], _ counts: [UInt32]? = nil, _ more: String = "") -> String {
    var html = "<ul class=\"legend\">"
    for state in states {
      let count = counts.map { " \(Words.grouped($0[state]))" } ?? ""
      html +=
        "<li><svg viewBox=\"0 0 14 14\" aria-hidden=\"true\"><rect width=\"14\" height=\"14\" "
        + "fill=\"url(#s\(state))\"/></svg>\(BlockPicture.names[state])\(count)</li>"
    }
    return html + more + "</ul>\n"
  }

  private var stateCounts: [UInt32] {
    let stats = report.look.stats
    return [
      stats.free, stats.cached, stats.active, stats.shared, stats.pinned, stats.lazyPending,
    ]
  }

  private var states: [Int] {
    [2, 3, 4, 1, 5, 0].filter { $0 < 4 || stateCounts[$0] > 0 }
  }

  private func blockMap() -> String {
    let isOne = report.map.perCell == 1
    let partial =
      isOne && report.look.partialBlocks > 0
      ? "<li><svg viewBox=\"0 0 14 14\" aria-hidden=\"true\"><rect width=\"14\" height=\"14\" "
        + "fill=\"url(#s2)\"/><path class=\"partial\" "
        + "d=\"M14 14V5L5 14Z\"/></svg>partly filled \(Words.grouped(report.look.partialBlocks))</li>"
      : ""
    var body = legend(states, stateCounts, partial) + ReportMap(map: report.map).svg()
    if !report.hotspots.isEmpty && report.look.externalFragmentation >= 0.1 {
      let spots = report.hotspots.prefix(3).map {
        "blocks \(Words.grouped($0.firstBlock)) to \(Words.grouped($0.firstBlock + $0.blocks - 1)) "
          + "(\(Words.grouped($0.runs)) runs)"
      }
      body += paragraph(
        "Free and cached blocks lie most scattered in \(spots.joined(separator: ", ")).", "quiet")
    }
    return card(
      "Blocks", body,
      isOne
        ? "A cell is a block, the first at the upper left."
        : "A cell is \(Words.grouped(report.map.perCell)) blocks, filled from below with what they "
          + "are; the first at the upper left.")
  }

  private func overTime() -> String {
    let points = points
    let charts = ReportCharts(report: report, points: points)
    if points.count < 2 {
      return card(
        "Blocks by state", legend(states, stateCounts) + charts.bar(),
        report.window.intervalMilliseconds > 0
          ? "As they are now: this is the first look at it."
          : "As they are now: there is no history. "
            + "Start quired with --sample-interval 1s, or --admin, to have one.")
    }
    let window = report.window
    let seen = [2, 3, 4, 1, 5].filter { state in
      points.contains { ReportCharts.blocks($0.stats, state) > 0 }
    }
    let span =
      "\(Words.count(window.samples.count, "sample")) in "
      + "\(Words.duration(milliseconds: window.milliseconds)), times are UTC"
    let preempted = window.counts.preemptions
    let refusals = report.look.refusalsByFragmentation
    return card(
      "Blocks by state over time", legend(seen + [0]) + charts.utilisation(),
      span
        + (preempted == 0
          ? "; no preemptions."
          : "; ticks at the bottom are preemptions: \(Words.grouped(preempted))."))
      + card(
        "Fragmentation over time", charts.fragmentation(),
        "Refusals caused by fragmentation: \(Words.grouped(refusals)). External: 1 - longest free run "
          + "/ free blocks"
          + (report.configuration.cachesPrefixes ? ", and of free and cached blocks together" : "")
          + ". Internal: slots held and not used.")
  }

  private func runs() -> String {
    let free = report.look.runs.free
    let available = report.look.runs.available
    if available.count == 0 { return "" }
    let names = available.histogram.indices.map { order in
      let low = UInt64(1) << UInt64(order)
      return low == 1
        ? "1" : low < 8 ? "\(low)-\(low * 2 - 1)" : "\(ReportCharts.short(low))+"
    }
    let chart = ReportCharts.bars(
      "Free runs by length", names,
      [(0, free.histogram.map { UInt64($0) }), (1, available.histogram.map { UInt64($0) })])
    let legend =
      "<ul class=\"legend\"><li><svg viewBox=\"0 0 14 14\" aria-hidden=\"true\"><rect width=\"14\" "
      + "height=\"14\" fill=\"url(#s0)\"/></svg>free</li><li><svg viewBox=\"0 0 14 14\" "
      + "aria-hidden=\"true\"><rect width=\"14\" height=\"14\" fill=\"url(#s1)\"/></svg>free and cached"
      + "</li></ul>\n"
    return card(
      "Free runs by length", legend + chart,
      "Runs of adjacent blocks, by how many blocks they have; heights are logarithmic. Longest: "
        + "\(Words.grouped(free.largest)) free, \(Words.grouped(available.largest)) with cached ones. "
        + "Refusals caused by fragmentation: \(Words.grouped(report.look.refusalsByFragmentation))."
    )
  }

  private func life() -> String {
    guard let life = report.life, life.lifetimes.count + life.reuseGaps.count > 0 else { return "" }
    let names = DurationHistogram.bounds.map { ReportCharts.short(UInt64($0)) } + ["more"]
    func chart(_ name: String, _ durations: DurationHistogram, _ state: Int) -> String {
      durations.count == 0
        ? ""
        : "<div><h3>\(Markup.escaped(name)): \(Words.grouped(durations.count))</h3>\n"
          + ReportCharts.bars(name, names, [(state, durations.counts)]) + "</div>\n"
    }
    return card(
      "How long blocks live",
      "<div class=\"pair\">" + chart("Lived", life.lifetimes, 2)
        + chart("Idle before evicted", life.idleBeforeEvict, 1)
        + chart("Between hits", life.reuseGaps, 3) + "</div>\n",
      "Sampled: \(Words.sampled(life.every)) handed out. Durations by seconds at most, heights "
        + "are logarithmic. A life ends when the block is handed out again or loses its content.")
  }
}
