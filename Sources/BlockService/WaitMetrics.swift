internal import Analysis
internal import Metrics

/// How long blocks live and sequences wait, where that is measured.
enum WaitMetrics {
  static func write(_ pools: [HostedPool], to text: inout MetricsText) {
    func each(_ name: String, _ help: String, _ histogram: (AdmissionWaits) -> MetricHistogram) {
      text.family("quire_\(name)", .histogram, unit: "seconds", help)
      for hosted in pools {
        guard let waits = hosted.waits else { continue }
        text.sample(MetricLabels("pool", hosted.name), histogram(waits))
      }
    }
    each(
      "request_queue_time_seconds",
      "From the addition of a sequence to its first admission, whatever it waited for."
    ) { $0.queue }
    each(
      "admission_wait_seconds",
      "From the first admission refused for want of room to the one accepted; 0 = none was refused."
    ) { $0.admission }
    writeLifetimes(pools, to: &text)
  }

  private static func writeLifetimes(_ pools: [HostedPool], to text: inout MetricsText) {
    let all = pools.compactMap { hosted in
      hosted.lifetimes.map { (MetricLabels("pool", hosted.name), $0.lifetimes) }
    }
    func each(
      _ name: String, _ help: String, _ histogram: (BlockLifetimes) -> DurationHistogram
    ) {
      text.family(name, .histogram, unit: "seconds", help)
      for (labels, lifetimes) in all { text.sample(labels, histogram(lifetimes)) }
    }
    each(
      "quire_block_lifetime_seconds",
      "Of a sample of blocks: from the hand-out to the next one, or to the loss of their content."
    ) { $0.lifetimes }
    each(
      "quire_block_idle_before_evict_seconds",
      "Of a sample of blocks that lost their content: since they were hit last, or handed out."
    ) { $0.idleBeforeEvict }
    each(
      "quire_block_reuse_gap_seconds",
      "Of a sample of blocks that were hit: since the hit before, or the hand-out."
    ) { $0.reuseGaps }
    text.family(
      "quire_block_evictions_unused", .counter,
      "Blocks that lost their content for room and had never been hit, since this is measured.")
    for (labels, lifetimes) in all { text.sample(labels, lifetimes.evictedUnused) }
  }
}

extension MetricsText {
  mutating func sample(_ labels: MetricLabels, _ histogram: DurationHistogram) {
    sample(
      labels, bounds: DurationHistogram.bounds, counts: histogram.counts,
      sum: Double(histogram.sum) / 1_000)
  }
}
