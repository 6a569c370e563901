internal import KVBlocks

/// What one rule says of a pool: to change something, or that there is no cause to.
package struct Advice: Equatable, Sendable {
  package enum Rule: String, CaseIterable, Sendable {
    case paging, smallerBlocks, largerBlocks, defragment, raiseWatermark, lowerWatermark
    case evictionPolicy, lookahead, moreBlocks, fewerBlocks, idleOwner, oneOwner

    /// As programs read it.
    package var name: String {
      rawValue.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
    }
  }

  package let rule: Rule
  package let isGiven: Bool
  /// What was measured, and from what on the rule advises.
  package let measured: String
  package let threshold: String
  /// Why this is the threshold.
  package let reason: String
  /// What to do, and the figures that back it; empty where nothing is.
  package let change: String
  package let figures: String
}

/// Facts to advice. A rule whose measure is not known advises nothing and says so.
struct AdviceRules {
  typealias Words = ReportWords

  /// Sequences of fewer are no distribution.
  static let leastSequences: UInt64 = 10
  /// More of the same sequences at once: less is within what tomorrow's lengths differ by.
  static let leastGain = 0.05
  static let leastGainOfPaging = 0.25
  /// Attention kernels of the field have blocks of 8 tokens at least, most of 16.
  static let smallestBlock: UInt32 = 8
  static let usualBlock: UInt32 = 16
  /// What a larger block may cost.
  static let mostLoss = 0.01
  /// Preemptions or refusals, of the admissions.
  static let leastTrouble = 0.05
  static let leastEvents: UInt64 = 5
  /// Kept back for growth: vLLM's own default, and from where on the pool is too small.
  static let lowWatermark = 0.01
  static let highWatermark = 0.1
  static let leastEvictions: UInt64 = 100
  static let mostStoredAgain = 0.2
  static let mostAhead = 0.1
  static let fullUse = 0.9
  static let mostTime = 0.5
  static let littleUse = 0.5
  static let leastWindowMilliseconds: UInt64 = 600_000
  static let idleMilliseconds: UInt64 = 60_000
  static let idleShare = 0.01
  static let greatShare = 0.5

  let report: FragmentationReport
  let sequences: WhatIf
  let present: FragmentationReport.WhatIfLine?
  var counts: ReportWindow.Counts { report.window.counts }

  init(_ report: FragmentationReport, _ sequences: WhatIf) {
    self.report = report
    self.sequences = sequences
    present = report.whatIf.first { $0.isPresent }
  }

  func all() -> [Advice] {
    [
      paging(), smallerBlocks(), largerBlocks(), defragment(), raiseWatermark(), lowerWatermark(),
      evictionPolicy(), lookahead(), moreBlocks(), fewerBlocks(), idleOwner(), oneOwner(),
    ]
  }

  /// `change` nil: nothing is advised.
  func advice(
    _ rule: Advice.Rule, _ measured: String, _ threshold: String, because reason: String,
    _ change: (words: String, figures: String)?
  ) -> Advice {
    Advice(
      rule: rule, isGiven: change != nil, measured: measured, threshold: threshold, reason: reason,
      change: change?.words ?? "", figures: change?.figures ?? "")
  }

  /// Of these sequences, how many more fit at once than now; -1 to infinity.
  private func gain(of line: FragmentationReport.WhatIfLine) -> Double {
    guard let now = present?.row.effectiveBatch, now > 0 else { return 0 }
    return line.row.effectiveBatch / now - 1
  }

  /// "341.3 sequences at once instead of 256.0, waste 29.2 % instead of 46.9 %".
  func figures(_ row: WhatIf.Row) -> String {
    guard let now = present?.row else { return "" }
    return "\(Words.fixed(row.effectiveBatch, 1)) of these sequences at once instead of "
      + "\(Words.fixed(now.effectiveBatch, 1)), \(Words.percent(row.waste)) of the slots they hold "
      + "unused instead of \(Words.percent(now.waste)), \(Words.bytes(Double(row.metadataBytes))) of "
      + "records and tables instead of \(Words.bytes(Double(now.metadataBytes)))"
  }

  /// Why lengths say nothing; nil where they do.
  private var noLengths: String? {
    if !report.configuration.sizeClasses.isEmpty {
      return "not judged: the pool has size classes, and lengths alone do not say which one"
    }
    if sequences.sequences < Self.leastSequences {
      return "not judged: \(Words.count(sequences.sequences, "sequence")), fewer than "
        + "\(Self.leastSequences)"
    }
    return nil
  }

  // MARK: Blocks

  private func paging() -> Advice {
    let threshold =
      "\(Words.share(Self.leastGainOfPaging)) more of the same sequences at once"
    let reason =
      "a run for each sequence has to be worth what it reserves; equal lengths make it so"
    func rule(_ measured: String, _ change: (String, String)? = nil) -> Advice {
      advice(.paging, measured, threshold, because: reason, change)
    }
    if !report.configuration.strategy.needsRuns { return rule("the pool is paged") }
    if let noLengths { return rule(noLengths) }
    guard let paged = report.whatIf.last else { return rule("not judged") }
    let gain = gain(of: paged)
    return rule(
      "paged, the pool would hold \(Words.percent(max(0, gain))) more of the sequences it knows",
      gain < Self.leastGainOfPaging
        ? nil
        : (
          "Make the pool paged (strategy free-queue): it reserves or rounds up to runs that "
            + "sequences do not fill.", figures(paged.row)
        ))
  }

