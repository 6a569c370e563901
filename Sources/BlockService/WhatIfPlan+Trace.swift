internal import Analysis
internal import BlockMessages
internal import KVBlocks

/// A trace of a request, checked, and the pools that it can be played into.
extension WhatIfPlan {
  static let mostRequests = 100_000
  /// Blocks of one request: what no piece of a replay can be smaller than.
  static let mostBlocksOfRequest: UInt64 = 1 << 14
  /// Ids of content of one request, for the same reason.
  static let mostContentsOfRequest: UInt32 = 1 << 16
  /// Blocks of all prompts, and their ids of content, in all rows.
  static let mostPromptBlocks: UInt64 = 1 << 28
  /// Tokens of all answers, times the rows.
  static let mostAnswerTokens: UInt64 = 1 << 28
  /// Microseconds: ten years.
  static let latestArrival: UInt64 = 315_360_000_000_000
  private static let defaultContentTokens: UInt32 = 512
  private static let defaultStep: UInt64 = 30_000

  static func pace(_ message: WhatIfTraceMessage) -> TraceReplay.Pace {
    if message.isPromptsOnly { return .oneByOne }
    let step = UInt64(message.stepMicroseconds)
    return .steps(microseconds: step == 0 ? defaultStep : step)
  }

  /// - Throws: What is wrong with the trace, or with it in one of the pools.
  func trace(_ message: WhatIfTraceMessage) throws(CallFailure) -> ReplayTrace {
    let count = message.arrivals.count
    if count == 0 { throw .invalid("trace.arrival_us", "is empty") }
    try Self.check(count, atMost: Self.mostRequests, "trace.arrival_us")
    for (name, other) in [
      ("input_tokens", message.inputs.count), ("output_tokens", message.outputs.count),
    ] where other != count {
      throw .invalid("trace.\(name)", "has \(other) elements, not \(count) as trace.arrival_us has")
    }
    let counts = message.contentCounts
    if !counts.isEmpty && counts.count != count {
      throw .invalid(
        "trace.content_counts", "has \(counts.count) elements, not \(count) as trace.arrival_us has"
      )
    }
    let contentTokens =
      message.contentTokens == 0 ? Self.defaultContentTokens : message.contentTokens
    var requests: [ReplayTrace.Request] = []
    requests.reserveCapacity(count)
    var first: UInt64 = 0
    var answers: UInt64 = 0
    var prompts: UInt64 = 0
    // Nothing that is done for each request is done for each row of it, too.
    guard let blockSize = cases.map(\.configuration.blockSize).min() else {
      preconditionFailure("a plan without a pool")
    }
    for i in 0..<count {
      let request = ReplayTrace.Request(
        arrival: message.arrivals[i], input: message.inputs[i], output: message.outputs[i],
        firstContent: UInt32(clamping: first), contents: counts.isEmpty ? 0 : counts[i])
      let prompt = try Self.check(
        request, i, before: requests.last, contentTokens, blockSize)
      prompts += message.isPromptsOnly ? prompt : UInt64(request.input)
      first += UInt64(request.contents)
      answers += UInt64(request.output)
      requests.append(request)
    }
    if first != UInt64(message.contentIDs.count) {
      throw .invalid(
        "trace.content_ids",
        "has \(message.contentIDs.count) elements, not the \(first) that trace.content_counts names"
      )
    }
    let blocks = cases.reduce(0) {
      $0 + prompts / UInt64($1.configuration.blockSize) + UInt64(count) + first
    }
    if blocks > Self.mostPromptBlocks {
      throw .invalid(
        "trace.input_tokens",
        "take \(blocks) blocks and ids of content in \(cases.count) pools, more than "
          + "\(Self.mostPromptBlocks): try fewer pools, larger blocks or fewer requests at once")
    }
    if !message.isPromptsOnly && answers * UInt64(cases.count) > Self.mostAnswerTokens {
      throw .invalid(
        "trace.output_tokens",
        "are \(answers) for each of \(cases.count) pools, together more than "
          + "\(Self.mostAnswerTokens): try fewer pools or fewer requests at once")
    }
    return ReplayTrace(
      requests: requests, contents: Array(message.contentIDs), contentTokens: contentTokens)
  }

