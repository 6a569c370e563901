import Analysis
import KVBlocks
import Testing

/// Whatever a trace and a pool may be: a replay ends, gives back what it took, and traps nowhere.
@Suite("replayed traces, walked")
struct TraceReplayWalkTests {
  private struct Draws {
    var state: UInt64
    mutating func next(_ limit: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % limit
    }
  }

  private func trace(_ draws: inout Draws) -> ReplayTrace {
    var requests: [ReplayTrace.Request] = []
    var contents: [UInt64] = []
    var arrival: UInt64 = 0
    for _ in 0..<60 {
      arrival += draws.next(120_000)
      let stretches = UInt32(draws.next(6))
      requests.append(
        ReplayTrace.Request(
          arrival: arrival, input: stretches * 8 + 1 + UInt32(draws.next(8)),
          output: 1 + UInt32(draws.next(40)), firstContent: UInt32(contents.count),
          contents: stretches))
      for place in 0..<UInt64(stretches) { contents.append(place * 10 + draws.next(2)) }
    }
    return ReplayTrace(requests: requests, contents: contents, contentTokens: 8)
  }

  private func pool(_ strategy: AllocationStrategy, _ draws: inout Draws) -> PoolConfiguration {
    let size = UInt32(1 + draws.next(8))
    // Some tables and some requests are too large for it, some too long.
    let blocks = UInt32(8 + draws.next(40))
    let longest: UInt32 =
      strategy == .contiguousMax || draws.next(3) == 0
      ? UInt32(1 + draws.next(UInt64(blocks * size))) : 0
    let caches = !strategy.needsRuns && draws.next(4) > 0
    let window: UInt32 =
      !strategy.reservesAtAdmission && draws.next(4) == 0 ? UInt32(4 + draws.next(30)) : 0
    var configuration = PoolConfiguration(
      blocks: blocks, blockSize: size, cachesPrefixes: caches, hashBytes: 16,
      eagle: caches && draws.next(4) == 0, watermark: Double(draws.next(3)) / 10,
      maxModelTokens: longest, strategy: strategy,
      eviction: caches && draws.next(2) == 0 ? .s3FIFO : .lru, slidingWindow: window)
    if draws.next(4) == 0 { configuration.admission.threshold = 0.8 }
    return configuration
  }

  @Test(
    "each ends with a sound pool of which nothing is held",
    arguments: [
      .freeQueue, .firstFit, .bestFit, .buddy, .contiguousMax, .contiguousPowerOfTwo,
      .contiguousExact,
    ] as [AllocationStrategy], [TraceReplay.Pace.steps(microseconds: 30_000), .oneByOne])
  func walk(strategy: AllocationStrategy, pace: TraceReplay.Pace) {
    var preemptions: UInt64 = 0
    for seed in 1...20 as ClosedRange<UInt64> {
      var draws = Draws(state: seed)
      let configuration = pool(strategy, &draws)
      let replay = TraceReplay(trace(&draws), pace, configuration)
      var pieces = 0
      while !replay.isDone && pieces < 100_000 {
        replay.advance()
        pieces += 1
      }
      #expect(replay.isDone, "seed \(seed)")
      let wrong = replay.pool.checkInvariants()
      #expect(wrong == nil, "seed \(seed): \(wrong ?? "")")
      let stats = replay.pool.stats()
      #expect(
        stats.free + stats.cached + stats.lazyPending == stats.blocks, "seed \(seed)")
      #expect(replay.result.requests == 60 && replay.result.neverFit <= 60)
      #expect(replay.result.meanWastedSlots >= 0)
      // A table or two at once, and the same comes of it.
      let slowly = TraceReplay(replay.trace, pace, configuration, blocksAtOnce: 3)
      while !slowly.isDone { slowly.advance() }
      #expect(slowly.result == replay.result, "seed \(seed)")
      preemptions += replay.result.preemptions
    }
    // Where tables grow, some of the walks have victims, so that it matters how they are cut up.
    #expect((preemptions > 20) == (pace != .oneByOne && !strategy.reservesAtAdmission))
  }
}
