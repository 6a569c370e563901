internal import KVBlocks

/// What causes the fragmentation: lengths, lifetimes, what the cache does, who holds.
extension ReportAnswers {
  func lengths() -> String {
    let lengths = report.lengths
    if lengths.sequences == 0 {
      return look.layout.rawBlocks > 0
        ? "Lengths: not known, everything is held raw."
        : "Lengths: the pool knows no sequence now."
    }
    var text =
      "Lengths: \(Words.count(lengths.sequences, "sequence")), \(Words.fixed(lengths.mean, 1)) tokens"
      + " on average, half have at most \(Words.grouped(lengths.median)), nine tenths "
      + "\(Words.grouped(lengths.ninetieth)), the longest \(Words.grouped(lengths.longest))."
    if lengths.isTruncated { text += " (The first 100,000 were looked at.)" }
    if !report.configuration.sizeClasses.isEmpty { return text }
    let size = report.configuration.blockSize
    let expected = BlockArithmetic.expectedTailWaste(blockSize: size)
    text +=
      " Their last blocks leave \(Words.fixed(lengths.meanTail, 1)) of \(size) slots unused on "
      + "average; \(Words.fixed(expected, 1)) is what lengths of all kinds leave, (B - 1) / 2."
    if size > 1 && Double(lengths.shortTails) >= Double(lengths.sequences) * 3 / 4
      && UInt64(lengths.sequences) >= AdviceRules.leastSequences
    {
      text +=
        " \(Words.percent(Double(lengths.shortTails) / Double(lengths.sequences))) of them end in the"
        + " first quarter of a block: the lengths lie just past multiples of \(size)."
    }
    return text
  }

  func lives() -> String {
    guard let life = report.life else {
      return
        "Lifetimes: not known, nobody follows the blocks one by one; see quired --block-history"
        + " on and --lifetime-sample."
    }
    if life.lifetimes.count == 0 {
      return life.every == 0
        ? "Lifetimes: not sampled; see quired --lifetime-sample."
        : "Lifetimes: none has ended yet; \(Words.sampled(life.every)) is sampled."
    }
    var text =
      "Lifetimes: of \(Words.count(life.lifetimes.count, "sampled block")) ("
      + "\(Words.sampled(life.every))) half were taken again or evicted within "
      + "\(AdviceRules.bound(life.lifetimes)), nine tenths within "
      + "\(AdviceRules.bound(life.lifetimes, 0.9))."
    if life.reuseGaps.count > 0 {
      text +=
        " \(Words.count(life.reuseGaps.count, "sampled hit")), half of them within "
        + "\(AdviceRules.bound(life.reuseGaps)) of the use before."
    }
    return text
  }

  func cache() -> String {
    if !report.configuration.cachesPrefixes { return "Cache: the pool caches no prefixes." }
    var text = "Cache: "
    if let rate = counts.hitRate {
      text +=
        "\(Words.percent(rate)) of \(Words.grouped(counts.queryTokens)) tokens looked up were found "
        + "\(span); "
    } else {
      text += "nothing was looked up \(span); "
    }
    text += "\(Words.count(counts.evictions, "block")) evicted"
    if let life = report.life, life.evicted > 0 {
      text +=
        ", and of \(Words.count(life.evicted, "eviction")) since the blocks are followed "
        + "\(Words.percent(Double(life.evictedUnused) / Double(life.evicted))) were of content that "
        + "was never hit"
    }
    if let losses = report.losses, losses.evicted > 0 {
      text += ", \(Words.percent(losses.share)) of content that was stored again later"
    }
    text += ". \(Words.count(look.stats.cached, "block")) cached"
    if let orphans = look.orphanedBlocks {
      text += ", \(Words.grouped(orphans)) of them behind a hole where no lookup gets to them"
    } else {
      text += " (how many of them no lookup reaches is counted in pools of up to 100,000 blocks)"
    }
    return text + "."
  }

  func holders() -> String {
    let owners = look.owners.filter { $0.blocks > 0 }
    let held = owners.reduce(0 as UInt64) { $0 + UInt64($1.blocks) }
    guard let first = owners.first else { return "Owners: nobody holds a block." }
    var text =
      "Owners: \(Words.owner(first)) holds most, \(Words.count(first.blocks, "block")), "
      + "\(Words.percent(Double(first.blocks) / Double(held))) of what is held"
    text += owners.count > 1 ? " by the \(Words.count(owners.count, "owner")) with most." : "."
    if let cost = look.sequences.max(by: { $0.separatedRuns < $1.separatedRuns }),
      cost.separatedRuns > 0
    {
      text +=
        " Of the sequences that hold most, \(cost.sequence) separates "
        + "\(Words.count(cost.separatedRuns, "pair")) of free runs."
    }
    return text
  }
}
