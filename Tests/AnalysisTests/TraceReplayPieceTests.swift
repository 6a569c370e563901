import Analysis
import KVBlocks
import Testing

/// No command of a replay has much to do: between two of them the server serves its calls.
@Suite("pieces of replayed traces")
struct TraceReplayPieceTests {
  private static let steps = TraceReplay.Pace.steps(microseconds: 30_000)

  private func pool(_ blocks: UInt32, _ size: UInt32 = 16, caches: Bool = true)
    -> PoolConfiguration
  {
    PoolConfiguration(blocks: blocks, blockSize: size, cachesPrefixes: caches, hashBytes: 16)
  }

  /// Plays to the end.
  private func played(
    _ trace: ReplayTrace, _ pace: TraceReplay.Pace, _ configuration: PoolConfiguration
  ) -> TraceReplay {
    let replay = TraceReplay(trace, pace, configuration)
    while !replay.isDone { replay.advance() }
    return replay
  }

  @Test("4,096 run at once, and no command is given more sequences; the others wait")
  func mostRunning() {
    let one = ReplayTrace.Request(arrival: 0, input: 8, output: 3)
    let trace = ReplayTrace(
      requests: Array(repeating: one, count: 5_000), contents: [], contentTokens: 512)
    let replay = played(trace, Self.steps, pool(10_000, caches: false))
    // Steps 0 to 2 are those of the first 4,096, 3 to 5 of the 904 that come 90 ms late.
    #expect(replay.result.peakRunning == 4_096)
    #expect((replay.result.refusals, replay.result.neverFit) == (0, 0))
    #expect(replay.result.meanWait == 904 * 90_000 / 5_000.0)
    #expect(replay.result.duration == 150_000)
    #expect(replay.largest.sequences == 4_096)
    #expect(replay.largest.blocks <= 256)
  }

  @Test(
    "no command takes or frees more than 4,096 blocks and those of one request",
    arguments: [Self.steps, .oneByOne])
  func pieces(pace: TraceReplay.Pace) {
    // 1,000 blocks each; 600 end in the same step, and hold 600,000 table entries then.
    let one = ReplayTrace.Request(
      arrival: 0, input: 16_000, output: 1, firstContent: 0, contents: 32)
    let trace = ReplayTrace(
      requests: Array(repeating: one, count: 600), contents: (0..<32).map { $0 },
      contentTokens: 512)
    let replay = played(trace, pace, pool(20_000))
    #expect(replay.largest.blocks <= 4_096 + 1_001)
    #expect(replay.largest.sequences <= 6)
    #expect(replay.result.hitTokens > 599 * 15_000)
    #expect(replay.result.neverFit == 0)
  }

  @Test("ids of content count as blocks do: a stretch may be shorter than a block")
  func contentsOfPieces() {
    // 40 prompts of one block of 8,192 tokens and 4,096 stretches of 2.
    let one = ReplayTrace.Request(
      arrival: 0, input: 8_192, output: 1, firstContent: 0, contents: 4_096)
    let trace = ReplayTrace(
      requests: Array(repeating: one, count: 40), contents: (0..<4_096).map { $0 },
      contentTokens: 2)
    // One at once, not 40.
    #expect(played(trace, Self.steps, pool(100, 8_192)).largest.blocks == 4_096)
  }

  @Test(
    "behind one that has no room nobody is tried: a long line costs a step no more than its head")
  func longLine() {
    // One of 300 runs at a time, for ten steps.
    let one = ReplayTrace.Request(arrival: 0, input: 64, output: 10)
    let trace = ReplayTrace(
      requests: Array(repeating: one, count: 300), contents: [], contentTokens: 512)
    let replay = played(trace, Self.steps, pool(5))
    #expect(replay.result.peakRunning == 1)
    #expect(replay.result.refusals >= 299 * 9)
    // Each refusal is a try; with each success come one that gets in and one behind the refused.
    #expect(replay.tried <= replay.result.refusals + 2 * 300 + 256)
  }

  @Test("no decode preempts more than 4,096 blocks and those of one request, whoever has to go")
  func preempting() {
    // 200 prompts of 1,000 blocks that are equal but for the last, which each has for itself: the pool
    // is full with 999 + 200, and each needs one more at once. The last hundred go, for the first.
    let one = ReplayTrace.Request(
      arrival: 0, input: 16_000, output: 3, firstContent: 0, contents: 32)
    let trace = ReplayTrace(
      requests: Array(repeating: one, count: 200), contents: (0..<32).map { $0 },
      contentTokens: 512)
    let replay = played(trace, Self.steps, pool(1_199))
    #expect((replay.result.peakRunning, replay.result.preemptions) == (200, 100))
    #expect(replay.largest.blocks <= 4_096 + 1_001)
    #expect(replay.result.neverFit == 0)
    // Steps 0 to 2 of the first hundred; the others are admitted again in step 3, with 16,001 tokens.
    #expect(replay.result.duration == 120_000)
    // All tables were taken and given back, half of them twice.
    #expect(replay.work > 2 * 300 * 1_000)
  }

  /// 40 requests of 100 blocks, 99 of them the same: the pool has room for 50, and their tables for ten.
  private func sharing(output: UInt32) -> TraceReplay {
    let one = ReplayTrace.Request(
      arrival: 0, input: 1_600, output: output, firstContent: 0, contents: 4)
    let trace = ReplayTrace(
      requests: Array(repeating: one, count: 40), contents: (0..<4).map { $0 },
      contentTokens: 512)
    return TraceReplay(trace, Self.steps, pool(200), blocksAtOnce: 1, mostHeld: 1_000)
  }

  @Test("tables of those who run take bounded memory, however much of the pool they share")
  func mostHeld() {
    let replay = sharing(output: 2)
    while !replay.isDone { replay.advance() }
    #expect(replay.result.peakRunning == 10)
    #expect((replay.result.refusals, replay.result.neverFit) == (0, 0))
  }

  @Test("so do tables of those who have ended with their first token and are not freed yet")
  func mostHeldByEnded() {
    let replay = sharing(output: 1)
    var most: UInt32 = 0
    while !replay.isDone {
      replay.advance()
      most = max(most, replay.pool.stats().runningSequences)
    }
    // In the pool at once; ten of them in each step, so the last ten end in the fourth.
    #expect(most == 10)
    #expect(replay.result.duration == 90_000)
    #expect((replay.result.requests, replay.result.neverFit) == (40, 0))
    #expect(replay.result.refusals == 0)
  }
}
