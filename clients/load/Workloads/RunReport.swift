/// Everything a finished run says, ready to be written as text for people or JSON for programs.
package struct RunReport {
  /// Of the program.
  package var version: String
  /// `replay FILE` or `run SCENARIO`.
  package var command: String
  package var target: String
  package var pool: String
  package var seed: UInt64
  package var planDigest: UInt64
  /// Nanoseconds from the plan's first to its last arrival, at speed 1.
  package var planSpanNanoseconds: UInt64
  package var speed: Double
  package var tickNanoseconds: Double
  /// From the start to the last answer.
  package var wallNanoseconds: UInt64
  package var metrics: RunMetrics
  /// Nil when the pool could not be asked any more.
  package var leakCheck: LeakCheck?
  /// Why the run ended early; nil when it ran to its end.
  package var interruption: String?
  package var isInterruptedByUser = false

  package init(
    version: String, command: String, target: String, pool: String, seed: UInt64, plan: RequestPlan,
    speed: Double, tickNanoseconds: Double, wallNanoseconds: UInt64, metrics: RunMetrics
  ) {
    self.version = version
    self.command = command
    self.target = target
    self.pool = pool
    self.seed = seed
    self.planDigest = plan.digest
    self.planSpanNanoseconds = plan.spanNanoseconds
    self.speed = speed
    self.tickNanoseconds = tickNanoseconds
    self.wallNanoseconds = wallNanoseconds
    self.metrics = metrics
  }

  /// The worst thing that happened decides.
  package var exitCode: ExitCode {
    if let leakCheck, !leakCheck.isClean { return .invariant }
    if metrics.invariantsBroken > 0 { return .invariant }
    if metrics.errors > 0 || leakCheck == nil { return .server }
    if isInterruptedByUser { return .interrupted }
    if interruption != nil { return .server }
    if metrics.isClientTooSlow { return .invalidRun }
    return .pass
  }

  var wallSeconds: Double { Double(wallNanoseconds) / 1e9 }
  var operationsPerSecond: Double {
    wallSeconds > 0 ? Double(metrics.operations) / wallSeconds : 0
  }
  var stepsPerSecond: Double { wallSeconds > 0 ? Double(metrics.steps) / wallSeconds : 0 }
  /// Requests that neither finished nor were refused nor cancelled after they had started.
  var notStarted: Int { metrics.planned - metrics.started }

  package var verdict: String {
    switch exitCode {
    case .pass: "pass"
    case .usage: "wrong usage"
    case .server:
      interruption.map { "FAILED: \($0)" } ?? "FAILED: the connection or the server; see above"
    case .invariant:
      "FAILED: an invariant is broken (blocks leaked or handed out twice, the pool not as found)"
    case .invalidRun:
      "INVALID: this program was too slow to keep its own schedule; lower --speed"
    case .interrupted: "interrupted; everything held was freed"
    }
  }

  static let percentiles: [(label: String, percent: Double)] = [
    ("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9), ("max", 100),
  ]
}
