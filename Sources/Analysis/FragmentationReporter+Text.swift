internal import ForeignText
internal import KVBlocks

/// Plain text: no control codes, lines of at most 96 columns where words allow it.
extension FragmentationReporter {
  private typealias Words = ReportWords
  private static let width = 96

  func text() -> String {
    var lines = head()
    for answer in report.answers {
      lines += ["", answer.question]
      for paragraph in answer.paragraphs { lines += Self.wrapped(paragraph) }
    }
    lines += mapLines() + runLines() + lifeLines() + whatIfLines() + ownerLines() + ruleLines()
    return lines.joined(separator: "\n") + "\n"
  }

  func head() -> [String] {
    let look = report.look
    let stats = look.stats
    var made =
      "\(Words.count(stats.blocks, "block")) of \(blockSizes) tokens, "
      + "\(report.configuration.strategy.words), "
    made +=
      report.configuration.cachesPrefixes
      ? "prefixes cached (\(report.configuration.eviction.words))" : "no prefixes cached"
    var use = [
      ("free", stats.free), ("cached", stats.cached), ("active", stats.active),
      ("shared", stats.shared), ("pinned", stats.pinned),
    ]
    if stats.lazyPending > 0 { use.append(("pending", stats.lazyPending)) }
    return [
      "Report on pool '\(ForeignText.printable(report.pool))', \(Words.time(look.timeMilliseconds)), revision "
        + Words.grouped(stats.revision),
      "  \(made)",
      "  " + use.map { "\(Words.grouped($0.1)) \($0.0)" }.joined(separator: ", ")
        + "; \(Words.percent(look.usageByBlocks)) in use, \(Words.percent(look.usageBySlots)) of the "
        + "slots",
      "  external fragmentation \(Words.percent(look.externalFragmentation)); refusals caused by "
        + "fragmentation: \(Words.grouped(look.refusalsByFragmentation))",
      "  internal fragmentation \(Words.percent(look.internalFragmentation)); "
        + "\(Words.count(stats.runningSequences, "sequence")) running, "
        + "\(Words.grouped(stats.waitingSequences)) waiting, "
        + "\(Words.grouped(stats.preemptedSequences)) preempted",
    ]
  }

  /// "16", or "8 and 32" in a pool with size classes.
  private var blockSizes: String {
    let classes = report.configuration.sizeClasses
    return classes.isEmpty
      ? Words.grouped(report.configuration.blockSize)
      : classes.map { Words.grouped($0.blockSize) }.joined(separator: " and ")
  }

  static func wrapped(_ text: String) -> [String] {
    var lines: [String] = []
    var line = "  "
    for word in text.split(separator: " ") {
      if line.count > 2, line.count + 1 + word.count > width {
        lines.append(line)
        line = "    "
      }
      line += (line.allSatisfy { $0 == " " } ? "" : " ") + word
    }
    return lines + [line]
  }

  // MARK: Pictures

  /// The map in at most 512 cells of one letter: what most blocks of the cell are.
  private func mapLines() -> [String] {
    let map = report.map
    let cells = map.runs.reduce(0) { $0 + Int($1.cells) }
    let step = (cells + 511) / 512
    var letters = ""
    var counts = [UInt64](repeating: 0, count: BlockPicture.letters.count)
    var inCell = 0
    func close() {
      if inCell == 0 { return }
      // Of equally many the first.
      var most = 0
      for i in counts.indices where counts[i] > counts[most] { most = i }
      letters.append(BlockPicture.letters[most])
      counts = counts.map { _ in 0 }
      inCell = 0
    }
    for run in map.runs {
      for _ in 0..<run.cells {
        for (i, count) in run.cell.counts.enumerated() { counts[i] += UInt64(count) }
        inCell += 1
        if inCell == step { close() }
      }
    }
    close()
    let perLetter = UInt64(step) * UInt64(map.perCell)
    var lines = [
      "",
      "Map: a letter is \(Words.count(perLetter, "block")); "
        + ". free, c cached, a active, s shared, p pinned, w pending",
    ]
    var rest = letters[...]
    while !rest.isEmpty {
      lines.append("  " + rest.prefix(64))
      rest = rest.dropFirst(64)
    }
    return lines
  }

  private func runLines() -> [String] {
    let free = report.look.runs.free
    let available = report.look.runs.available
    if available.count == 0 { return [] }
    var rows = [["  BLOCKS IN A RUN", "FREE", "FREE AND CACHED"]]
    for order in 0..<available.histogram.count {
      rows.append([
        "  " + BlockPicture.runLabel(order),
        Words.grouped(order < free.histogram.count ? free.histogram[order] : 0),
        Words.grouped(available.histogram[order]),
      ])
    }
    rows.append(["  longest", Words.grouped(free.largest), Words.grouped(available.largest)])
    rows.append(["  mean", Words.fixed(free.mean, 1), Words.fixed(available.mean, 1)])
    return ["", "Runs by length"] + Self.table(rows)
  }

