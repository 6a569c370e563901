import Analysis
import Glibc
import KVBlocks

/// How long the pieces of played traces take, of which the server's calls wait for one, in processor time: for
/// traces that make a kind of piece as long as it gets.
///
///     SamplingBenchmark pieces [BLOCKS]
struct ReplayPieces {
  let blocks: UInt32

  func run() {
    print("pieces of traces played into \(blocks) blocks of 16, us:")
    print("trace                                  pieces   mean  99 %  longest  begin   end")
    measure("prompts of 8,000 tokens, all new", new(count: 4_000, input: 8_000, output: 8))
    measure("prompts of 262,000 tokens, all new", new(count: 200, input: 262_000, output: 8))
    measure("prompts of 262,000, shared", shared(count: 4_096, input: 262_000, output: 3))
    // The pool is full of those who run, and each needs a block at once.
    let tight = shared(count: 4_000, input: 16_000, output: 3)
    measure("prompts of 16,000, shared, preempted", tight, blocks: 999 + 4_000)
    measure("4,096 decode", new(count: 8_192, input: 8, output: 200))
    measure("100,000 wait for one of them", new(count: 100_000, input: 16, output: 2), blocks: 2)
    measure("prompts alone, all new", new(count: 200, input: 262_000, output: 1), .oneByOne)
    measure("ids of content of a token each", ids(count: 200, input: 65_536), .oneByOne)
  }

  private func new(count: Int, input: UInt32, output: UInt32) -> ReplayTrace {
    let one = ReplayTrace.Request(arrival: 0, input: input, output: output)
    return ReplayTrace(
      requests: Array(repeating: one, count: count), contents: [], contentTokens: 512)
  }

  /// Equal but for the last block.
  private func shared(count: Int, input: UInt32, output: UInt32) -> ReplayTrace {
    let stretches = input / 512 + 1
    let one = ReplayTrace.Request(
      arrival: 0, input: input, output: output, firstContent: 0, contents: stretches)
    return ReplayTrace(
      requests: Array(repeating: one, count: count), contents: (0..<UInt64(stretches)).map { $0 },
      contentTokens: 512)
  }

  private func ids(count: Int, input: UInt32) -> ReplayTrace {
    let one = ReplayTrace.Request(
      arrival: 0, input: input, output: 1, firstContent: 0, contents: input)
    return ReplayTrace(
      requests: Array(repeating: one, count: count), contents: (0..<UInt64(input)).map { $0 },
      contentTokens: 1)
  }

  private func measure(
    _ name: String, _ trace: ReplayTrace,
    _ pace: TraceReplay.Pace = .steps(microseconds: 30_000), blocks: UInt32? = nil
  ) {
    let configuration = PoolConfiguration(
      blocks: blocks ?? self.blocks, blockSize: 16, cachesPrefixes: true, hashBytes: 16)
    var times: [UInt64] = []
    var end: UInt64 = 0
    let begin = time()
    var replay: TraceReplay? = TraceReplay(trace, pace, configuration)
    let made = time() - begin
    while let playing = replay, !playing.isDone, times.count < 200_000 {
      let begin = time()
      playing.advance()
      times.append(time() - begin)
    }
    end = time()
    replay = nil
    end = time() - end
    times.sort()
    let mean = times.reduce(0, +) / UInt64(max(1, times.count))
    let columns = [
      mean, times[times.count * 99 / 100], times[times.count - 1], made, end,
    ]
    let row = zip(columns, [7, 6, 9, 7, 6]).map { pad("\($0 / 1_000)", $1) }.joined()
    print(name + pad("\(times.count)", 45 - name.utf8.count) + row)
  }

  private func pad(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.utf8.count)) + text
  }

  private func time() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }
}
