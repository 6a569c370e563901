import Analysis
import KVBlocks
import Testing

/// What one command of a played trace may take: a server plays them between those of its clients.
extension TraceReplayTests {
  /// Plays to the end; each piece is one command, or two of which one frees.
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
    "no command takes or frees more than 8,192 blocks and those of one request",
    arguments: [Self.steps, .oneByOne])
  func pieces(pace: TraceReplay.Pace) {
    // 1,000 blocks each; 600 end in the same step, and hold 600,000 table entries then.
    let one = ReplayTrace.Request(
      arrival: 0, input: 16_000, output: 1, firstContent: 0, contents: 32)
    let trace = ReplayTrace(
      requests: Array(repeating: one, count: 600), contents: (0..<32).map { $0 },
      contentTokens: 512)
    let replay = played(trace, pace, pool(20_000))
    #expect(replay.largest.blocks <= 8_192 + 1_001)
    #expect(replay.largest.sequences <= 10)
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
    // Two at once, not 40.
    #expect(played(trace, Self.steps, pool(100, 8_192)).largest.blocks == 8_192)
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
}
