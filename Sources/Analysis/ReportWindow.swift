internal import KVBlocks

/// What a report has of a pool's past: samples, how much happened between them, and which measures went
/// together.
package struct ReportWindow: Equatable {
  /// Milliseconds between looks as configured; 0 = nobody samples the pool.
  package var intervalMilliseconds: UInt32
  /// Oldest first; the last is the look that the report was made by. Never empty.
  package var samples: [HistorySample]
  /// What happened between the first and the last sample; where there is one only, since the pool was
  /// made, loaded or reset.
  package var counts: Counts
  package var relations: [Relation]

  package struct Counts: Equatable {
    /// 0 = not known: since the beginning.
    package var milliseconds: UInt64 = 0
    package var admitted: UInt64 = 0
    package var promptTokens: UInt64 = 0
    package var allocatedBlocks: UInt64 = 0
    package var allocateCalls: UInt64 = 0
    package var preemptions: UInt64 = 0
    package var evictions: UInt64 = 0
    package var refusedLater: UInt64 = 0
    package var refusedNever: UInt64 = 0
    package var refusedQuota: UInt64 = 0
    /// Refusals with enough blocks and no run.
    package var refusedRun: UInt64 = 0
    package var queryTokens: UInt64 = 0
    package var hitTokens: UInt64 = 0

    init() {}

    /// Since the pool was made.
    init(_ sample: HistorySample) {
      admitted = sample.admitted
      promptTokens = sample.promptTokens
      let stats = sample.stats
      allocatedBlocks = stats.allocatedBlocks
      allocateCalls = stats.allocateCalls
      preemptions = stats.preemptions
      evictions = stats.evictions
      refusedLater = stats.refusals[Int(Refusal.Reason.later.rawValue)]
      refusedNever = stats.refusals[Int(Refusal.Reason.never.rawValue)]
      refusedQuota = stats.refusals[Int(Refusal.Reason.quota.rawValue)]
      refusedRun = stats.refusals[Int(Refusal.Reason.noRun.rawValue)]
      queryTokens = stats.prefixQueryTokens
      hitTokens = stats.prefixHitTokens
    }

    /// From one sample to the next. Where the pool was reset or another was loaded in between, nothing is
    /// known of the time between: what a dump's counters have happened before.
    init(from before: HistorySample, to after: HistorySample) {
      milliseconds = after.timeMilliseconds - before.timeMilliseconds
      if after.life != before.life { return }
      let begin = Counts(before)
      let between = milliseconds
      self = Counts(after)
      milliseconds = between
      for path in Self.all {
        self[keyPath: path] &-= min(self[keyPath: path], begin[keyPath: path])
      }
    }

    /// From the first to the last: within a life counters only grow, so its ends are enough.
    fileprivate init(over samples: [HistorySample]) {
      var begin = 0
      for end in 1...samples.count
      where end == samples.count || samples[end].life != samples[begin].life {
        add(Counts(from: samples[begin], to: samples[end - 1]))
        if end < samples.count {
          milliseconds += samples[end].timeMilliseconds - samples[end - 1].timeMilliseconds
        }
        begin = end
      }
    }

    private static let all: [any WritableKeyPath<Counts, UInt64> & Sendable] = [
      \.admitted, \.promptTokens, \.allocatedBlocks, \.allocateCalls, \.preemptions, \.evictions,
      \.refusedLater, \.refusedNever, \.refusedQuota, \.refusedRun, \.queryTokens, \.hitTokens,
    ]

    mutating func add(_ other: Counts) {
      milliseconds += other.milliseconds
      for path in Self.all { self[keyPath: path] += other[keyPath: path] }
    }

    package var refused: UInt64 { refusedLater + refusedNever + refusedQuota + refusedRun }
    /// Tokens found / tokens looked up; nil where none were.
    package var hitRate: Double? {
      queryTokens == 0 ? nil : Double(hitTokens) / Double(queryTokens)
    }
  }

  /// Two measures of the samples, and how they went together.
  package struct Relation: Equatable {
    package var x: String
    package var y: String
    package var correlation: RankCorrelation
  }

  /// - Parameters:
  ///   - samples: Oldest first, one at least.
  ///   - intervalMilliseconds: 0 = nobody samples the pool, and there is one sample.
  /// - Complexity: O(n).
  init(_ samples: [HistorySample], intervalMilliseconds: UInt32) {
    precondition(!samples.isEmpty, "a window onto nothing")
    self.samples = samples
    self.intervalMilliseconds = intervalMilliseconds
    counts = samples.count == 1 ? Counts(samples[0]) : Counts(over: samples)
    // A day's samples are folded to some hundred, since each relation sorts them; neighbours resemble each
    // other, so little is lost.
    let points = FragmentationHistory.thinned(samples, most: FragmentationReporter.mostPoints)
    relations = Self.relations(
      points, zip(points, points.dropFirst()).map { Counts(from: $0, to: $1) })
  }

  /// There is no window: counts are those of the pool's whole life.
  package var isWholeLife: Bool { samples.count == 1 }

  package var milliseconds: UInt64 {
    samples[samples.count - 1].timeMilliseconds - samples[0].timeMilliseconds
  }

  /// The mean of a measure over the samples, each for the time until it was taken; of one sample its own.
  package func mean(_ measure: (HistorySample) -> Double) -> Double {
    if milliseconds == 0 { return measure(samples[samples.count - 1]) }
    var sum = 0.0
    for (before, after) in zip(samples, samples.dropFirst()) {
      sum += measure(after) * Double(after.timeMilliseconds - before.timeMilliseconds)
    }
    return sum / Double(milliseconds)
  }

  // MARK: Relations

  /// Of which the fragmentation ratios are compared with each cause that samples can tell of.
  private static func relations(
    _ samples: [HistorySample], _ steps: [Counts]
  ) -> [Relation] {
    let ends = Array(samples.dropFirst())
    func relation(
      _ x: String, _ y: String, _ pair: (Counts, HistorySample) -> (x: Double, y: Double)?
    ) -> Relation {
      let pairs = zip(steps, ends).compactMap { $0.milliseconds > 0 ? pair($0, $1) : nil }
      return Relation(x: x, y: y, correlation: RankCorrelation(pairs, isOverTime: x == "time"))
    }
    func perSecond(_ count: UInt64, _ step: Counts) -> Double {
      Double(count) * 1_000 / Double(step.milliseconds)
    }
    func meanPrompt(_ step: Counts) -> Double? {
      step.admitted == 0 ? nil : Double(step.promptTokens) / Double(step.admitted)
    }
    func usage(_ sample: HistorySample) -> Double {
      let stats = sample.stats
      return Double(stats.blocks - stats.free - stats.cached - stats.lazyPending)
    }
    let ratios: [(String, (HistorySample) -> Double)] = [
      ("external fragmentation", { $0.externalFragmentation }),
      ("internal fragmentation", { $0.internalFragmentation }),
    ]
    var relations: [Relation] = []
    for (name, ratio) in ratios {
      relations += [
        relation("time", name) { (Double($1.timeMilliseconds), ratio($1)) },
        relation("arrivals per second", name) { (perSecond($0.admitted, $0), ratio($1)) },
        relation("mean prompt tokens of arrivals", name) { step, sample in
          meanPrompt(step).map { ($0, ratio(sample)) }
        },
        relation("blocks in use", name) { (usage($1), ratio($1)) },
        relation("cache hit rate", name) { step, sample in
          step.hitRate.map { ($0, ratio(sample)) }
        },
      ]
    }
    relations.append(
      relation("evictions per second", "cache hit rate") { step, _ in
        step.hitRate.map { (perSecond(step.evictions, step), $0) }
      })
    return relations
  }
}
