package import Analysis
internal import KVBlocks

/// The analysis of one hosted pool. It is told of no command: whoever looks brings it up to date.
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
    if isRunning { analyzer.start(hosted.pool) }
  }

  package func poolWent(_ hosted: HostedPool) {
    analyzer(of: hosted)?.stop(hosted.pool)
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

  /// Reads what has changed, so that the next look has less to read.
  package func catchUp() {
    for one in all { one.analyzer.catchUp(with: one.hosted.pool) }
  }

  /// Who held what, as long as that stays. O(pools).
  package func owners(of hosted: HostedPool) -> OwnerHistory? {
    analyzer(of: hosted)?.tracker.owners
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
    for one in all { one.analyzer.start(one.hosted.pool) }
  }

  /// Nothing follows the pools any more; what was recorded of them stays.
  func stop() {
    if !isRunning { return }
    isRunning = false
    for one in all { one.analyzer.stop(one.hosted.pool) }
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

  /// What follows the pool; where nothing does, a new one for this look, which reads all of it: O(blocks).
  func tracker(of hosted: HostedPool) -> FragmentationTracker {
    analyses?.tracker(of: hosted) ?? FragmentationTracker(hosted.pool, follows: false)
  }
}
