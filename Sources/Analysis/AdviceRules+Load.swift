internal import ForeignText
internal import KVBlocks

/// What to change about who is let in, what is kept, and how much there is.
extension AdviceRules {
  /// Refusals for want of blocks, of them and all calls that got blocks: raw ones and those that let a
  /// sequence grow are refused as admissions are.
  private var trouble: Double {
    let tried = max(counts.admitted, counts.allocateCalls) + counts.refusedLater
    return tried == 0 ? 0 : Double(counts.refusedLater) / Double(tried)
  }

  private var preemptionShare: Double {
    counts.admitted == 0 ? 0 : Double(counts.preemptions) / Double(counts.admitted)
  }

  private func use(of sample: HistorySample) -> Double {
    let stats = sample.stats
    return 1 - Double(stats.free + stats.cached + stats.lazyPending) / Double(stats.blocks)
  }

  /// The most of the pool's blocks in use at once: of all samples, or, without any, of its life.
  private var mostUsed: Double {
    let window = report.window
    let most =
      window.isWholeLife
      ? report.look.stats.highWatermark : window.samples.map(\.peaks.usedBlocks).max() ?? 0
    return Double(most) / Double(report.configuration.blocks)
  }

  // MARK: Watermark

  func raiseWatermark() -> Advice {
    let configuration = report.configuration
    if configuration.strategy.reservesAtAdmission {
      return advice(
        .raiseWatermark, "not judged: a sequence has all its blocks from the beginning",
        "preemptions of sequences that grow", because: "a watermark leaves room to grow", nil)
    }
    let measured =
      "\(Words.count(counts.preemptions, "preemption")), \(Words.percent(preemptionShare)) of "
      + "\(Words.count(counts.admitted, "admission")); watermark "
      + Words.percent(configuration.watermark)
    // A block for each that runs, so that all may grow once.
    let running = report.window.samples.map(\.stats.runningSequences).max() ?? 0
    let each = Double(running) / Double(configuration.blocks)
    let wanted = min(max(Self.lowWatermark, each), Self.highWatermark)
    let isTooMuch = configuration.watermark >= Self.highWatermark
    let isGiven =
      counts.preemptions >= Self.leastEvents && preemptionShare >= Self.leastTrouble && !isTooMuch
      && wanted > configuration.watermark
    var figures = ""
    if isGiven, let now = present {
      var pool = now.pool
      pool.watermark = wanted
      let row = sequences.row(pool)
      figures =
        "\(Words.fixed(row.effectiveBatch, 1)) of these sequences are let in at once instead of "
        + "\(Words.fixed(now.row.effectiveBatch, 1)); since the pool was made preemptions threw away "
        + "\(Words.count(report.tally.preemptedTokens, "computed token")), against "
        + "\(Words.grouped(report.tally.promptTokens)) tokens of prompts"
    }
    return advice(
      .raiseWatermark, measured,
      "\(Self.leastEvents) preemptions and \(Words.share(Self.leastTrouble)) of the admissions, "
        + "at a watermark under \(Words.share(Self.highWatermark))",
      because:
        "each preemption computes again what was there; a watermark leaves room to grow, and "
        + "over \(Words.share(Self.highWatermark)) the pool is too small rather than too open",
      isGiven
        ? (
          "Raise the watermark to \(Words.fixed(wanted, 3)): "
            + (wanted == each
              ? "a block for each of the \(Words.grouped(running)) sequences that ran at once, to grow into."
              : wanted > each
                ? "the least that is usual, more than a block for each of the "
                  + "\(Words.grouped(running)) sequences that ran at once."
                : "less than a block for each of the \(Words.grouped(running)) sequences that ran at "
                  + "once, as more is a pool that is too small."),
          figures
        ) : nil)
  }

  func lowerWatermark() -> Advice {
    let configuration = report.configuration
    let most = mostUsed
    // Who was refused with the room in use was not refused by the watermark.
    let isGiven =
      configuration.watermarkBlocks > 0 && counts.preemptions == 0
      && most <= 1 - configuration.watermark
      && counts.refusedLater >= Self.leastEvents && trouble >= Self.leastTrouble
    var figures = ""
    if isGiven, let now = present {
      var pool = now.pool
      pool.watermark /= 2
      figures =
        "at half of it \(Words.fixed(sequences.row(pool).effectiveBatch, 1)) of these sequences are "
        + "let in at once instead of \(Words.fixed(now.row.effectiveBatch, 1))"
    }
    return advice(
      .lowerWatermark,
      configuration.watermarkBlocks == 0
        ? "there is no watermark"
        : "\(Words.count(configuration.watermarkBlocks, "block")) kept back, no more than "
          + "\(Words.percent(most)) of the pool used, "
          + "\(Words.count(counts.preemptions, "preemption")), "
          + "\(Words.count(counts.refusedLater, "refusal")) for want of blocks",
      "\(Self.leastEvents) refusals, \(Words.share(Self.leastTrouble)) of what was asked for, no "
        + "preemption, and nothing ever in what is kept back",
      because: "room that nobody grows into turns sequences away for nothing",
      isGiven
        ? ("Lower the watermark, by half at first, and watch the preemptions.", figures) : nil)
  }

