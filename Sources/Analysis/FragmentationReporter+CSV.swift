internal import ForeignText
internal import KVBlocks

/// A table in long form, so that one file has it all: `section,item,measure,value,unit`, as RFC 4180 has
/// it, with plain newlines and without control codes. Ratios are 0 to 1; what is not known has an empty value.
extension FragmentationReporter {
  func csv() -> String {
    var table = CSVTable()
    let look = report.look
    let pool = ForeignText.cell(report.pool)
    table.row("pool", pool, "time", "\(look.timeMilliseconds)", "ms")
    table.row("pool", pool, "revision", "\(look.stats.revision)")
    table.row("pool", pool, "strategy", report.configuration.strategy.words)
    table.row("pool", pool, "block_size", "\(look.stats.blockSize)", "tokens")
    table.row("pool", pool, "pattern", FragmentationPattern(look).name)
    addBlocks(to: &table)
    addFragmentation(to: &table)
    addWindow(to: &table)
    for relation in report.window.relations {
      let item = "\(relation.y) by \(relation.x)"
      let correlation = relation.correlation
      table.row("spearman", item, "rho", correlation.rho.map { "\($0)" } ?? "", "ratio")
      table.row("spearman", item, "n", "\(correlation.pairs)", "samples")
      table.row("spearman", item, "effective_n", "\(correlation.effectivePairs)", "samples")
      table.row("spearman", item, "verdict", correlation.verdict.rawValue)
    }
    for advice in report.advice {
      table.row("advice", advice.rule.name, "given", advice.isGiven ? "yes" : "no")
      table.row("advice", advice.rule.name, "measured", advice.measured)
      table.row("advice", advice.rule.name, "threshold", advice.threshold)
      if !advice.isGiven { continue }
      table.row("advice", advice.rule.name, "change", advice.change)
      table.row("advice", advice.rule.name, "what_if", advice.figures)
    }
    for line in report.whatIf {
      table.row("what_if", line.name, "present", line.isPresent ? "yes" : "no")
      table.row("what_if", line.name, "blocks", "\(line.row.blocks)", "blocks")
      table.row("what_if", line.name, "wasted_slots", "\(line.row.wastedSlots)", "slots")
      table.row("what_if", line.name, "waste", "\(line.row.waste)", "ratio")
      table.row(
        "what_if", line.name, "effective_batch", "\(line.row.effectiveBatch)", "sequences")
      table.row("what_if", line.name, "metadata", "\(line.row.metadataBytes)", "bytes")
    }
    addLife(to: &table)
    addHolders(to: &table)
    addHistory(to: &table)
    return table.text
  }

  private func addBlocks(to table: inout CSVTable) {
    let stats = report.look.stats
    for (name, value) in [
      ("capacity", stats.blocks), ("free", stats.free), ("cached", stats.cached),
      ("active", stats.active), ("shared", stats.shared), ("pinned", stats.pinned),
      ("lazy_pending", stats.lazyPending), ("reserved", stats.reserved),
      ("high_watermark", stats.highWatermark),
    ] { table.row("blocks", "", name, "\(value)", "blocks") }
  }

  private func addFragmentation(to table: inout CSVTable) {
    let look = report.look
    table.row("external", "", "fragmentation", "\(look.externalFragmentation)", "ratio")
    table.row(
      "external", "", "refusals_by_fragmentation", "\(look.refusalsByFragmentation)", "requests")
    for (item, runs) in [("free", look.runs.free), ("available", look.runs.available)] {
      table.row("runs", item, "count", "\(runs.count)", "runs")
      table.row("runs", item, "largest", "\(runs.largest)", "blocks")
      table.row("runs", item, "mean", "\(runs.mean)", "blocks")
      for (order, count) in runs.histogram.enumerated() {
        table.row("runs", item, "from_\(1 << order)_blocks", "\(count)", "runs")
      }
    }
    table.row("internal", "", "fragmentation", "\(look.internalFragmentation)", "ratio")
    table.row("internal", "", "slots_held", "\(look.heldSlots.held)", "slots")
    table.row("internal", "", "slots_used", "\(look.heldSlots.used)", "slots")
    table.row("internal", "", "partial_blocks", "\(look.partialBlocks)", "blocks")
    table.row("internal", "", "empty_blocks", "\(look.emptyBlocks)", "blocks")
    table.row("internal", "", "raw_blocks", "\(look.layout.rawBlocks)", "blocks")
    table.row("internal", "", "usage_by_blocks", "\(look.usageByBlocks)", "ratio")
    table.row("internal", "", "usage_by_slots", "\(look.usageBySlots)", "ratio")
    let lengths = report.lengths
    table.row("lengths", "", "sequences", "\(lengths.sequences)", "sequences")
    table.row("lengths", "", "mean", "\(lengths.mean)", "tokens")
    table.row("lengths", "", "median", "\(lengths.median)", "tokens")
    table.row("lengths", "", "ninetieth_percentile", "\(lengths.ninetieth)", "tokens")
    table.row("lengths", "", "longest", "\(lengths.longest)", "tokens")
    table.row("lengths", "", "mean_tail", "\(lengths.meanTail)", "slots")
  }

