package import Analysis
package import KVBlocks

/// How long the blocks of one pool live.
package final class PoolLifetimes: PoolObserver {
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

/// Those of all pools of a registry. Pools are followed from the beginning, or from the first time on that
/// somebody asks for any of them; until then it costs nothing.
package final class PoolLifetimeMeter: RegistryFollower {
  /// One block handed out in so many is sampled; 0 = none.
  package let sampleEvery: UInt32
  private let clock: () -> UInt64
  private var isAsked: Bool

  init(
    sampleEvery: UInt32, from beginning: PoolHistories.Beginning, clock: @escaping () -> UInt64
  ) {
    self.sampleEvery = sampleEvery
    isAsked = beginning == .theBeginning
    self.clock = clock
  }

  package func lifetimes(of hosted: HostedPool) -> BlockLifetimes {
    isAsked = true
    if let known = hosted.lifetimes { return known.lifetimes }
    let new = PoolLifetimes(of: hosted.pool, sampleEvery: sampleEvery)
    hosted.lifetimes = new
    hosted.observe(new, at: clock())
    return new.lifetimes
  }

  package func poolCame(_ hosted: HostedPool) {
    if isAsked { _ = lifetimes(of: hosted) }
  }

  package func poolWent(_ hosted: HostedPool) {
    if let lifetimes = hosted.lifetimes { hosted.stopObserving(lifetimes) }
    hosted.lifetimes = nil
  }
}

extension QuireService {
  /// Lets lifetimes be asked for, and measures them from now on or from the first question on.
  ///
  /// - Parameter every: One block handed out in so many has its lifetime measured; 0 = none, and only
  ///   evictions are counted.
  package func measureLifetimes(
    every: UInt32, from beginning: PoolHistories.Beginning = .theFirstQuestion
  ) {
    precondition(lifetimeMeter == nil, "lifetimes are measured already")
    let meter = PoolLifetimeMeter(sampleEvery: every, from: beginning) { [unowned self] in
      clockNow
    }
    lifetimeMeter = meter
    registry.follow(meter)
  }
}
