import Analysis
import KVBlocks
import Testing

@Suite("replayed traces")
struct TraceReplayTests {
  private func pool(
    _ blocks: UInt32, _ size: UInt32 = 16, caches: Bool = true, eviction: EvictionPolicy = .lru,
    strategy: AllocationStrategy = .freeQueue, longest: UInt32 = 0, watermark: Double = 0
  ) -> PoolConfiguration {
    PoolConfiguration(
      blocks: blocks, blockSize: size, cachesPrefixes: caches, hashBytes: 16,
      watermark: watermark, maxModelTokens: longest, strategy: strategy, eviction: eviction)
  }

  private func play(
    _ trace: ReplayTrace, _ pace: TraceReplay.Pace, _ configuration: PoolConfiguration
  ) -> TraceReplay.Result {
    let replay = TraceReplay(trace, pace, configuration)
    var pieces = 0
    while !replay.isDone {
      replay.advance()
      pieces += 1
      precondition(pieces < 1_000_000, "a replay without an end")
    }
    return replay.result
  }

  private static let steps = TraceReplay.Pace.steps(microseconds: 30_000)

  /// `documents` of 16 stretches of 16 tokens and `extra` tokens, again and again, a second apart.
  private func scan(_ documents: Int, rounds: Int, extra: UInt32 = 0) -> ReplayTrace {
    var requests: [ReplayTrace.Request] = []
    var contents: [UInt64] = []
    for round in 0..<rounds {
      for document in 0..<documents {
        requests.append(
          ReplayTrace.Request(
            arrival: UInt64(round * documents + document) * 1_000_000, input: 256 + extra,
            output: 1, firstContent: UInt32(contents.count), contents: 16))
        contents += (0..<16).map { UInt64(document * 16 + $0) }
      }
    }
    return ReplayTrace(requests: requests, contents: contents, contentTokens: 16)
  }

  @Test(
    "a scan of more documents than fit hits nothing under LRU, and all under it where they fit",
    arguments: [(9, 4_608, 0), (10, 5_120, 0), (11, 0, 368)] as [(Int, UInt64, UInt64)])
  func cliff(documents: Int, hits: UInt64, evictions: UInt64) {
    // 160 blocks hold ten documents of 16; the first of three rounds finds nothing.
    let result = play(scan(documents, rounds: 3), .oneByOne, pool(160))
    #expect(result.promptTokens == UInt64(documents) * 3 * 256)
    #expect(result.hitTokens == hits)
    // 33 documents of 16 blocks are 528, of which the first 160 need no victim.
    #expect(result.evictions == evictions)
    #expect(result.requests == UInt64(documents) * 3)
  }

  @Test("another policy keeps some of what is scanned past the pool's end")
  func otherPolicy() {
    let trace = scan(11, rounds: 10)
    #expect(play(trace, .oneByOne, pool(160)).hitTokens == 0)
    #expect(play(trace, .oneByOne, pool(160, eviction: .s3FIFO)).hitTokens > 0)
  }

  @Test(
    "vLLM's last token: 15 of 16 blocks hit where documents fit, none of eleven in room for ten",
    arguments: [
      (9, 0, 9 * 2 * 240), (10, 0, 10 * 2 * 240), (11, 0, 0), (9, 1, 9 * 2 * 256),
    ] as [(Int, UInt32, UInt64)])
  func lastToken(documents: Int, extra: UInt32, hits: UInt64) {
    let result = play(scan(documents, rounds: 3, extra: extra), Self.steps, pool(160))
    #expect(result.promptTokens == UInt64(documents) * 3 * (256 + UInt64(extra)))
    #expect(result.hitTokens == hits)
  }

