/// What a run counted and timed. Durations are nanoseconds; instants count from the run's start.
package struct RunMetrics {
  // Requests, by how they ended.
  package var planned = 0
  package var started = 0
  package var finished = 0
  /// Can never fit the pool, by the pool's own answer.
  package var neverFit = 0
  /// Ended before they were done, because the run was stopped.
  package var cancelled = 0
  /// Ended by a refusal that no rule foresees.
  package var failed = 0

  package var steps: UInt64 = 0
  /// Operations on single sequences: each add, admission tried, decoded token and free counts one.
  package var operations: UInt64 = 0
  package var generatedTokens: UInt64 = 0
  package var preemptions: UInt64 = 0
  package var maximumPreemptionsOfOneRequest: UInt32 = 0
  package var preemptedRequests = 0
  package var admissionRefusals: UInt64 = 0
  /// Tokens of prompts at their first admission, and those of them that the pool's cache had; both 0 where the
  /// pool caches nothing or the plan does not say what prompts consist of.
  package var lookedUpTokens: UInt64 = 0
  package var foundTokens: UInt64 = 0
  /// Prompts whose hashes no step has room for: nothing of them is found, or found by others.
  package var promptsTooLong: UInt64 = 0

  /// From the step's place in the schedule to its reply.
  package var response = LatencyHistogram()
  /// From sending the step to its reply.
  package var service = LatencyHistogram()
  /// From a request's intended arrival to the reply that first gave it blocks.
  package var admission = LatencyHistogram()
  /// The client's own share in how late a step was sent: from when it could be sent (its place in the
  /// schedule, or the previous reply where that came later) to when it was, and what that share of
  /// the step before still holds up.
  package var clientLag = LatencyHistogram()
  /// Steps sent more than `lateLimit` after their place in the schedule, whoever was slow.
  package var lateStarts: UInt64 = 0
  package var maximumScheduleLag: UInt64 = 0

  /// Preemptions of one request that a healthy engine may still show.
  package static let healthyPreemptions: UInt32 = 8
  package static let lateLimit: UInt64 = 1_000_000
  /// A run whose `clientLag` has a p99 above this says nothing about the server.
  package static let clientLagLimit: UInt64 = 10_000_000

  // What this run uses of the pool, weighted by scheduler ticks. Blocks of others do not count.
  package var blockUsage = Gauge()
  package var slotUsage = Gauge()
  package var running = Gauge()
  package var waiting = Gauge()

  /// Refusals and answers that break the contract. A run without any has 0.
  package var errors: UInt64 = 0
  /// What the first few were.
  package private(set) var errorSamples: [String] = []
  /// Of the errors: a block handed out twice, or more or fewer blocks than tokens need.
  package var invariantsBroken: UInt64 = 0

  package init() {}

  package mutating func error(_ text: String) {
    errors += 1
    if errorSamples.count < 5 { errorSamples.append(text) }
  }

  package var isClientTooSlow: Bool { clientLag.percentile(99) > Self.clientLagLimit }
}

/// A value that holds until the next one: its time-weighted mean and its peak.
package struct Gauge: Equatable {
  package private(set) var peak: Double = 0
  package private(set) var latest: Double = 0
  private var weighted: Double = 0
  private var weight: Double = 0

  package var mean: Double { weight > 0 ? weighted / weight : latest }

  /// The value has been `latest` for `ticks` more; from now on it is `value`.
  package mutating func change(to value: Double, after ticks: Double) {
    weighted += latest * ticks
    weight += ticks
    latest = value
    peak = max(peak, value)
  }
}
