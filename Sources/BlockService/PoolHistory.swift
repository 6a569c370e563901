internal import Analysis
package import KVBlocks

/// What is remembered of a pool's past, for those who ask why: what happened to its blocks, and which
/// content was lost.
///
/// Up to 12 MiB, used as they fill.
package final class PoolHistory: PoolObserver {
  package let needs: ChangeLog.Detail = .everything
  let incidents = BlockIncidents()
  let evicted = EvictedContents(secret: HostedPool.drawSecret())
  /// What happened up to this revision is not known.
  private(set) var since: Revision
  private var blocks: UInt32

  init(of pool: KVPool) {
    blocks = pool.configuration.blocks
    since = pool.revision
  }

  package func poolChanged(_ pool: KVPool, _ log: ChangeLog, at milliseconds: UInt64) {
    // Made anew with another size.
    if pool.configuration.blocks != blocks { poolReplaced(pool, at: milliseconds) }
    incidents.note(log, at: pool.revision, milliseconds)
    evicted.note(log, at: pool.revision, milliseconds)
  }

  package func poolReplaced(_ pool: KVPool, at milliseconds: UInt64) {
    blocks = pool.configuration.blocks
    since = pool.revision
    incidents.forget()
    evicted.forget()
  }
}

/// The histories of the pools of a registry.
package final class PoolHistories: RegistryFollower {
  package enum Beginning {
    /// Every pool has one as long as it is there.
    case theBeginning
    /// A pool has one from the first time on that somebody asks for it: until then it costs nothing.
    case theFirstQuestion
  }

  private let beginning: Beginning
  private let clock: () -> UInt64

  /// - Parameter clock: Milliseconds, the server's.
  init(from beginning: Beginning, clock: @escaping () -> UInt64) {
    self.beginning = beginning
    self.clock = clock
  }

  /// What is remembered of the pool, which may begin now.
  func history(of hosted: HostedPool) -> PoolHistory {
    if let history = hosted.history { return history }
    let history = PoolHistory(of: hosted.pool)
    hosted.history = history
    hosted.observe(history, at: clock())
    return history
  }

  package func poolCame(_ hosted: HostedPool) {
    if beginning == .theBeginning { _ = history(of: hosted) }
  }

  package func poolWent(_ hosted: HostedPool) {
    if let history = hosted.history { hosted.stopObserving(history) }
    hosted.history = nil
  }
}
