package import KVBlocks

/// The analysis of one pool: follows and samples it between `start` and `stop`, and reports at any time.
///
/// Whoever has a timer calls `sample`; nobody has to tell it of commands. Stopped, it costs nothing but the
/// memory of what it recorded, which reports still have.
package final class MemoryFragmentationAnalyzer {
  /// Its looks hold while this runs; its history holds always.
  package let tracker: FragmentationTracker
  package private(set) var isRunning = false

  /// It does not run yet.
  package init(_ pool: KVPool) { tracker = FragmentationTracker(pool, follows: false) }

  /// From here on the pool is followed, and any that takes its place. What was recorded goes on.
  /// O(blocks).
  package func start(_ pool: KVPool) {
    isRunning = true
    tracker.start(pool)
  }

  /// Nothing is followed or sampled any more; what was recorded stays.
  package func stop(_ pool: KVPool) {
    isRunning = false
    tracker.stop(pool)
  }

  /// Reads what has changed, so that the next look has less to read.
  package func catchUp(with pool: KVPool) {
    if isRunning { tracker.catchUp(with: pool) }
  }

  /// A look at the pool goes into the history; none while it does not run.
  package func sample(_ pool: KVPool, at milliseconds: UInt64) {
    if isRunning { tracker.sample(pool, at: milliseconds) }
  }

  /// What there is to say of the pool as it is, and of its past from `since` on.
  ///
  /// - Parameters:
  ///   - name: Of the pool.
  ///   - milliseconds: Now, since the epoch.
  ///   - since: Samples from then on; 0 = all that are kept.
  ///   - intervalMilliseconds: Between samples, as configured; 0 = none were taken.
  ///   - life: How long the pool's blocks live; nil where nobody follows them one by one.
  ///   - losses: What it evicted; nil where nobody keeps account of that.
  /// - Complexity: O(blocks + n log n), n sequences and samples; see `FragmentationReport`.
  package func report(
    _ pool: KVPool, named name: String, at milliseconds: UInt64, since: UInt64 = 0,
    intervalMilliseconds: UInt32 = 0, life: FragmentationReport.BlockLife? = nil,
    losses: FragmentationReport.Losses? = nil
  ) -> FragmentationReport {
    FragmentationReport(
      of: pool, named: name, tracker, isSampled: isRunning,
      at: milliseconds,
      samples: tracker.history.samples(since: since), intervalMilliseconds: intervalMilliseconds,
      life: life, losses: losses)
  }
}
