import Analysis
import KVBlocks

/// One kind of work and nothing else, for a count of its instructions: two runs of different length
/// under `valgrind --tool=callgrind`, and the difference of what they collected.
///
///     BlockPoolBenchmark --count commands-1 10000 [--log | --track]
extension BlockPoolBenchmark {
  static func runCounted(_ arguments: [String]) {
    let rounds = arguments.count > 1 ? Int(arguments[1]) : nil
    guard let rounds, rounds > 0 else { preconditionFailure("--count ROW ROUNDS [--log]") }
    let tracks = arguments.contains("--track")
    let logs = arguments.contains("--log")
    switch arguments[0] {
    case "pool-1": _ = poolAlone(1, false, rounds)
    case "pool-64": _ = poolAlone(64, true, rounds)
    case "commands-1": _ = commands(1, false, rounds, logs: logs, tracks: tracks)
    case "commands-64": _ = commands(64, true, rounds, logs: logs, tracks: tracks)
    case "decode": _ = decode(steps: rounds, logs: logs, tracks: tracks)
    case "decode-hashes": _ = decodeWithHashes(steps: rounds, logs: logs)
    case "prompts": _ = prompts(rounds, logs: logs)
    default: preconditionFailure("no such row: \(arguments[0])")
    }
  }

  /// The rows of commands once more, in pools whose changes are recorded.
  static func printLogged() {
    print("the same in a pool with a change log:")
    for count in [1, 64] as [UInt32] {
      print(
        "allocate(\(count)) + free(\(count)), commands:"
          + right(median { commands(count, true, count == 1 ? 500_000 : 25_000, logs: true) }, "ns")
      )
    }
    print(
      "decode of 256 sequences:" + right(median { decode(steps: 2_000, logs: true) } / 1_000, "us"))
    print(
      "with the hash of a full block, one in sixteen:"
        + right(median { decodeWithHashes(steps: 2_000, logs: true) } / 1_000, "us"))
    print(
      "admit and free a prompt, hashes given:"
        + right(median { prompts(5_000, logs: true) } / 1_000, "us"))
  }
}

/// The analyzer beside a pool, as a server has it.
final class Follower {
  private let pool: KVPool
  private var commands = 0
  private let tracker: FragmentationTracker

  init(_ pool: KVPool) {
    self.pool = pool
    tracker = FragmentationTracker(pool, follows: true)
  }

  /// After a command: a look after so many as a busy server does in a hundredth of a second.
  @inline(never)
  func follow() {
    commands += 1
    if commands % 1_000 == 0 { tracker.catchUp(with: pool) }
  }
}
