internal import KVBlocks

/// One object on one line. Ratios are 0 to 1, times milliseconds since the epoch, what is not known null.
extension FragmentationReporter {
  func json() -> String {
    let look = report.look
    var json = JSONText()
    json.put("report", "quire-fragmentation-report")
    json.put("version", 1)
    json.put("pool", report.pool)
    json.put("time_ms", look.timeMilliseconds)
    json.put("revision", look.stats.revision)
    json.put("strategy", report.configuration.strategy.words)
    json.put("eviction", report.configuration.eviction.words)
    json.put("caches_prefixes", report.configuration.cachesPrefixes)
    json.put("block_size", look.stats.blockSize)
    json.put("bytes_per_block", report.configuration.bytesPerBlock)
    json.put("watermark", report.configuration.watermark)
    json.put("pattern", FragmentationPattern(look).name)
    json.put("blocks", object: blocks())
    json.put("external", object: external())
    json.put("internal", object: slots())
    json.put("lengths", object: lengths())
    json.put("window", object: window())
    json.put("relations", objects: report.window.relations.map(relation))
    json.put("block_life", object: report.life.map(life))
    json.put("evicted_contents", report.losses.map { Double($0.evicted) } ?? .nan)
    json.put("stored_again", report.losses.map { Double($0.storedAgain) } ?? .nan)
    json.put("orphaned_blocks", look.orphanedBlocks.map { Double($0) } ?? .nan)
    json.put(
      "answers",
      objects: report.answers.map { answer in
        var one = JSONText()
        one.put("question", answer.question)
        one.put("paragraphs", answer.paragraphs)
        return one
      })
    json.put("advice", objects: report.advice.map(advice))
    json.put("what_if", objects: report.whatIf.map(whatIf))
    json.put("optimal_block_size", report.optimalBlockSize ?? .nan)
    json.put("owners", objects: look.owners.map(owner))
    json.put("sequences", objects: look.sequences.map(sequence))
    json.put("map", object: map())
    json.put("history", objects: points.map(sample))
    return json.finished + "\n"
  }

  private func blocks() -> JSONText {
    let stats = report.look.stats
    var json = JSONText()
    json.put("capacity", stats.blocks)
    json.put("free", stats.free)
    json.put("cached", stats.cached)
    json.put("active", stats.active)
    json.put("shared", stats.shared)
    json.put("pinned", stats.pinned)
    json.put("lazy_pending", stats.lazyPending)
    json.put("reserved", stats.reserved)
    json.put("high_watermark", stats.highWatermark)
    json.put("usage_by_blocks", report.look.usageByBlocks)
    json.put("usage_by_slots", report.look.usageBySlots)
    return json
  }

  private func external() -> JSONText {
    let look = report.look
    var json = JSONText()
    json.put("fragmentation", look.externalFragmentation)
    json.put("refusals_by_fragmentation", look.refusalsByFragmentation)
    json.put("free_runs", look.runs.free.count)
    json.put("largest_free_run", look.runs.free.largest)
    json.put("mean_free_run", look.runs.free.mean)
    json.put("free_run_histogram", look.runs.free.histogram)
    json.put("available_runs", look.runs.available.count)
    json.put("largest_available_run", look.runs.available.largest)
    json.put("mean_available_run", look.runs.available.mean)
    json.put("available_run_histogram", look.runs.available.histogram)
    return json
  }

  private func slots() -> JSONText {
    let look = report.look
    var json = JSONText()
    json.put("fragmentation", look.internalFragmentation)
    json.put("slots_held", look.heldSlots.held)
    json.put("slots_used", look.heldSlots.used)
    json.put("slots_unused", look.unusedSlots)
    json.put("partial_blocks", look.partialBlocks)
    json.put("empty_blocks", look.emptyBlocks)
    json.put("raw_blocks", look.layout.rawBlocks)
    json.put("reserve_max_slots", look.reserveMaxSlots)
    return json
  }

  private func lengths() -> JSONText {
    let lengths = report.lengths
    var json = JSONText()
    json.put("sequences", lengths.sequences)
    json.put("truncated", lengths.isTruncated)
    json.put("mean", lengths.mean)
    json.put("median", lengths.median)
    json.put("ninetieth_percentile", lengths.ninetieth)
    json.put("longest", lengths.longest)
    json.put("mean_tail_slots", lengths.meanTail)
    json.put("short_tails", lengths.shortTails)
    return json
  }

  private func window() -> JSONText {
    let window = report.window
    let counts = window.counts
    var json = JSONText()
    json.put("interval_ms", window.intervalMilliseconds)
    json.put("samples", window.samples.count)
    json.put("whole_life", window.isWholeLife)
    json.put("from_ms", window.samples[0].timeMilliseconds)
    json.put("duration_ms", window.milliseconds)
    json.put("admitted", counts.admitted)
    json.put("prompt_tokens", counts.promptTokens)
    json.put("allocate_calls", counts.allocateCalls)
    json.put("allocated_blocks", counts.allocatedBlocks)
    json.put("preemptions", counts.preemptions)
    json.put("evictions", counts.evictions)
    json.put("refused_later", counts.refusedLater)
    json.put("refused_never", counts.refusedNever)
    json.put("refused_quota", counts.refusedQuota)
    json.put("refused_no_run", counts.refusedRun)
    json.put("prefix_query_tokens", counts.queryTokens)
    json.put("prefix_hit_tokens", counts.hitTokens)
    json.put("hit_rate", counts.hitRate ?? .nan)
    return json
  }

