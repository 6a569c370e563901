internal import Analysis
internal import KVBlocks
internal import Metrics

/// What vLLM's own `/metrics` says, under its names, so that its dashboards work unchanged: a pool is
/// a model of one engine. vLLM's names have colons, which `promtool check metrics` does not like.
enum VLLMMetrics {
  static func writeWaits(_ pools: [HostedPool], to text: inout MetricsText) {
    func labels(_ hosted: HostedPool) -> MetricLabels {
      MetricLabels("model_name", hosted.name).adding("engine", "0")
    }
    text.family(
      "vllm:request_queue_time_seconds", .histogram, unit: "seconds",
      "Histogram of time spent in WAITING phase for request.")
    for hosted in pools {
      if let waits = hosted.waits { text.sample(labels(hosted), waits.queue) }
    }
    for (name, help, histogram) in [
      (
        "lifetime", "Histogram of KV cache block lifetime from allocation to eviction.",
        \BlockLifetimes.lifetimes
      ),
      (
        "idle_before_evict", "Histogram of idle time before KV cache block eviction.",
        \.idleBeforeEvict
      ),
      (
        "reuse_gap", "Histogram of time gaps between consecutive KV cache block accesses.",
        \.reuseGaps
      ),
    ] {
      text.family("vllm:kv_block_\(name)_seconds", .histogram, unit: "seconds", help)
      for hosted in pools {
        guard let lifetimes = hosted.lifetimes?.lifetimes else { continue }
        text.sample(labels(hosted), lifetimes[keyPath: histogram])
      }
    }
  }

  static func write(_ names: [String], _ looks: [PoolMetrics.Look], to text: inout MetricsText) {
    let labelled = zip(names, looks).map { name, look in
      (labels: MetricLabels("model_name", name).adding("engine", "0"), look: look)
    }
    func each(
      _ text: inout MetricsText, _ name: String, _ kind: MetricsText.Kind, _ help: String,
      _ value: (PoolMetrics.Look) -> UInt64
    ) {
      text.family("vllm:\(name)", kind, help)
      for (labels, look) in labelled { text.sample(labels, value(look)) }
    }
    text.family("vllm:cache_config", .info, "Information of the LLMEngine CacheConfig.")
    for (labels, look) in labelled {
      let configuration = look.pool.configuration
      text.sample(
        labels
          .adding("block_size", "\(configuration.blockSize)")
          .adding("num_gpu_blocks", "\(configuration.blocks)")
          .adding("num_cpu_blocks", "\(configuration.hostBlocks)")
          .adding("enable_prefix_caching", configuration.cachesPrefixes ? "True" : "False"),
        UInt64(1))
    }
    text.family("vllm:kv_cache_usage_perc", .gauge, "KV-cache usage. 1 means 100 percent usage.")
    for (labels, look) in labelled {
      text.sample(labels, Double(look.stats.blocks - look.available) / Double(look.stats.blocks))
    }
    each(&text, "num_requests_running", .gauge, "Number of requests in model execution batches.") {
      UInt64($0.stats.runningSequences)
    }
    each(&text, "num_requests_waiting", .gauge, "Number of requests waiting to be processed.") {
      UInt64($0.stats.waitingSequences) + UInt64($0.stats.preemptedSequences)
        + UInt64($0.stats.swappedSequences)
    }
    each(&text, "num_preemptions", .counter, "Cumulative number of preemptions.") {
      $0.stats.preemptions
    }
    each(&text, "prefix_cache_queries", .counter, "Prefix cache queries, in queried tokens.") {
      $0.stats.prefixQueryTokens
    }
    each(&text, "prefix_cache_hits", .counter, "Prefix cache hits, in cached tokens.") {
      $0.stats.prefixHitTokens
    }
    each(&text, "prompt_tokens", .counter, "Number of prefill tokens processed.") {
      $0.tally.promptTokens
    }
    each(&text, "prompt_tokens_cached", .counter, "Number of prefill tokens that were cached.") {
      $0.tally.promptTokensCached
    }
    each(&text, "generation_tokens", .counter, "Number of generation tokens processed.") {
      $0.tally.appendedTokens
    }
    text.family("vllm:request_success", .counter, "Count of successfully processed requests.")
    for (labels, look) in labelled {
      text.sample(labels.adding("finished_reason", "stop"), look.tally.finished)
      text.sample(labels.adding("finished_reason", "abort"), look.tally.cancelled)
    }
  }
}
