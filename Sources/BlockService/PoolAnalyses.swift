package import Analysis
package import KVBlocks

/// The analysis of one hosted pool, told of each of its commands.
package final class PoolAnalysis: PoolObserver {
  package unowned let hosted: HostedPool
  package let tracker: FragmentationTracker
  private var isNew = true

  init(_ hosted: HostedPool, at milliseconds: UInt64) {
    self.hosted = hosted
    tracker = FragmentationTracker(hosted.pool)
    hosted.observe(self, at: milliseconds)
  }

  package func poolChanged(_ pool: KVPool, _ log: ChangeLog, at milliseconds: UInt64) {
    tracker.follow(pool, log, at: milliseconds)
  }

  package func poolReplaced(_ pool: KVPool, at milliseconds: UInt64) {
    // It begins with the pool that it is made for.
    if !isNew { tracker.begin(pool) }
    isNew = false
  }
}

/// The analyses of all pools of a registry, as they come and go.
package final class PoolAnalyses: RegistryFollower {
  package private(set) var all: [PoolAnalysis] = []
  /// Milliseconds between the looks of `sample`, as configured.
  package let intervalMilliseconds: UInt32
  private let clock: () -> UInt64

  /// `clock`: milliseconds since the epoch, which never goes back.
  init(intervalMilliseconds: UInt32, clock: @escaping () -> UInt64) {
    self.intervalMilliseconds = intervalMilliseconds
    self.clock = clock
  }

  package func poolCame(_ hosted: HostedPool) { all.append(PoolAnalysis(hosted, at: clock())) }

  package func poolWent(_ hosted: HostedPool) {
    for one in all where one.hosted === hosted { hosted.stopObserving(one) }
    all.removeAll { $0.hosted === hosted }
  }

  /// O(pools).
  package func tracker(of hosted: HostedPool) -> FragmentationTracker? {
    all.first { $0.hosted === hosted }?.tracker
  }

  /// A look at each pool goes into its history.
  package func sample() {
    let now = clock()
    for one in all { one.tracker.sample(one.hosted.pool, at: now) }
  }
}

extension QuireService {
  /// Follows the pools from here on, for looks that cost no scan and for histories. `sample` is to be
  /// called by whoever has a timer, every `intervalMilliseconds`; it changes nothing but the histories.
  package func startSampling(intervalMilliseconds: UInt32) {
    precondition(analyses == nil, "sampling was started twice")
    let analyses = PoolAnalyses(intervalMilliseconds: intervalMilliseconds) { [unowned self] in
      clockNow
    }
    self.analyses = analyses
    registry.follow(analyses)
  }

  /// What follows the pool; where nothing does, a new one, which reads all of it: O(blocks).
  func tracker(of hosted: HostedPool) -> FragmentationTracker {
    analyses?.tracker(of: hosted) ?? FragmentationTracker(hosted.pool)
  }
}