  // MARK: Cache

  func evictionPolicy() -> Advice {
    let reason =
      "content that comes back after its eviction was computed twice; letting go of what nobody asks "
      + "for again is what a cache is to do, and under \(Self.leastEvictions) evictions say little"
    let threshold =
      "\(Self.leastEvictions) evictions, \(Words.share(Self.mostStoredAgain)) of them stored again"
    func rule(_ measured: String, _ change: (String, String)? = nil) -> Advice {
      advice(.evictionPolicy, measured, threshold, because: reason, change)
    }
    if !report.configuration.cachesPrefixes { return rule("the pool caches no prefixes") }
    guard let losses = report.losses else {
      return rule(
        "not known: nobody keeps account of evictions (quired --block-history on); "
          + "\(Words.count(counts.evictions, "eviction"))")
    }
    let measured =
      "\(Words.grouped(losses.storedAgain)) of \(Words.count(losses.evicted, "eviction")), "
      + "\(Words.percent(losses.share)), were of content that was stored again later"
    if losses.evicted < Self.leastEvictions || losses.share < Self.mostStoredAgain {
      return rule(measured)
    }
    var change: String
    switch report.configuration.eviction {
    case .lru:
      change =
        "Try the policy s3-fifo, which lets go first of what was used once, or give the prompts that "
        + "come back a retention of their own (policy priority)."
    case .priority:
      change = "Give what comes back a longer retention, or what does not a shorter one."
    case .lfu, .s3FIFO:
      change =
        "No policy keeps what does not fit: more blocks, a host tier, or requests with the "
        + "same prefix close together."
    }
    change += " Requests that nobody repeats can leave the cache alone (skip_prefix_lookup)."
    var figures =
      "hit rate \(counts.hitRate.map(Words.percent) ?? "not known"); no what-if backs this, because "
      + "lengths know nothing of hits: play your trace under both (quire what-if)"
    if let life = report.life, life.reuseGaps.count > 0 && life.idleBeforeEvict.count > 0 {
      figures =
        "half of the sampled hits came within \(Self.bound(life.reuseGaps)), half of what was evicted "
        + "had lain idle for at most \(Self.bound(life.idleBeforeEvict)); " + figures
    }
    return rule(measured, (change, figures))
  }

  /// The bound under which half of the durations are.
  static func bound(_ durations: DurationHistogram, _ share: Double = 0.5) -> String {
    let bound = durations.quantileBound(share)
    return bound.isFinite ? "\(Words.fixed(bound, 0)) s" : "more than 4,096 s"
  }

  // MARK: Size

  func moreBlocks() -> Advice {
    let use = report.window.mean(use)
    let waste = report.look.internalFragmentation
    // Blocks that a further sequence of the usual length takes.
    let usual =
      present.map { $0.row.blocks / max(1, sequences.sequences) } ?? 0
    let closed = report.window.mean { $0.availableBlocks < usual ? 1 : 0 }
    let isShort = trouble >= Self.leastTrouble || preemptionShare >= Self.leastTrouble
    let isGiven =
      isShort && counts.refusedLater + counts.preemptions >= Self.leastEvents
      && (use >= Self.fullUse || closed >= Self.mostTime) && waste < Self.mostAhead
    return advice(
      .moreBlocks,
      "\(Words.percent(use)) in use, no room for a further sequence of the mean length "
        + "\(Words.percent(closed)) of the time, \(Words.percent(waste)) of the held slots unused, "
        + "\(Words.count(counts.refusedLater, "refusal")) for want of blocks, "
        + Words.count(counts.preemptions, "preemption"),
      "refusals at \(Words.share(Self.leastTrouble)) of what was asked for or preemptions at "
        + "\(Words.share(Self.leastTrouble)) of the admissions, "
        + "\(Words.share(Self.fullUse)) in use or no room \(Words.share(Self.mostTime)) of the time, "
        + "and under \(Words.share(Self.mostAhead)) of it wasted",
      because: "more blocks help where those there are in use and full; else cut the waste first",
      isGiven
        ? (
          "Give the pool more blocks, or send it less: it is full of tokens, not of holes.",
          present.map {
            "the \(Words.count(sequences.sequences, "sequence")) it knows take "
              + "\(Words.count($0.row.blocks, "block")) all at once; there are "
              + Words.grouped($0.pool.blocks)
          } ?? ""
        ) : nil)
  }