  @Test("two requests of 80 tokens fill ten blocks of 16; the next token preempts the second")
  func preemption() {
    let one = ReplayTrace.Request(arrival: 0, input: 80, output: 3)
    let trace = ReplayTrace(requests: [one, one], contents: [], contentTokens: 512)
    let result = play(trace, Self.steps, pool(10, caches: false))
    // 0: both in. 1: the first takes the blocks of the second. 2: the first ends, 4 are free of the 6
    // that the second needs by now: refused. 3: it is in. 4: it ends.
    #expect((result.requests, result.neverFit) == (2, 0))
    #expect((result.preemptions, result.refusals) == (1, 1))
    #expect((result.peakBlocks, result.peakRunning) == (10, 2))
    #expect(result.duration == 120_000)
    // While something ran: 10 blocks of 160 tokens, 6 of 81, 6 of 81.
    #expect(result.meanBlocks == 22.0 / 3)
    #expect(result.meanWastedSlots == 10)
    #expect(result.meanTableSlots == 352.0 / 3)
    #expect(result.meanRunning == 4.0 / 3)
    #expect(result.meanWait == 0)
  }

  @Test("who has to wait waits until the step that has room")
  func waiting() {
    let requests = [0, 10_000].map {
      ReplayTrace.Request(arrival: $0, input: 64, output: 2)
    }
    let trace = ReplayTrace(requests: requests, contents: [], contentTokens: 512)
    // 0: the first is in, with 4 of 5 blocks. 1: it has 65 tokens, all 5, and ends; the second is
    // refused. 2: the second is in, 50 ms after it came.
    let result = play(trace, Self.steps, pool(5, caches: false))
    #expect((result.refusals, result.preemptions) == (1, 0))
    #expect(result.meanWait == 25_000)
    #expect(result.duration == 90_000)
  }

  @Test("what never fits goes, before or after it began, and the others have their turn")
  func neverFits() {
    let requests = [(200, 1), (16, 1), (40, 60), (16, 1)].map {
      ReplayTrace.Request(arrival: 0, input: UInt32($0.0), output: UInt32($0.1))
    }
    let trace = ReplayTrace(requests: requests, contents: [], contentTokens: 512)
    // Four blocks of 16: 200 tokens are too many at once, 40 and 60 in the end.
    let result = play(trace, Self.steps, pool(4, caches: false))
    #expect((result.requests, result.neverFit) == (4, 2))
  }

  @Test(
    "content is found in blocks of any size, as far as whole blocks of it are equal",
    arguments: [(16, 512), (512, 512), (48, 480), (1_024, 0)] as [(UInt32, UInt64)])
  func sizes(size: UInt32, hits: UInt64) {
    let trace = ReplayTrace(
      requests: [
        ReplayTrace.Request(arrival: 0, input: 1_024, output: 1, firstContent: 0, contents: 2),
        ReplayTrace.Request(arrival: 1, input: 1_024, output: 1, firstContent: 2, contents: 2),
      ], contents: [1, 2, 1, 3], contentTokens: 512)
    #expect(play(trace, .oneByOne, pool(1_000, size)).hitTokens == hits)
    #expect(play(trace, Self.steps, pool(1_000, size)).hitTokens == hits)
  }

  @Test("what no id names is like nothing else, and a stretch that has begun counts whole alone")
  func unnamed() {
    let trace = ReplayTrace(
      requests: [
        ReplayTrace.Request(arrival: 0, input: 600, output: 1, firstContent: 0, contents: 2),
        ReplayTrace.Request(arrival: 1, input: 600, output: 1, firstContent: 2, contents: 2),
        ReplayTrace.Request(arrival: 2, input: 600, output: 1, firstContent: 4, contents: 1),
      ], contents: [1, 2, 1, 2, 1], contentTokens: 512)
    // Both stretches of the second; the first of the third.
    #expect(play(trace, .oneByOne, pool(1_000, 512)).hitTokens == 1_024 + 512)
    // In blocks of 16: 37 full ones of 600 tokens, then 32.
    #expect(play(trace, Self.steps, pool(1_000)).hitTokens == 37 * 16 + 32 * 16)
  }

  @Test("a pool that reserves the longest holds fewer, and its waste is what it reserves")
  func reserving() {
    let one = ReplayTrace.Request(arrival: 0, input: 32, output: 1)
    let trace = ReplayTrace(
      requests: Array(repeating: one, count: 16), contents: [], contentTokens: 512)
    // 4,096 slots: 8 of 512, or all 16 of two blocks.
    let reserved = play(
      trace, Self.steps, pool(256, caches: false, strategy: .contiguousMax, longest: 512))
    #expect((reserved.peakBlocks, reserved.refusals) == (256, 1))
    let paged = play(trace, Self.steps, pool(256, caches: false))
    #expect((paged.peakBlocks, paged.refusals) == (32, 0))
  }

