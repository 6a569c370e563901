package import KVBlocks

/// Learns what each command does to the blocks of a hosted pool: what streams its events, and what
/// remembers its past. (What samples it needs no more than to look now and then.)
///
/// Called on the loop's thread, within the call that changed the pool and before its reply is sent:
/// whatever takes long is put off. Times are milliseconds since the epoch, by the server's clock, which
/// never goes back.
package protocol PoolObserver: AnyObject {
  /// What it reads of the log, always the same. The log of a pool has what the most curious of its observers wants,
  /// so that the others are told more.
  var needs: ChangeLog.Detail { get }
  /// A command stood and did what `log` says. Commands that changed nothing are not told, nor are those of which
  /// the log has nothing. The log is the pool's, until its next command.
  func poolChanged(_ pool: KVPool, _ log: ChangeLog, at milliseconds: UInt64)
  /// What was known does not hold any more: the observing begins, or another pool was loaded into the
  /// place of this one. (A pool that is made anew by a reset says so in its log, as `.cleared`.)
  func poolReplaced(_ pool: KVPool, at milliseconds: UInt64)
}

/// Learns which pools there are: whoever has something of its own for each of them.
package protocol RegistryFollower: AnyObject {
  func poolCame(_ hosted: HostedPool)
  /// It was deleted. Calls that already have it may still use it.
  func poolWent(_ hosted: HostedPool)
}