  func fewerBlocks() -> Advice {
    let most = report.window.samples.map(\.peaks.usedBlocks).max() ?? 0
    let blocks = report.configuration.blocks
    let share = Double(most) / Double(blocks)
    let window = report.window.milliseconds
    let isLong = window >= Self.leastWindowMilliseconds
    let leastFree = report.window.samples.map(\.stats.free).min() ?? 0
    return advice(
      .fewerBlocks,
      report.window.intervalMilliseconds == 0
        ? "not known: nobody samples the pool"
        : "at most \(Words.percent(share)) in use within \(Words.duration(milliseconds: window))",
      "under \(Words.share(Self.littleUse)) for \(Words.duration(milliseconds: Self.leastWindowMilliseconds))"
        + ", and half of the pool without content all the time",
      because: "shorter windows miss the peaks of a day, and cached content is use, too",
      isLong && report.window.intervalMilliseconds > 0 && share < Self.littleUse
        && counts.admitted + counts.allocateCalls > 0 && UInt64(leastFree) * 2 >= UInt64(blocks)
        ? (
          "Half of the pool would have done. Give the memory to something else, or let more in.",
          "most in use at once: \(Words.grouped(most)) of \(Words.count(blocks, "block"))"
        ) : nil)
  }

  // MARK: Owners

  func idleOwner() -> Advice {
    let reason = "blocks that nothing runs with for so long are forgotten more often than paused"
    let threshold =
      "\(Words.share(Self.idleShare)) of the pool held for "
      + "\(Words.duration(milliseconds: Self.idleMilliseconds)) with nothing running"
    let now = report.look.timeMilliseconds
    let idle = report.look.owners.filter { owner in
      guard let since = owner.idleSinceMilliseconds else { return false }
      return now - min(now, since) >= Self.idleMilliseconds
        && Double(owner.blocks) >= Self.idleShare * Double(report.configuration.blocks)
    }
    guard let first = idle.first, let since = first.idleSinceMilliseconds else {
      return advice(
        .idleOwner,
        report.isSampled ? "nobody does" : "not known: nobody samples the pool", threshold,
        because: reason, nil)
    }
    return advice(
      .idleOwner, Words.count(idle.count, "owner does", "owners do"), threshold, because: reason,
      (
        "Find out whether \(ReportWords.owner(first)) is still there, and give back what is not.",
        "\(Words.count(first.blocks, "block")) for "
          + "\(Words.duration(milliseconds: now - since)), \(first.grownBlocks >= 0 ? "+" : "")"
          + "\(first.grownBlocks) since"
      ))
  }

  func oneOwner() -> Advice {
    let owners = report.look.owners.filter { $0.blocks > 0 }
    let held = owners.reduce(0 as UInt64) { $0 + UInt64($1.blocks) }
    let share = held == 0 ? 0 : Double(owners[0].blocks) / Double(held)
    let isGiven =
      owners.count > 1 && share >= Self.greatShare && counts.refusedLater >= Self.leastEvents
    return advice(
      .oneOwner,
      owners.isEmpty
        ? "nobody holds anything"
        : "\(ReportWords.owner(owners[0])) holds \(Words.percent(share)) of what "
          + Words.count(owners.count, "owner holds", "owners hold"),
      "\(Words.share(Self.greatShare)) of what is held, beside others, and "
        + "\(Self.leastEvents) refusals for want of blocks",
      because: "what one holds only matters where others are turned away",
      isGiven
        ? (
          "Give \(ReportWords.owner(owners[0])) a pool of its own, or a lower priority: others are "
            + "turned away.",
          "\(Words.grouped(owners[0].blocks)) of \(Words.count(held, "block")), "
            + "\(Words.count(counts.refusedLater, "refusal"))"
        ) : nil)
  }
}

extension ReportWords {
  /// 'chat', or "raw blocks of session 7".
  static func owner(_ owner: OwnerCost) -> String {
    let label = ForeignText.printable(String(decoding: owner.label, as: UTF8.self))
    let session = owner.session == 0 ? "" : " of session \(owner.session)"
    if !label.isEmpty { return "'\(label)'\(session)" }
    return owner.rawBlocks > 0 && owner.sequences == 0
      ? "the holder of raw blocks\(session)" : "the owner without a label\(session)"
  }
}