  @Test(
    "who has as many tokens as a sequence may have ends there, whatever its answer wants",
    arguments: [.freeQueue, .buddy, .contiguousMax, .contiguousExact] as [AllocationStrategy])
  func tokenLimit(strategy: AllocationStrategy) {
    // 60 tokens, and four more with room for 64: 65 are too many. The second is too long at once; the third
    // has 64 in the end and is whole.
    let requests = [(60, 10), (65, 1), (60, 5)].map {
      ReplayTrace.Request(arrival: 0, input: UInt32($0.0), output: UInt32($0.1))
    }
    let trace = ReplayTrace(requests: requests, contents: [], contentTokens: 512)
    let result = play(
      trace, Self.steps, pool(16, caches: false, strategy: strategy, longest: 64))
    #expect((result.requests, result.neverFit) == (3, 2))
    #expect((result.peakRunning, result.duration) == (2, 120_000))
    // With content, over the block that is filled last.
    let cached = play(trace, Self.steps, pool(16, longest: 64))
    #expect((cached.neverFit, cached.duration) == (2, 120_000))
  }

  @Test("what a request holds in the end is reserved for it: its last token is never fed back")
  func reservedExactly() {
    // 32 + 1 - 1 tokens are two blocks of 16, of which four hold two; 500 + 13 - 1 are 512, of which eight
    // of 64 hold one.
    let short = ReplayTrace.Request(arrival: 0, input: 32, output: 1)
    let exact = play(
      ReplayTrace(requests: [short, short], contents: [], contentTokens: 512), Self.steps,
      pool(4, caches: false, strategy: .contiguousExact))
    #expect((exact.refusals, exact.peakBlocks, exact.neverFit) == (0, 4, 0))
    let long = ReplayTrace.Request(arrival: 0, input: 500, output: 13)
    let power = play(
      ReplayTrace(requests: [long], contents: [], contentTokens: 512), Self.steps,
      pool(64, caches: false, strategy: .contiguousPowerOfTwo))
    #expect((power.peakBlocks, power.neverFit) == (32, 0))
  }

  @Test("what buddy rounds up is waste: 80 tokens take eight blocks of 16, not five")
  func buddy() {
    let trace = ReplayTrace(
      requests: [ReplayTrace.Request(arrival: 0, input: 80, output: 2)], contents: [],
      contentTokens: 512)
    let result = play(trace, Self.steps, pool(16, caches: false, strategy: .buddy))
    #expect((result.meanBlocks, result.meanTableSlots, result.meanWastedSlots) == (8, 128, 48))
  }

  @Test("the same trace in the same pool gives the same, whatever happens between its pieces")
  func determinism() {
    var random: UInt64 = 42
    func draw(_ limit: UInt64) -> UInt64 {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (random >> 33) % limit
    }
    var requests: [ReplayTrace.Request] = []
    var contents: [UInt64] = []
    var arrival: UInt64 = 0
    for _ in 0..<400 {
      arrival += draw(100_000)
      let stretches = UInt32(draw(4))
      requests.append(
        ReplayTrace.Request(
          arrival: arrival, input: stretches * 32 + 1 + UInt32(draw(32)),
          output: 1 + UInt32(draw(100)), firstContent: UInt32(contents.count),
          contents: stretches))
      for place in 0..<UInt64(stretches) { contents.append(place * 10 + draw(2)) }
    }
    let trace = ReplayTrace(requests: requests, contents: contents, contentTokens: 32)
    let first = play(trace, Self.steps, pool(60, 8))
    let second = play(trace, Self.steps, pool(60, 8))
    #expect(first == second)
    #expect(first.preemptions > 0 && first.refusals > 0 && first.hitTokens > 0)
    #expect(first.evictions > 0 && first.neverFit == 0)
    #expect(first.peakBlocks == 60)
  }
}
