internal import Analysis
package import KVBlocks

/// How long the blocks of one pool live.
package final class PoolLifetimes: PoolObserver {
  package let needs: ChangeLog.Detail = .everything
  let lifetimes: BlockLifetimes

  init(of pool: KVPool, sampleEvery: UInt32) {
    lifetimes = BlockLifetimes(
      blocks: pool.configuration.blocks, every: sampleEvery, seed: .random(in: .min ... .max))
  }

  package func poolChanged(_ pool: KVPool, _ log: ChangeLog, at milliseconds: UInt64) {
    // Made anew with another size.
    if pool.configuration.blocks != lifetimes.blocks { poolReplaced(pool, at: milliseconds) }
    lifetimes.note(log, milliseconds)
  }

  package func poolReplaced(_ pool: KVPool, at milliseconds: UInt64) {
    lifetimes.begin(blocks: pool.configuration.blocks)
  }
}

/// Those of all pools of a registry, as they come and go.
package final class PoolLifetimeMeter: RegistryFollower {
  private let sampleEvery: UInt32
  private let clock: () -> UInt64

  init(sampleEvery: UInt32, clock: @escaping () -> UInt64) {
    self.sampleEvery = sampleEvery
    self.clock = clock
  }

  package func poolCame(_ hosted: HostedPool) {
    let new = PoolLifetimes(of: hosted.pool, sampleEvery: sampleEvery)
    hosted.lifetimes = new
    hosted.observe(new, at: clock())
  }

  package func poolWent(_ hosted: HostedPool) {
    if let lifetimes = hosted.lifetimes { hosted.stopObserving(lifetimes) }
    hosted.lifetimes = nil
  }
}

extension QuireService {
  /// From here on it is measured how long blocks live, for `PoolMetrics` and reports: each command is told.
  ///
  /// - Parameter every: One block handed out in so many has its lifetime measured; 0 = none, and only
  ///   evictions are counted.
  package func measureLifetimes(every: UInt32) {
    precondition(lifetimeMeter == nil, "lifetimes are measured already")
    let meter = PoolLifetimeMeter(sampleEvery: every) { [unowned self] in clockNow }
    lifetimeMeter = meter
    registry.follow(meter)
  }
}
