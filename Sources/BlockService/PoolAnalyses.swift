package import Analysis
package import KVBlocks

/// Told of each command from `HostedPool.observe` on, which starts it.
extension MemoryFragmentationAnalyzer: PoolObserver {
  package func poolChanged(_ pool: KVPool, _ log: ChangeLog, at milliseconds: UInt64) {
    tracker.follow(pool, log, at: milliseconds)
  }

  package func poolReplaced(_ pool: KVPool, at milliseconds: UInt64) { start(pool) }
}

/// The analysis of one hosted pool.
package struct PoolAnalysis {
  package unowned let hosted: HostedPool
  package let analyzer: MemoryFragmentationAnalyzer
  package var tracker: FragmentationTracker { analyzer.tracker }
}

/// The analyses of all pools of a registry, as they come and go.
package final class PoolAnalyses: RegistryFollower {
  package private(set) var all: [PoolAnalysis] = []
  /// Milliseconds between the looks of `sample`, as configured.
  package let intervalMilliseconds: UInt32
  package private(set) var isRunning = true
  private let clock: () -> UInt64

  /// `clock`: milliseconds since the epoch, which never goes back.
  init(intervalMilliseconds: UInt32, clock: @escaping () -> UInt64) {
    self.intervalMilliseconds = intervalMilliseconds
    self.clock = clock
  }

  package func poolCame(_ hosted: HostedPool) {
    let analyzer = MemoryFragmentationAnalyzer(hosted.pool)
    all.append(PoolAnalysis(hosted: hosted, analyzer: analyzer))
    if isRunning { hosted.observe(analyzer, at: clock()) }
  }

  package func poolWent(_ hosted: HostedPool) {
    if let analyzer = analyzer(of: hosted), analyzer.isRunning { stop(hosted, analyzer) }
    all.removeAll { $0.hosted === hosted }
  }

  /// O(pools).
  package func analyzer(of hosted: HostedPool) -> MemoryFragmentationAnalyzer? {
    all.first { $0.hosted === hosted }?.analyzer
  }

  /// What follows the pool; nil where nothing does. O(pools).
  package func tracker(of hosted: HostedPool) -> FragmentationTracker? {
    analyzer(of: hosted).flatMap { $0.isRunning ? $0.tracker : nil }
  }

  /// What was recorded of the pool; it stays when the sampling stops. O(pools).
  package func history(of hosted: HostedPool) -> FragmentationHistory? {
    analyzer(of: hosted)?.tracker.history
  }

  /// A look at each pool goes into its history, as long as they are followed.
  package func sample() {
    let now = clock()
    for one in all { one.analyzer.sample(one.hosted.pool, at: now) }
  }

  /// The pools are followed again. O(blocks).
  func start() {
    if isRunning { return }
    isRunning = true
    for one in all { one.hosted.observe(one.analyzer, at: clock()) }
  }

  /// Nothing follows the pools any more; what was recorded of them stays.
  func stop() {
    if !isRunning { return }
    isRunning = false
    for one in all { stop(one.hosted, one.analyzer) }
  }

  private func stop(_ hosted: HostedPool, _ analyzer: MemoryFragmentationAnalyzer) {
    hosted.stopObserving(analyzer)
    analyzer.stop()
  }
}

extension QuireService {
  /// Follows the pools from here on, for looks that cost no scan and for histories. `sample` is to be
  /// called by whoever has a timer, every `intervalMilliseconds`; it changes nothing but the histories.
  package func startSampling(intervalMilliseconds: UInt32) {
    if let analyses {
      precondition(
        analyses.intervalMilliseconds == intervalMilliseconds, "sampling at two intervals")
      return analyses.start()
    }
    let analyses = PoolAnalyses(intervalMilliseconds: intervalMilliseconds) { [unowned self] in
      clockNow
    }
    self.analyses = analyses
    registry.follow(analyses)
  }

  /// The pools are not followed any more, at no cost to their commands; their histories stay.
  package func stopSampling() { analyses?.stop() }

  /// What follows the pool; where nothing does, a new one, which reads all of it: O(blocks).
  func tracker(of hosted: HostedPool) -> FragmentationTracker {
    analyses?.tracker(of: hosted) ?? FragmentationTracker(hosted.pool)
  }
}
