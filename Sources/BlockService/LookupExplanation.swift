internal import Analysis
internal import BlockMessages
internal import KVBlocks

/// Why the prefix of some content is used up to where it is and no further.
struct LookupExplanation {
  private(set) var steps: [LookupStepFields] = []
  /// Full blocks whose hashes are known.
  let fullBlocks: Int
  /// The block of the content at which the prefix ends because it is not cached.
  private(set) var firstMiss: Int?
  /// The tokens of the first miss are cached under no keys at all.
  var isCachedWithoutKeys = false

  private let tokens: UInt32
  private let blockSize: UInt32
  private let cachedTokens: UInt32
  private let eviction: EvictedContents.Eviction?
  private let forgotten: UInt64
  private let clearedAt: Revision?
  /// nil where no history is kept.
  private let historySince: Revision?
  private let skipsLookup: Bool
  private var hasHits = false
  private let configuration: PoolConfiguration

  /// - Complexity: O(blocks looked at): up to the first miss, or all with a sliding window.
  init(
    _ trace: LookupTrace, _ found: PrefixLookup, in pool: KVPool, history: PoolHistory?,
    atMost limit: Int
  ) {
    configuration = pool.configuration
    fullBlocks = trace.count
    tokens = trace.tokens
    blockSize = trace.blockSize
    cachedTokens = found.cachedTokens
    skipsLookup = trace.skipsLookup
    historySince = history?.since
    forgotten = history?.evicted.forgotten ?? 0
    clearedAt = history?.evicted.clearedAt
    var eviction: EvictedContents.Eviction?
    for i in 0..<trace.count {
      let block = pool.hit(i, of: trace)
      if block != 0 {
        hasHits = true
      } else if firstMiss == nil {
        firstMiss = i
        eviction = history?.evicted.last(of: trace[i])
      }
      if steps.count < limit {
        var step = LookupStepFields(
          blockIndex: UInt32(i), blockHash: trace[i].bytes(trace.hashBytes))
        step.blockID = block
        if block != 0 {
          step.refCount = pool.block(block).refCount
        } else if let lost = history?.evicted.last(of: trace[i]) {
          step.add(lost)
        }
        steps.append(step)
      }
      if block == 0 && configuration.slidingWindow == 0 { break }
    }
    self.eviction = eviction
  }

  /// The full blocks that an admission may use: a token at least is computed.
  private var usable: Int { min(fullBlocks, Int((max(tokens, 1) - 1) / blockSize)) }

  var end: LookupEnd {
    if !configuration.cachesPrefixes { return .cachingOff }
    if skipsLookup { return .skipped }
    if tokens < blockSize { return .partialBlock }
    if fullBlocks == 0 { return .hashesUnknown }
    let used = Int(cachedTokens / blockSize)
    if firstMiss == nil || used >= usable {
      if used < fullBlocks { return .lastToken }
      return fullBlocks == Int(tokens / blockSize) ? .complete : .hashesUnknown
    }
    if configuration.slidingWindow > 0 && hasHits { return .window }
    // All that may be used was found, and what is missing is behind it.
    if let firstMiss, firstMiss >= usable { return .lastToken }
    if eviction != nil { return .evicted }
    if isCachedWithoutKeys { return .otherKeys }
    // A pool that was empty then has no past that is not known.
    return forgotten == 0 && (historySince == 0 || clearedAt != nil) ? .neverStored : .forgotten
  }

  /// - Parameter now: Milliseconds, as the history was told.
  func conclusion(now: UInt64) -> String {
    let used = "\(cachedTokens) of \(tokens) tokens are used from the cache. "
    let miss = firstMiss ?? 0
    switch end {
    case .cachingOff: return "The pool caches no prefixes."
    case .skipped: return "The sequence asked not to be looked up (skip_prefix_lookup)."
    case .partialBlock:
      return "\(tokens) tokens fill no block of \(blockSize); only full blocks are cached."
    case .hashesUnknown:
      return fullBlocks == 0
        ? "Neither token ids nor block hashes are known: there is nothing to look up."
        : used + "Of the other full blocks no hash is known."
    case .complete:
      let rest = tokens % blockSize
      return used
        + (rest == 0
          ? "Every block is." : "The last \(rest) fill no block of \(blockSize).")
    case .lastToken:
      return used
        + "All that may be used is cached: a token at least is computed anew, for its logits"
        + (configuration.eagle ? ", and with EAGLE the last cached block is, too." : ".")
    case .window:
      return used
        + "With a sliding window of \(configuration.slidingWindow) tokens a prefix is used where the "
        + "blocks that the window reaches back to are cached in a row."
    case .evicted:
      return used + "Block \(miss) of the content was evicted \(whenAndWhy(now))."
    case .otherKeys:
      return used
        + "The tokens of block \(miss) are cached, but without the salt, adapter or inputs that came "
        + "with the content: they are part of its hash."
    case .neverStored:
      return used
        + "Block \(miss) of the content was never cached"
        + (clearedAt.map { " since the pool was reset at revision \($0)." } ?? ".")
    case .forgotten:
      return used + "Block \(miss) of the content is not cached. "
        + ignorance
    }
  }

  /// Why it is not known whether something was there.
  private var ignorance: String {
    let unknown = "Whether it ever was is not known: "
    guard let historySince else {
      return unknown + "the server keeps no history of blocks."
    }
    if forgotten > 0 {
      return unknown + "of the evictions only the last \(EvictedContents.defaultCapacity) are "
        + "remembered."
    }
    return unknown + "the history of this pool begins after revision \(historySince)."
  }

  private func whenAndWhy(_ now: UInt64) -> String {
    guard let eviction else { return "" }
    let seconds = Double(now &- min(now, eviction.milliseconds)) / 1_000
    let tenths = (seconds * 10).rounded() / 10
    return "at revision \(eviction.revision), \(tenths) s ago, \(Self.reason(eviction))"
  }

  private static func reason(_ eviction: EvictedContents.Eviction) -> String {
    let who =
      switch eviction.owner.kind {
      case .sequence: " for sequence \(eviction.owner.sequence)"
      case .raw: eviction.owner.session == 0 ? "" : " for session \(eviction.owner.session)"
      case .nobody, .several: ""
      }
    return switch eviction.cause {
    case .handOut: "when its block was wanted\(who)"
    case .ahead: "ahead of need"
    case .request: "because somebody asked for it"
    case .overwrite, .rewind: "because its slots were to be written again\(who)"
    case .reset: "when the prefix cache was reset"
    case .defragment: "to make a run of adjacent blocks"
    default: "(\(eviction.cause))"
    }
  }
}

extension LookupStepFields {
  fileprivate mutating func add(_ eviction: EvictedContents.Eviction) {
    evictedRevision = eviction.revision
    evictedMs = eviction.milliseconds
    evictedCause = UInt32(eviction.cause.rawValue)
    evictedForSession = eviction.owner.session
    evictedForSequence = eviction.owner.kind == .sequence ? eviction.owner.sequence : 0
  }
}