  private func lifeLines() -> [String] {
    guard let life = report.life, life.lifetimes.count + life.reuseGaps.count > 0 else { return [] }
    var rows = [["  SECONDS, AT MOST", "LIVED", "IDLE BEFORE EVICTED", "BETWEEN HITS"]]
    for bin in life.lifetimes.counts.indices {
      let bound = bin < DurationHistogram.bounds.count ? DurationHistogram.bounds[bin] : .infinity
      let counts = [life.lifetimes, life.idleBeforeEvict, life.reuseGaps].map { $0.counts[bin] }
      if counts.allSatisfy({ $0 == 0 }) { continue }
      rows.append(
        ["  " + (bound.isFinite ? Words.fixed(bound, 0) : "more")]
          + counts.map { Words.grouped($0) })
    }
    return ["", "Sampled blocks, \(Words.sampled(life.every))"] + Self.table(rows)
  }

  // MARK: Tables

  private func whatIfLines() -> [String] {
    if report.whatIf.isEmpty { return [] }
    var rows = [["  WHAT IF", "BLOCKS", "UNUSED SLOTS", "UNUSED", "AT ONCE", "METADATA"]]
    for line in report.whatIf {
      rows.append([
        "  " + line.name + (line.isPresent ? " (as it is)" : ""), Words.grouped(line.row.blocks),
        Words.grouped(line.row.wastedSlots), Words.percent(line.row.waste),
        Words.fixed(line.row.effectiveBatch, 1), Words.bytes(Double(line.row.metadataBytes)),
      ])
    }
    var lines = [
      "", "The \(Words.count(report.lengths.sequences, "sequence")) in pools made otherwise",
    ]
    lines += Self.table(rows)
    if let best = report.optimalBlockSize {
      lines += Self.wrapped(
        "sqrt(2 L m_meta / m_token) = \(Words.fixed(best, 3)) tokens: the best size by waste and "
          + "metadata alone. It knows nothing of attention kernels, which want 16 or more; without the "
          + "cost of metadata the smallest block always wins.")
    }
    return lines
  }

  private func ownerLines() -> [String] {
    let owners = report.look.owners
    if owners.isEmpty { return [] }
    var rows = [["  OWNER", "SESSION", "BLOCKS", "RAW", "SEQUENCES", "RUNNING", "UNUSED SLOTS"]]
    for owner in owners {
      let label = ForeignText.printable(String(decoding: owner.label, as: UTF8.self))
      rows.append([
        "  " + (label.isEmpty ? "-" : String(label.prefix(32))), "\(owner.session)",
        Words.grouped(owner.blocks), Words.grouped(owner.rawBlocks), Words.grouped(owner.sequences),
        Words.grouped(owner.runningSequences), Words.grouped(owner.unusedSlots),
      ])
    }
    return ["", "Who holds most"] + Self.table(rows)
  }

  private func ruleLines() -> [String] {
    var lines = ["", "Rules of advice"]
    for advice in report.advice {
      lines += Self.wrapped(
        "\(advice.isGiven ? "*" : "-") \(advice.rule.name): \(advice.measured) (advised from "
          + "\(advice.threshold)).")
    }
    return lines
  }

  /// The first column to the left, the others to the right; the first row is the titles.
  private static func table(_ rows: [[String]]) -> [String] {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      row.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return column == 0 ? cell + space : space + cell
      }.joined(separator: "  ")
    }
  }
}

/// What the pictures of all forms have in common.
enum BlockPicture {
  /// By the state's raw value.
  static let letters: [Character] = [".", "c", "a", "s", "p", "w"]
  static let names = ["free", "cached", "active", "shared", "pinned", "pending"]

  /// Of the runs of 2^k up to 2^(k+1) - 1 blocks.
  static func runLabel(_ order: Int) -> String {
    let low = 1 << order
    return low == 1
      ? "1" : "\(ReportWords.grouped(low))-\(ReportWords.grouped(low * 2 - 1))"
  }
}

extension AllocationStrategy {
  /// As the command line spells it.
  var words: String {
    switch self {
    case .freeQueue: "free-queue"
    case .firstFit: "first-fit"
    case .bestFit: "best-fit"
    case .buddy: "buddy"
    case .contiguousMax: "contiguous-max"
    case .contiguousPowerOfTwo: "contiguous-power-of-two"
    case .contiguousExact: "contiguous-exact"
    }
  }
}

extension EvictionPolicy {
  var words: String {
    switch self {
    case .lru: "lru"
    case .lfu: "lfu"
    case .s3FIFO: "s3-fifo"
    case .priority: "priority"
    }
  }
}
