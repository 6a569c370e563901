internal import KVBlocks

/// One of the four questions that a report answers, and the answer in words.
package struct Answer: Equatable, Sendable {
  package let question: String
  package let paragraphs: [String]
}

/// How a pool's free blocks lie.
package enum FragmentationPattern: String, Sendable {
  /// Nothing was ever taken, or nothing is now.
  case unused
  case nothingFree
  /// At least nine tenths of what is free is one run.
  case together
  /// Runs of two blocks or less on average, sixteen or more of them.
  case checkerboard
  /// No run has half of what is free.
  case scattered
  case mixed

  package var name: String { self == .nothingFree ? "nothing_free" : rawValue }

  package init(_ look: FragmentationSnapshot) {
    let free = look.runs.free
    if look.usedBlocks == 0 && look.stats.cached == 0 && look.stats.lazyPending == 0
      && free.count <= 1
    {
      self = .unused
    } else if free.blocks == 0 {
      self = .nothingFree
    } else if free.fragmentation <= 0.1 {
      self = .together
    } else if free.count >= 16 && free.mean <= 2 {
      self = .checkerboard
    } else if free.fragmentation >= 0.5 {
      self = .scattered
    } else {
      self = .mixed
    }
  }
}

/// Facts to sentences.
struct ReportAnswers {
  typealias Words = ReportWords

  let report: FragmentationReport
  var look: FragmentationSnapshot { report.look }
  var counts: ReportWindow.Counts { report.window.counts }

  init(_ report: FragmentationReport) { self.report = report }

  func all() -> [Answer] {
    [
      Answer(
        question: "What is the fragmentation pattern?",
        paragraphs: [external(), `internal`(), course(), workload()]),
      Answer(
        question: "What causes it?", paragraphs: [lengths(), lives(), cache(), holders()]),
      Answer(question: "What is its impact?", paragraphs: [refusals(), preemptions(), lost()]),
      Answer(question: "How can it be reduced?", paragraphs: reductions()),
    ]
  }

  /// "In the last 10 min", or "Since the pool was made".
  var span: String {
    report.window.isWholeLife
      ? "since the pool was made"
      : "in the \(Words.duration(milliseconds: report.window.milliseconds)) recorded"
  }

  // MARK: Pattern

  private func external() -> String {
    let free = look.runs.free
    var text = "External: "
    switch FragmentationPattern(look) {
    case .unused: text += "none, the pool is empty and its free blocks are one run."
    case .nothingFree:
      text += "none to speak of, no block is free"
      text +=
        look.stats.cached > 0
        ? "; \(Words.grouped(look.stats.cached)) cached blocks are evicted as blocks are wanted."
        : "."
    case .together:
      text += "the free blocks lie together, the longest run has \(runShare) of them."
    case .checkerboard:
      text +=
        "a checkerboard. \(Words.count(free.blocks, "free block")) in "
        + "\(Words.count(free.count, "run")) of \(Words.fixed(free.mean, 1)) on average."
    case .scattered:
      text += "scattered. The longest free run has \(runShare) of what is free."
    case .mixed:
      text +=
        "some. \(Words.count(free.count, "free run")), the longest with \(runShare) of what is free."
    }
    text += " The ratio (1 - longest run / free) is \(Words.percent(look.externalFragmentation)),"
    text += " refusals caused by fragmentation: \(Words.grouped(look.refusalsByFragmentation))."
    let available = look.runs.available
    if look.stats.cached > 0 && available.count > 0 {
      text +=
        " Counting cached blocks, which are evicted as blocks are wanted,"
        + " \(Words.count(available.blocks, "block")) lie in \(Words.count(available.count, "run")), "
        + "the longest of \(Words.grouped(available.largest)): \(Words.percent(available.fragmentation))."
    }
    if report.configuration.strategy.needsRuns {
      text += " In this pool every allocation needs a run, so the ratio is a cost."
    } else if look.externalFragmentation >= 0.1 {
      text +=
        " Blocks of one size are as good as each other, so this refuses nothing; what it costs is"
        + " transfers, one for each run of a sequence's table, and large pages that one block keeps."
    }
    return text
  }

  private var runShare: String {
    Words.percent(Double(look.runs.free.largest) / Double(max(1, look.runs.free.blocks)))
  }

  private func `internal`() -> String {
    let slots = look.heldSlots
    if slots.held == 0 {
      return look.layout.rawBlocks == 0
        ? "Internal: none, no sequence holds a block."
        : "Internal: not known, \(Words.count(look.layout.rawBlocks, "block")) are held raw and only "
          + "their holders know how full they are."
    }
    var text =
      "Internal: \(Words.percent(look.internalFragmentation)) of the slots that sequences hold are "
      + "unused, \(Words.grouped(slots.wasted)) of \(Words.grouped(slots.held)): "
      + "\(Words.count(look.partialBlocks, "last block")) partly filled, "
      + "\(Words.count(look.emptyBlocks, "block")) held ahead of any token. Usage by blocks is "
      + "\(Words.percent(look.usageByBlocks)), by slots \(Words.percent(look.usageBySlots))."
    if look.layout.rawBlocks > 0 {
      text += " \(Words.count(look.layout.rawBlocks, "raw block")) count as empty."
    }
    return text
  }

