import FoundationEssentials
import Testing
import Workloads
import ToolSupport

private func report(_ change: (inout RunMetrics) -> Void = { _ in }) -> RunReport {
  var metrics = RunMetrics()
  metrics.planned = 3
  metrics.started = 3
  metrics.finished = 3
  metrics.response.record(2_000_000)
  metrics.service.record(1_500_000)
  change(&metrics)
  var report = RunReport(
    version: "0.1", command: "replay \"a\\b\".jsonl", target: "127.0.0.1:1", pool: "default",
    seed: 42, plan: ChatSystemPrompt.plan(seed: 42, limit: 3), speed: 60,
    tickNanoseconds: 30_000_000, wallNanoseconds: 2_000_000_000, metrics: metrics)
  var pool = PoolSnapshot()
  pool.capacityBlocks = 64
  pool.blockSize = 16
  pool.freeBlocks = 64
  report.leakCheck = LeakCheck(before: pool, after: pool)
  return report
}

@Test("the worst thing that happened decides the exit code")
func exitCodes() {
  #expect(report().exitCode == .pass)
  #expect(report { $0.error("odd") }.exitCode == .server)
  #expect(report { $0.clientLag.record(11_000_000) }.exitCode == .invalidRun)
  #expect(report { $0.invariantsBroken = 1 }.exitCode == .invariant)

  var leaking = report { $0.error("odd") }
  leaking.leakCheck?.after.freeBlocks = 60
  leaking.leakCheck?.after.activeBlocks = 4
  #expect(leaking.exitCode == .invariant)
  #expect(leaking.leakCheck?.leakedBlocks == 4)

  var lost = report()
  lost.leakCheck = nil
  #expect(lost.exitCode == .server)

  var stopped = report()
  stopped.interruption = "SIGINT"
  stopped.isInterruptedByUser = true
  #expect(stopped.exitCode == .interrupted)
  stopped.isInterruptedByUser = false
  #expect(stopped.exitCode == .server)
  #expect(stopped.verdict == "FAILED: SIGINT")
  #expect(ExitCode.interrupted.rawValue == 130)
}

@Test("what a server says of an error is text in a report, whatever it has in it")
func foreignErrors() {
  let text = report {
    $0.error("adding a sequence was refused: \u{1B}]0;gone\u{7}\u{9B}2J\u{202E}\nPASS")
  }.text
  #expect(text.contains("    adding a sequence was refused: ?]0;gone??2J??PASS\n"))
  let prompts = report { $0.promptsTooLong = 2 }.text
  #expect(prompts.contains("2 prompts went without hashes"))
}

@Test("whatever is missing from the pool is a leak, and others' leaving is told apart")
func leaks() {
  func check(_ change: (inout PoolSnapshot) -> Void) -> LeakCheck {
    var before = PoolSnapshot()
    before.capacityBlocks = 64
    before.freeBlocks = 50
    before.cachedBlocks = 4
    before.activeBlocks = 10
    before.runningSequences = 2
    var after = before
    change(&after)
    return LeakCheck(before: before, after: after)
  }
  #expect(check { _ in }.isClean)
  // From free to cached: still there to be had.
  #expect(check { ($0.freeBlocks, $0.cachedBlocks) = (40, 14) }.isClean)
  let pinned = check { ($0.freeBlocks, $0.pinnedBlocks) = (49, 1) }
  #expect(pinned.leakedBlocks == 1 && !pinned.isClean && !pinned.isOnlyLess)
  let lost = check { $0.freeBlocks = 47 }
  #expect(lost.leakedBlocks == 3 && !lost.isClean && !lost.isOnlyLess)
  let counted = check { $0.activeBlocks = 11 }
  #expect(counted.leakedBlocks == 0 && !counted.isClean && !counted.isOnlyLess)
  let sequence = check { $0.preemptedSequences = 1 }
  #expect(sequence.leakedSequences == 1 && !sequence.isClean && !sequence.isOnlyLess)
  let left = check {
    ($0.freeBlocks, $0.activeBlocks, $0.runningSequences) = (55, 5, 1)
  }
  #expect(left.leakedBlocks == -5 && !left.isClean && left.isOnlyLess)

  var report = report()
  report.leakCheck = left
  #expect(report.exitCode == .invariant)
  #expect(report.text.contains("leak check   CHANGED: -5 blocks, -1 sequences"))
  #expect(report.text.contains("Others held some before"))
}

@Test("the JSON is JSON, and names what scripts ask for")
func json() throws {
  struct Shape: Decodable {
    struct Latency: Decodable { var p50: Double, max: Double, count: Int }
    var command: String, errors: Int, leaked_blocks: Int, preemptions: Int, exit_code: Int
    var plan_hash: String, requests_finished: Int, response_ms: Latency, service_ms: Latency
    var seed: Int, wall_seconds: Double
  }
  let made = report { $0.preemptions = 7 }
  let shape = try JSONDecoder().decode(Shape.self, from: Data(made.json.utf8))
  #expect(shape.command == "replay \"a\\b\".jsonl")
  #expect(shape.errors == 0)
  #expect(shape.leaked_blocks == 0)
  #expect(shape.preemptions == 7)
  #expect(shape.exit_code == 0)
  #expect(shape.requests_finished == 3)
  #expect(shape.response_ms.max == 2)
  #expect(shape.service_ms.count == 1)
  #expect(shape.plan_hash.count == 16)
  #expect(shape.wall_seconds == 2)
}

@Test("the text says what ran, what came of it and how it ended")
func text() {
  let text = report { $0.error("one odd thing") }.text
  for part in [
    "3 requests", "played at 60x", "one step every 0.500 ms", "64 blocks of 16 tokens",
    "leak check   ok: 0 blocks", "errors       1", "one odd thing", "exit 2", "seed 42",
  ] {
    #expect(text.contains(part), "\(part) is missing")
  }
}

@Test(
  "numbers are written in full, rounded half away from zero",
  arguments: [(0.05, 1, "0.1"), (1.999, 2, "2.00"), (-1.5, 0, "-2"), (12.0, 3, "12.000")])
func fixed(value: Double, digits: Int, expected: String) {
  #expect(NumberText.fixed(value, digits) == expected)
}