  private func addWindow(to table: inout CSVTable) {
    let counts = report.window.counts
    table.row("window", "", "samples", "\(report.window.samples.count)", "samples")
    table.row("window", "", "duration", "\(report.window.milliseconds)", "ms")
    for (name, value, unit) in [
      ("admitted", counts.admitted, "sequences"), ("prompt_tokens", counts.promptTokens, "tokens"),
      ("allocated_blocks", counts.allocatedBlocks, "blocks"),
      ("preemptions", counts.preemptions, "sequences"), ("evictions", counts.evictions, "blocks"),
      ("refused_later", counts.refusedLater, "requests"),
      ("refused_never", counts.refusedNever, "requests"),
      ("refused_quota", counts.refusedQuota, "requests"),
      ("refused_no_run", counts.refusedRun, "requests"),
      ("prefix_query_tokens", counts.queryTokens, "tokens"),
      ("prefix_hit_tokens", counts.hitTokens, "tokens"),
    ] { table.row("window", "", name, "\(value)", unit) }
  }

  private func addLife(to table: inout CSVTable) {
    if let losses = report.losses {
      table.row("cache", "", "evicted_contents", "\(losses.evicted)", "blocks")
      table.row("cache", "", "stored_again", "\(losses.storedAgain)", "blocks")
    }
    guard let life = report.life else { return }
    table.row("block_life", "", "sampled_one_in", "\(life.every)", "blocks")
    table.row("block_life", "", "evicted", "\(life.evicted)", "blocks")
    table.row("block_life", "", "evicted_never_hit", "\(life.evictedUnused)", "blocks")
    for (item, durations) in [
      ("lifetime", life.lifetimes), ("idle_before_evict", life.idleBeforeEvict),
      ("reuse_gap", life.reuseGaps),
    ] {
      for (bin, count) in durations.counts.enumerated() {
        let bound =
          bin < DurationHistogram.bounds.count
          ? "up_to_\(UInt64(DurationHistogram.bounds[bin]))_s" : "more"
        table.row("block_life", item, bound, "\(count)", "blocks")
      }
    }
  }

  private func addHolders(to table: inout CSVTable) {
    for owner in report.look.owners {
      let item = ForeignText.cell(String(decoding: owner.label, as: UTF8.self))
      table.row("owner", item, "session", "\(owner.session)")
      table.row("owner", item, "blocks", "\(owner.blocks)", "blocks")
      table.row("owner", item, "raw_blocks", "\(owner.rawBlocks)", "blocks")
      table.row("owner", item, "sequences", "\(owner.sequences)", "sequences")
      table.row("owner", item, "unused_slots", "\(owner.unusedSlots)", "slots")
    }
    for cost in report.look.sequences {
      table.row("sequence", "\(cost.sequence)", "session", "\(cost.session)")
      table.row("sequence", "\(cost.sequence)", "blocks", "\(cost.blocks)", "blocks")
      table.row("sequence", "\(cost.sequence)", "runs", "\(cost.runs)", "runs")
      table.row("sequence", "\(cost.sequence)", "unused_slots", "\(cost.unusedSlots)", "slots")
    }
  }

  private func addHistory(to table: inout CSVTable) {
    for sample in points {
      let item = "\(sample.timeMilliseconds)"
      let stats = sample.stats
      for (name, value) in [
        ("free", stats.free), ("cached", stats.cached), ("active", stats.active),
        ("shared", stats.shared), ("pinned", stats.pinned),
      ] { table.row("history", item, name, "\(value)", "blocks") }
      table.row("history", item, "external", "\(sample.externalFragmentation)", "ratio")
      table.row("history", item, "internal", "\(sample.internalFragmentation)", "ratio")
      table.row("history", item, "preemptions", "\(stats.preemptions)", "sequences")
    }
  }
}

/// Rows of comma-separated values; a cell is in quotes where it must be.
private struct CSVTable {
  private(set) var text = "section,item,measure,value,unit\n"

  mutating func row(
    _ section: String, _ item: String, _ measure: String, _ value: String, _ unit: String = ""
  ) {
    text += [section, item, measure, value, unit].map(Self.cell).joined(separator: ",") + "\n"
  }

  private static func cell(_ text: String) -> String {
    let needsQuotes = text.utf8.contains {
      $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\"") || $0 == 10 || $0 == 13
    }
    if !needsQuotes { return text }
    var quoted = "\""
    for scalar in text.unicodeScalars {
      if scalar == "\"" { quoted += "\"" }
      quoted.unicodeScalars.append(scalar)
    }
    return quoted + "\""
  }
}
