internal import KVBlocks

/// The tables of the page.
extension FragmentationReporter {
  private typealias Words = ReportWords

  func relations() -> String {
    if report.window.intervalMilliseconds == 0 { return "" }
    let rows = report.window.relations.map { relation in
      let correlation = relation.correlation
      return [
        Words.capitalized(relation.y), relation.x,
        correlation.rho.map { Words.fixed($0, 2) } ?? "–", Words.grouped(correlation.pairs),
        Words.fixed(correlation.effectivePairs, 0), Words.fixed(correlation.threshold, 2),
        correlation.verdict.words,
      ]
    }
    return card(
      "What goes together",
      Markup.table(
        ["Measure", "Against", "rho", "n", "effective n", "clear from", "Verdict"], rows,
        words: [0, 1, 6]),
      "Spearman's rank correlation over the recorded window. Neighbouring samples are alike, so the "
        + "effective n is less than n. What goes together need not be cause and effect.")
  }

  func whatIf() -> String {
    if report.whatIf.isEmpty { return "" }
    let rows = report.whatIf.map { line in
      [
        line.name + (line.isPresent ? ", as it is" : ""), Words.grouped(line.row.blocks),
        Words.grouped(line.row.wastedSlots), Words.percent(line.row.waste),
        Words.bytes(Double(line.row.metadataBytes)), Words.fixed(line.row.effectiveBatch, 1),
      ]
    }
    var note =
      "The \(Words.count(report.lengths.sequences, "sequence")) that the pool knows, all at once, in "
      + "its memory cut otherwise. Arithmetic on lengths: nothing is cached or shared."
    if let best = report.optimalBlockSize {
      note +=
        " By waste and metadata alone blocks of sqrt(2 L m_meta / m_token) = \(Words.fixed(best, 3)) "
        + "tokens are best; without the cost of metadata the smallest always is. Attention kernels want "
        + "16 or more."
    }
    return card(
      "What if",
      Markup.table(
        ["Pool", "Blocks taken", "Unused slots", "Unused", "Metadata", "Sequences at once"], rows,
        strong: report.whatIf.firstIndex { $0.isPresent },
        bars: report.whatIf.map(\.row.effectiveBatch)), note)
  }

  func holders() -> String {
    let look = report.look
    let owners = look.owners.filter { $0.blocks > 0 || $0.pinnedBlocks > 0 }
    if owners.isEmpty { return "" }
    func label(_ bytes: [UInt8]) -> String {
      bytes.isEmpty ? "–" : String(decoding: bytes, as: UTF8.self)
    }
    let rows = owners.map { owner in
      [
        label(owner.label), "\(owner.session)", Words.grouped(owner.sequences),
        Words.grouped(owner.runningSequences), Words.grouped(owner.rawBlocks),
        Words.grouped(owner.unusedSlots), Words.grouped(owner.blocks),
      ]
    }
    var html = card(
      "Who holds most",
      Markup.table(
        ["Label", "Session", "Sequences", "Running", "Raw blocks", "Unused slots", "Blocks"], rows,
        bars: owners.map { Double($0.blocks) }), "Shared blocks count with each of their holders.")
    if look.sequences.isEmpty { return html }
    let costs = look.sequences.map { cost in
      [
        label(cost.label), "\(cost.sequence)", Words.grouped(cost.tokens),
        Words.grouped(cost.sharedBlocks), Words.grouped(cost.runs),
        Words.grouped(cost.separatedRuns), Words.grouped(cost.unusedSlots),
        Words.grouped(cost.blocks),
      ]
    }
    html += card(
      "Sequences that cost most",
      Markup.table(
        [
          "Label", "Sequence", "Tokens", "Shared", "Runs", "Separates", "Unused slots", "Blocks",
        ], costs, bars: look.sequences.map { Double($0.blocks) }),
      "Runs: transfers that moving its KV takes. Separates: pairs of free runs that would be one "
        + "without it.")
    return html
  }

  func rules() -> String {
    let rows = report.advice.map { advice in
      [advice.rule.name, advice.isGiven ? "yes" : "no", advice.measured, advice.threshold]
    }
    return card(
      "Rules of advice",
      Markup.table(["Rule", "Advised", "Measured", "From"], rows, words: [0, 1, 2, 3]))
  }

  func footer() -> String {
    "<footer>\(Markup.escaped("With blocks of one size, scattered free blocks refuse nothing: what is measured here is slots lost in last blocks (internal), and how the free ones lie (external), which costs transfers and large pages, and requests only where they need adjacent blocks. Fill of raw blocks, addresses, and what happens between two samples are not seen."))</footer>\n"
  }
}

extension RankCorrelation.Verdict {
  var words: String {
    switch self {
    case .tooShort: "too short to say"
    case .constant: "did not change"
    case .rises: "rises with it"
    case .falls: "falls with it"
    case .unclear: "no clear relation"
    }
  }
}
