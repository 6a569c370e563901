internal import Analysis
internal import KVBlocks
internal import Metrics

/// What sampling knows of each pool's layout: as it was when the pool was looked at last, so that a
/// scrape counts nothing. Pools that nobody samples are left out.
enum RunMetrics {
  private struct Look {
    let labels: MetricLabels
    let runs: PoolRuns
    let sample: HistorySample
  }

  static func write(_ analyses: PoolAnalyses, to text: inout MetricsText) {
    let looks: [Look] = analyses.all.compactMap {
      guard let runs = $0.tracker.sampledRuns, let sample = $0.tracker.history.last else {
        return nil
      }
      return Look(labels: MetricLabels("pool", $0.hosted.name), runs: runs, sample: sample)
    }
    func each(
      _ text: inout MetricsText, _ name: String, unit: String, _ help: String,
      _ value: (Look) -> Double
    ) {
      text.family("quire_\(name)", .gauge, unit: unit, help)
      for look in looks { text.sample(look.labels, value(look)) }
    }
    each(
      &text, "external_fragmentation_ratio", unit: "ratio",
      "1 - longest free run / free blocks, when sampled last. See the refusals that it caused."
    ) { $0.runs.free.fragmentation }
    each(
      &text, "internal_fragmentation_ratio", unit: "ratio",
      "Slots held and not used, of the slots that sequences hold, when sampled last."
    ) { $0.sample.internalFragmentation }
    each(
      &text, "sequence_slots_held_tokens", unit: "tokens",
      "Slots of the blocks that sequences hold, when sampled last."
    ) { Double($0.sample.sequenceSlotsHeld) }
    each(
      &text, "sequence_slots_used_tokens", unit: "tokens", "Of those, slots that hold a token."
    ) { Double($0.sample.sequenceSlotsUsed) }
    each(
      &text, "free_run_blocks_max", unit: "", "Blocks of the longest free run, when sampled last."
    ) { Double($0.runs.free.largest) }
    each(
      &text, "available_run_blocks_max", unit: "",
      "Blocks of the longest run of free and cached blocks, when sampled last."
    ) { Double($0.runs.available.largest) }
    text.family(
      "quire_free_runs", .gauge,
      "Free runs of 2^order up to 2^(order+1) - 1 blocks, when sampled last.")
    for look in looks {
      let bins = look.runs.free.histogram
      // All that the pool can have: a bin that is empty now is 0, not gone.
      let blocks = look.sample.stats.blocks
      for order in 0...(31 - blocks.leadingZeroBitCount) {
        text.sample(
          look.labels.adding("order", "\(order)"), order < bins.count ? UInt64(bins[order]) : 0)
      }
    }
  }
}