  /// How the ratios went over time.
  private func course() -> String {
    let window = report.window
    if window.intervalMilliseconds == 0 {
      return "Over time: not known, the pool is not sampled. Start quired with --sample-interval 1s"
        + " (or --admin) to have a history."
    }
    if window.isWholeLife { return "Over time: nothing yet, this is the first look at it." }
    func range(_ name: String, _ ratio: (HistorySample) -> Double) -> String {
      let values = window.samples.map(ratio)
      return "\(name) between \(Words.percent(values.min() ?? 0)) and "
        + "\(Words.percent(values.max() ?? 0)), mean \(Words.percent(window.mean(ratio)))"
    }
    var text =
      "Over time: \(Words.count(window.samples.count, "sample")) in "
      + "\(Words.duration(milliseconds: window.milliseconds)); "
      + range("external", { $0.externalFragmentation }) + "; "
      + range("internal", { $0.internalFragmentation }) + "."
    for relation in window.relations where relation.x == "time" {
      text += " " + Self.sentence(relation)
    }
    return text
  }

  private func workload() -> String {
    if report.window.isWholeLife {
      return "With the workload: not known, for want of a history."
    }
    let relations = report.window.relations.filter { $0.x != "time" }
    let told = relations.filter { ![.tooShort, .constant].contains($0.correlation.verdict) }
    var text = "With the workload (Spearman's rank correlation rho): "
    if told.isEmpty {
      let most = relations.map(\.correlation.pairs).max() ?? 0
      text +=
        most < RankCorrelation.leastPairs
        ? "the window is too short to say, \(Words.count(most, "pair")) of samples of "
          + "\(RankCorrelation.leastPairs)."
        : "nothing that was recorded changed."
      return text
    }
    let clear = told.filter { $0.correlation.verdict != .unclear }
    let unclear = told.filter { $0.correlation.verdict == .unclear }.map {
      "\($0.y) to \($0.x) (\(Self.numbers($0.correlation)))"
    }
    text += clear.map(Self.sentence).joined(separator: " ")
    if !unclear.isEmpty {
      text +=
        (clear.isEmpty ? "no" : " No") + " clear relation of \(unclear.joined(separator: ", "))."
    }
    let silent = relations.count - told.count
    if silent > 0 {
      text +=
        " Of \(Words.count(silent, "further pair")) of measures too little changed or too few"
        + " samples have it."
    }
    return text + " What goes together need not be cause and effect."
  }

  private static func numbers(_ correlation: RankCorrelation) -> String {
    "rho \(correlation.rho.map { Words.fixed($0, 2) } ?? "-"), n "
      + "\(Words.grouped(correlation.pairs)), effective n "
      + Words.fixed(correlation.effectivePairs, 0)
  }

  /// "External fragmentation rises with blocks in use (rho 0.81, n 599, effective n 41)."
  static func sentence(_ relation: ReportWindow.Relation) -> String {
    let y = relation.y.prefix(1).uppercased() + relation.y.dropFirst()
    let correlation = relation.correlation
    let numbers = "(\(numbers(correlation)))"
    switch correlation.verdict {
    case .tooShort:
      return "\(y) against \(relation.x): too short to say, n is \(correlation.pairs) of "
        + "\(RankCorrelation.leastPairs)."
    case .constant: return "\(y) against \(relation.x): one of the two did not change."
    case .rises: return "\(y) rises with \(relation.x) \(numbers)."
    case .falls: return "\(y) falls with \(relation.x) \(numbers)."
    case .unclear: return "\(y) shows no clear relation to \(relation.x) \(numbers)."
    }
  }

  // MARK: Advice

  private func reductions() -> [String] {
    let advised = report.advised
    if !advised.isEmpty {
      return advised.map { advice in
        let figures = advice.figures.isEmpty ? "" : " What if: \(advice.figures)."
        return "\(advice.change) (\(advice.rule.name): \(advice.measured); advised from "
          + "\(advice.threshold), because \(advice.reason).)\(figures)"
      }
    }
    var why: [String] = []
    if look.heldSlots.held > 0 {
      why.append(
        "sequences leave \(Words.percent(look.internalFragmentation)) of their slots unused"
          + (isSizeJudged ? " and no other block size is worth the change" : ""))
    }
    why.append(
      "\(Words.some(counts.refusedRun, "request was", "requests were")) refused for scattered blocks"
    )
    why.append(
      "\(Words.some(counts.preemptions, "sequence was", "sequences were")) preempted and "
        + "\(Words.some(counts.refusedLater, "request", "requests")) refused for want of blocks")
    if counts.refusedNever > 0 {
      why.append(
        "\(Words.some(counts.refusedNever, "request", "requests")) for more than the whole pool has, "
          + "which its clients have to cut")
    }
    if counts.refusedQuota > 0 {
      why.append("\(Words.some(counts.refusedQuota, "request was", "requests were")) over a quota")
    }
    if look.usedBlocks == 0 && counts.allocatedBlocks == 0 && counts.refused == 0 {
      why = ["nothing uses the pool"]
    }
    return ["Nothing to change, because " + why.joined(separator: ", ") + "."]
  }

  /// Whether the lengths there are say anything of block sizes.
  private var isSizeJudged: Bool {
    report.configuration.sizeClasses.isEmpty && !report.configuration.strategy.needsRuns
      && report.lengths.sequences >= Int(AdviceRules.leastSequences)
  }
}