  private func smallerBlocks() -> Advice {
    let threshold = "\(Words.share(Self.leastGain)) more of the same sequences at once"
    let reason =
      "less than that is within what tomorrow's lengths differ by; sizes under "
      + "\(Self.smallestBlock) are left out, because attention kernels do not have them"
    func rule(_ measured: String, _ change: (String, String)? = nil) -> Advice {
      advice(.smallerBlocks, measured, threshold, because: reason, change)
    }
    if report.configuration.strategy.needsRuns {
      return rule("not judged: every sequence gets a run; see paging")
    }
    if let noLengths { return rule(noLengths) }
    let smaller = report.whatIf.filter {
      $0.pool.blockSize >= Self.smallestBlock
        && $0.pool.blockSize < report.configuration.blockSize
    }
    // Of equally good ones the largest, whose tables are the shortest.
    guard
      let best = smaller.max(by: {
        ($0.row.effectiveBatch, $0.pool.blockSize) < ($1.row.effectiveBatch, $1.pool.blockSize)
      })
    else { return rule("no smaller size is usual") }
    let gain = gain(of: best)
    return rule(
      "blocks of \(best.pool.blockSize) would hold \(Words.percent(max(0, gain))) more of the "
        + "\(Words.grouped(sequences.sequences)) sequences it knows",
      gain < Self.leastGain
        ? nil
        : (
          "Cut the memory into blocks of \(best.pool.blockSize) tokens instead of "
            + "\(report.configuration.blockSize), if your attention kernel has them: the last block "
            + "of a sequence leaves \(Words.fixed(report.lengths.meanTail, 1)) of its "
            + "\(report.configuration.blockSize) slots unused.", figures(best.row)
        ))
  }

  private func largerBlocks() -> Advice {
    let threshold = "at most \(Words.share(Self.mostLoss)) fewer of the same sequences at once"
    let reason =
      "blocks under \(Self.usualBlock) tokens make tables long and kernels slow; what they save has "
      + "to be worth it"
    func rule(_ measured: String, _ change: (String, String)? = nil) -> Advice {
      advice(.largerBlocks, measured, threshold, because: reason, change)
    }
    if report.configuration.blockSize >= Self.usualBlock {
      return rule("blocks have \(Self.usualBlock) tokens or more")
    }
    if let noLengths { return rule(noLengths) }
    if smallerBlocks().isGiven { return rule("smaller ones are advised") }
    guard let usual = report.whatIf.first(where: { $0.pool.blockSize == Self.usualBlock }) else {
      return rule("not judged")
    }
    let loss = -gain(of: usual)
    return rule(
      "blocks of \(Self.usualBlock) would hold \(Words.percent(max(0, loss))) fewer of the "
        + "sequences it knows",
      loss > Self.mostLoss
        ? nil
        : (
          "Cut the memory into blocks of \(Self.usualBlock) tokens: the small ones save nothing here.",
          figures(usual.row)
        ))
  }

  private func defragment() -> Advice {
    let refused = counts.refusedRun
    let free = report.look.runs.free
    return advice(
      .defragment,
      "\(Words.count(refused, "refusal")) for want of a run where there were blocks enough",
      "1 such refusal",
      because: "scattered blocks cost an allocation only where it needs adjacent ones",
      refused == 0
        ? nil
        : (
          report.configuration.strategy.needsRuns
            ? "Join the free blocks (quire defrag), or make the pool paged, which needs no runs."
            : "Join the free blocks (quire defrag), or do not ask for adjacent ones.",
          "the longest free run has \(Words.grouped(free.largest)) of "
            + "\(Words.count(free.blocks, "free block"))"
        ))
  }

  private func lookahead() -> Advice {
    let look = report.look
    let held = Double(look.heldSlots.held) / Double(max(1, report.configuration.blockSize))
    let share = held > 0 ? Double(look.emptyBlocks) / held : 0
    let reason = "a block ahead of the tokens is held by one sequence and could run another"
    let threshold = "\(Words.share(Self.mostAhead)) of the blocks that sequences hold"
    if report.configuration.strategy.needsRuns || !report.configuration.sizeClasses.isEmpty {
      return advice(
        .lookahead, "not judged: runs and size classes hold blocks ahead by design", threshold,
        because: reason, nil)
    }
    return advice(
      .lookahead,
      "\(Words.count(look.emptyBlocks, "block")) ahead of all tokens, \(Words.percent(share)) of "
        + "those held", threshold, because: reason,
      share < Self.mostAhead || UInt64(look.emptyBlocks) < Self.leastSequences
        ? nil
        : (
          "Ask for fewer lookahead tokens, or reserve less ahead.",
          "they hold \(Words.grouped(UInt64(look.emptyBlocks) * UInt64(look.stats.blockSize))) slots"
        ))
  }
}