  private func relation(_ relation: ReportWindow.Relation) -> JSONText {
    var json = JSONText()
    json.put("x", relation.x)
    json.put("y", relation.y)
    json.put("statistic", "spearman")
    json.put("rho", relation.correlation.rho ?? .nan)
    json.put("n", relation.correlation.pairs)
    json.put("effective_n", relation.correlation.effectivePairs)
    json.put("threshold", relation.correlation.threshold)
    json.put("verdict", relation.correlation.verdict.rawValue)
    return json
  }

  private func life(_ life: FragmentationReport.BlockLife) -> JSONText {
    var json = JSONText()
    json.put("sampled_one_in", life.every)
    json.put("evicted", life.evicted)
    json.put("evicted_never_hit", life.evictedUnused)
    json.put("bounds_seconds", DurationHistogram.bounds)
    json.put("lifetimes", life.lifetimes.counts)
    json.put("idle_before_evict", life.idleBeforeEvict.counts)
    json.put("reuse_gaps", life.reuseGaps.counts)
    return json
  }

  private func advice(_ advice: Advice) -> JSONText {
    var json = JSONText()
    json.put("rule", advice.rule.name)
    json.put("given", advice.isGiven)
    json.put("measured", advice.measured)
    json.put("threshold", advice.threshold)
    json.put("reason", advice.reason)
    json.put("change", advice.change)
    json.put("what_if", advice.figures)
    return json
  }

  private func whatIf(_ line: FragmentationReport.WhatIfLine) -> JSONText {
    var json = JSONText()
    json.put("name", line.name)
    json.put("present", line.isPresent)
    json.put("block_size", line.pool.blockSize)
    json.put("strategy", line.pool.strategy.words)
    json.put("pool_blocks", line.pool.blocks)
    json.put("blocks", line.row.blocks)
    json.put("wasted_slots", line.row.wastedSlots)
    json.put("waste", line.row.waste)
    json.put("effective_batch", line.row.effectiveBatch)
    json.put("metadata_bytes", line.row.metadataBytes)
    return json
  }

  /// Sessions and sequences as text: programs in JavaScript have no room for 64 bits.
  private func owner(_ owner: OwnerCost) -> JSONText {
    var json = JSONText()
    json.put("session", "\(owner.session)")
    json.put("label", String(decoding: owner.label, as: UTF8.self))
    json.put("blocks", owner.blocks)
    json.put("raw_blocks", owner.rawBlocks)
    json.put("pinned_blocks", owner.pinnedBlocks)
    json.put("sequences", owner.sequences)
    json.put("running_sequences", owner.runningSequences)
    json.put("unused_slots", owner.unusedSlots)
    return json
  }

  private func sequence(_ cost: SequenceCost) -> JSONText {
    var json = JSONText()
    json.put("session", "\(cost.session)")
    json.put("sequence", "\(cost.sequence)")
    json.put("label", String(decoding: cost.label, as: UTF8.self))
    json.put("tokens", cost.tokens)
    json.put("exclusive_blocks", cost.exclusiveBlocks)
    json.put("shared_blocks", cost.sharedBlocks)
    json.put("runs", cost.runs)
    json.put("unused_slots", cost.unusedSlots)
    json.put("separated_runs", cost.separatedRuns)
    return json
  }

  /// A run of cells that are alike: how many, and of each the blocks by state.
  private func map() -> JSONText {
    var json = JSONText()
    json.put("blocks_per_cell", report.map.perCell)
    json.put("columns", ["cells"] + BlockPicture.names)
    json.put("runs", lists: report.map.runs.map { [$0.cells] + $0.cell.counts })
    return json
  }

  private func sample(_ sample: HistorySample) -> JSONText {
    let stats = sample.stats
    var json = JSONText()
    json.put("time_ms", sample.timeMilliseconds)
    json.put("free", stats.free)
    json.put("cached", stats.cached)
    json.put("active", stats.active)
    json.put("shared", stats.shared)
    json.put("pinned", stats.pinned)
    json.put("running", stats.runningSequences)
    json.put("external_fragmentation", sample.externalFragmentation)
    json.put("internal_fragmentation", sample.internalFragmentation)
    json.put("refusals_by_fragmentation", stats.refusals[Int(Refusal.Reason.noRun.rawValue)])
    json.put("preemptions", stats.preemptions)
    json.put("evictions", stats.evictions)
    json.put("admitted", sample.admitted)
    return json
  }
}