  /// - Parameter blockSize: The smallest that is tried.
  /// - Returns: Tokens of the prompt in whole stretches.
  private static func check(
    _ request: ReplayTrace.Request, _ i: Int, before: ReplayTrace.Request?,
    _ contentTokens: UInt32, _ blockSize: UInt32
  ) throws(CallFailure) -> UInt64 {
    if request.input == 0 { throw .invalid("trace.input_tokens[\(i)]", "must be at least 1") }
    if request.output == 0 { throw .invalid("trace.output_tokens[\(i)]", "must be at least 1") }
    if request.arrival < before?.arrival ?? 0 {
      throw .invalid("trace.arrival_us[\(i)]", "is less than the one before it")
    }
    if request.arrival > Self.latestArrival {
      throw .invalid(
        "trace.arrival_us[\(i)]", "is \(request.arrival), more than \(Self.latestArrival)")
    }
    let stretches = (UInt64(request.input) + UInt64(contentTokens) - 1) / UInt64(contentTokens)
    if UInt64(request.contents) > stretches {
      throw .invalid(
        "trace.content_counts[\(i)]",
        "is \(request.contents), more than the \(stretches) stretches of \(contentTokens) tokens that "
          + "\(request.input) tokens begin")
    }
    if request.contents > Self.mostContentsOfRequest {
      throw .invalid(
        "trace.content_counts[\(i)]",
        "is \(request.contents), more than \(Self.mostContentsOfRequest)")
    }
    // Of a prompt alone whole stretches are played.
    let whole = stretches * UInt64(contentTokens)
    let tokens = max(UInt64(request.input) + UInt64(request.output), whole)
    let blocks = tokens / UInt64(blockSize) + 1
    if blocks > Self.mostBlocksOfRequest {
      throw .invalid(
        "trace.input_tokens[\(i)]",
        "and the answer take \(blocks) blocks of \(blockSize) tokens, more than "
          + "\(Self.mostBlocksOfRequest)")
    }
    return request.contents == 0 ? UInt64(request.input) : whole
  }

  /// The pools to play into: without what a trace says nothing of, and with hashes of 16 bytes.
  ///
  /// - Parameter limit: Blocks of each at most.
  func playable(atMost limit: UInt32) throws(CallFailure) -> [PoolConfiguration] {
    var all: [PoolConfiguration] = []
    for one in cases {
      let asked = one.configuration
      guard (1...limit).contains(asked.blocks) else {
        throw .invalid(
          one.name,
          "is a pool of \(asked.blocks) blocks; traces are played into 1 to \(limit) "
            + "(--what-if-blocks)")
      }
      let conflict = PoolConfiguration.conflict(
        asked.strategy, cachesPrefixes: asked.cachesPrefixes, maxModelTokens: asked.maxModelTokens,
        slots: UInt64(asked.blocks) * UInt64(asked.blockSize), hostBlocks: 0,
        slidingWindow: asked.slidingWindow)
      switch conflict {
      case nil: break
      case .noMaxModelTokens:
        throw .invalid(one.name, "needs a pool with max_model_tokens, which it reserves")
      case .tooFewSlots:
        throw .invalid(one.name, "has less slots than the max_model_tokens that it reserves")
      case .slidingWindow, .hostBlocks, .prefixCaching:
        throw .invalid(one.name, "does not go with the pool's other options")
      }
      var configuration = PoolConfiguration(
        blocks: asked.blocks, blockSize: asked.blockSize, cachesPrefixes: asked.cachesPrefixes,
        hashBytes: 16, eagle: asked.eagle, watermark: asked.watermark,
        maxModelTokens: asked.maxModelTokens, strategy: asked.strategy, eviction: asked.eviction,
        slidingWindow: asked.slidingWindow, maxInFlightTokens: asked.maxInFlightTokens)
      configuration.admission.threshold = asked.admission.threshold
      all.append(configuration)
    }
    return all
  }
}
