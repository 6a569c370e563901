internal import KVBlocks
package import Metrics

/// What is said of each pool: counters and the exact partition, O(pools). Names and units are those of
/// Prometheus' rules; nothing is labelled with a sequence or an owner.
package final class PoolMetrics: MetricsSource {
  /// A pool as it is at one scrape.
  struct Look {
    let labels: MetricLabels
    let pool: KVPool
    let stats: PoolStats
    let tally: SequenceTally
    /// Blocks that an allocation can take.
    var available: UInt32 { stats.free + stats.cached + stats.lazyPending }
  }

  private let registry: PoolRegistry
  private let addsVLLMNames: Bool
  private let analyses: () -> PoolAnalyses?

  /// - Parameters:
  ///   - addsVLLMNames: Also say what vLLM says, under its names.
  ///   - analyses: What samples the pools; nil = nothing does.
  package init(
    _ registry: PoolRegistry, addsVLLMNames: Bool = false,
    analyses: @escaping () -> PoolAnalyses? = { nil }
  ) {
    self.analyses = analyses
    self.registry = registry
    self.addsVLLMNames = addsVLLMNames
  }

  package func write(to text: inout MetricsText) {
    let looks = registry.pools.map {
      Look(
        labels: MetricLabels("pool", $0.name), pool: $0.pool, stats: $0.pool.stats(),
        tally: $0.pool.tally)
    }
    writeBlocks(looks, to: &text)
    writeSequences(looks, to: &text)
    writeWork(looks, to: &text)
    if let analyses = analyses() { RunMetrics.write(analyses, to: &text) }
    WaitMetrics.write(registry.pools, to: &text)
    if addsVLLMNames {
      VLLMMetrics.write(registry.pools.map(\.name), looks, to: &text)
      VLLMMetrics.writeWaits(registry.pools, to: &text)
    }
  }

  private func each(
    _ looks: [Look], _ text: inout MetricsText, _ name: String, _ kind: MetricsText.Kind,
    unit: String = "", _ help: String, _ value: (Look) -> UInt64
  ) {
    text.family("quire_\(name)", kind, unit: unit, help)
    for look in looks { text.sample(look.labels, value(look)) }
  }

  // MARK: Blocks

  private func writeBlocks(_ looks: [Look], to text: inout MetricsText) {
    text.family("quire_pool", .info, "How the pool was made.")
    for look in looks {
      let configuration = look.pool.configuration
      text.sample(
        look.labels
          .adding("block_size", "\(configuration.blockSize)")
          .adding("strategy", PoolSize.strategies[Int(configuration.strategy.rawValue) - 1])
          .adding("eviction", configuration.eviction.label)
          .adding("prefix_caching", configuration.cachesPrefixes ? "true" : "false"), UInt64(1))
    }
    text.family(
      "quire_cache_usage_ratio", .gauge, unit: "ratio",
      "Share of the blocks that no allocation can take, 0 to 1.")
    for look in looks {
      text.sample(
        look.labels, Double(look.stats.blocks - look.available) / Double(look.stats.blocks))
    }
    text.family("quire_blocks", .gauge, "Blocks by state; the states add up to the pool.")
    for look in looks {
      for (state, count) in [
        ("free", look.stats.free), ("cached", look.stats.cached), ("active", look.stats.active),
        ("shared", look.stats.shared), ("pinned", look.stats.pinned),
        ("lazy_pending", look.stats.lazyPending),
      ] { text.sample(look.labels.adding("state", state), count) }
    }
    each(looks, &text, "pool_blocks", .gauge, unit: "blocks", "Blocks of the pool.") {
      UInt64($0.stats.blocks)
    }
    each(
      looks, &text, "block_size_tokens", .gauge, unit: "tokens",
      "Tokens that a block holds; with size classes those of the first."
    ) { UInt64($0.stats.blockSize) }
    each(
      looks, &text, "available_blocks", .gauge, unit: "blocks",
      "Blocks that an allocation can take: free, cached or freed lazily."
    ) { UInt64($0.available) }
    each(
      looks, &text, "reserved_blocks", .gauge, unit: "blocks",
      "Blocks promised, over the available ones."
    ) { UInt64($0.stats.reserved) }
    each(
      looks, &text, "watermark_blocks", .gauge, unit: "blocks",
      "Blocks that admissions leave alone while anything runs."
    ) { UInt64($0.pool.configuration.watermarkBlocks) }
    each(
      looks, &text, "high_watermark_blocks", .gauge, unit: "blocks",
      "Most blocks unavailable at once since the pool was made or reset."
    ) { UInt64($0.stats.highWatermark) }
    text.family("quire_host_blocks", .gauge, "Blocks of the host tier by state.")
    for look in looks where look.stats.hostBlocks > 0 {
      for (state, count) in [
        ("free", look.stats.hostFree), ("active", look.stats.hostActive),
        ("shared", look.stats.hostShared), ("pinned", look.stats.hostPinned),
      ] { text.sample(look.labels.adding("state", state), count) }
    }
    each(looks, &text, "pending_copies", .gauge, "Copies ordered and not acknowledged.") {
      UInt64($0.stats.pendingCopies)
    }
  }

  // MARK: Sequences

  private func writeSequences(_ looks: [Look], to text: inout MetricsText) {
    each(looks, &text, "requests_running", .gauge, "Sequences that hold blocks and run.") {
      UInt64($0.stats.runningSequences)
    }
    each(looks, &text, "requests_waiting", .gauge, "Sequences that were never admitted yet.") {
      UInt64($0.stats.waitingSequences)
    }
    each(looks, &text, "requests_preempted", .gauge, "Sequences that lost their blocks.") {
      UInt64($0.stats.preemptedSequences)
    }
    each(looks, &text, "requests_swapped", .gauge, "Sequences in the host tier.") {
      UInt64($0.stats.swappedSequences)
    }
    text.family(
      "quire_requests", .counter,
      "Sequences that ended: finished while they had their blocks, cancelled while they waited.")
    for look in looks {
      text.sample(look.labels.adding("outcome", "finished"), look.tally.finished)
      text.sample(look.labels.adding("outcome", "cancelled"), look.tally.cancelled)
    }
    each(looks, &text, "admissions", .counter, "Sequences that were admitted for the first time.") {
      $0.tally.admitted
    }
    each(
      looks, &text, "prompt_tokens", .counter, unit: "tokens",
      "Tokens of sequences when they were admitted for the first time."
    ) { $0.tally.promptTokens }
    each(
      looks, &text, "prompt_tokens_cached", .counter, "Of those, tokens found in the prefix cache."
    ) { $0.tally.promptTokensCached }
    each(
      looks, &text, "generation_tokens", .counter, unit: "tokens",
      "Tokens appended to sequences."
    ) { $0.tally.appendedTokens }
    each(
      looks, &text, "prefix_cache_queries_tokens", .counter, unit: "tokens",
      "Tokens looked up in the prefix cache by admissions that were accepted."
    ) { $0.stats.prefixQueryTokens }
    each(
      looks, &text, "prefix_cache_hits_tokens", .counter, unit: "tokens",
      "Of those, tokens found."
    ) { $0.stats.prefixHitTokens }
    text.family("quire_preemptions", .counter, "Sequences that lost their blocks, by reason.")
    for look in looks {
      // The domain has one way to preempt: to compute again. Swapping is counted in blocks.
      text.sample(look.labels.adding("reason", "recompute"), look.stats.preemptions)
    }
    each(
      looks, &text, "preempted_tokens", .counter, unit: "tokens",
      "Computed tokens that preemptions threw away."
    ) { $0.tally.preemptedTokens }
  }

  // MARK: Work

  private func writeWork(_ looks: [Look], to text: inout MetricsText) {
    each(looks, &text, "commands", .counter, "Commands that changed the pool: its revision.") {
      $0.stats.revision
    }
    each(looks, &text, "block_allocations", .counter, "Blocks handed out.") {
      $0.stats.allocatedBlocks
    }
    each(looks, &text, "block_frees", .counter, "Blocks that became available again.") {
      $0.stats.freedBlocks
    }
    text.family("quire_block_evictions", .counter, "Cached blocks that lost their content.")
    for look in looks {
      for policy in [EvictionPolicy.lru, .lfu, .s3FIFO, .priority]
      where policy == look.pool.configuration.eviction
        || look.stats.evictionsByPolicy[Int(policy.rawValue)] > 0
      {
        text.sample(
          look.labels.adding("policy", policy.label),
          look.stats.evictionsByPolicy[Int(policy.rawValue)])
      }
    }
    each(
      looks, &text, "block_evictions_ahead", .counter, "Of those, the ones ahead of an allocation."
    ) { $0.stats.evictionsAhead }
    each(looks, &text, "block_copies", .counter, "Copies on write that were ordered.") {
      $0.stats.copies
    }
    each(looks, &text, "block_forks", .counter, "Forks of sequences and of raw blocks.") {
      $0.stats.forks
    }
    each(looks, &text, "blocks_swapped_out", .counter, "Blocks copied to the host tier.") {
      $0.stats.swappedOutBlocks
    }
    each(looks, &text, "blocks_swapped_in", .counter, "Blocks copied from the host tier.") {
      $0.stats.swappedInBlocks
    }
    each(looks, &text, "blocks_moved", .counter, "Blocks that a defragmentation moved.") {
      $0.stats.movedBlocks
    }
    text.family(
      "quire_admission_rejections", .counter,
      "Operations that were refused for want of room, by what was missing.")
    for look in looks {
      for (reason, kind) in [
        ("no_blocks", Refusal.Reason.later), ("never_fits", .never), ("quota", .quota),
        ("contiguous_fragmentation", .noRun),
      ] {
        text.sample(
          look.labels.adding("reason", reason), look.stats.refusals[Int(kind.rawValue)])
      }
    }
    text.family(
      "quire_invalid_operations", .counter,
      "Operations that were refused for being wrong, whatever room there was.")
    for look in looks {
      let room: [Refusal.Reason] = [.none, .later, .never, .quota, .noRun]
      let all = look.stats.refusals.reduce(0, +)
      text.sample(look.labels, room.reduce(all) { $0 - look.stats.refusals[Int($1.rawValue)] })
    }
  }
}

extension EvictionPolicy {
  /// As a label's value.
  var label: String {
    switch self {
    case .lru: "lru"
    case .lfu: "lfu"
    case .s3FIFO: "s3_fifo"
    case .priority: "priority"
    }
  }
}
