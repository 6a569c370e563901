/// The clock that commands bring along. The domain never reads one.
extension KVPool {
  /// Milliseconds, for everything of the command at hand that has to do with time.
  ///
  /// Never goes back: a command whose clock is behind the last one that counted has that one. A
  /// clock counts when a command asks for it here and changes something; it is then part of the
  /// state and of the history. So pools that keep no time have the same digests whenever they run.
  func readClock() -> UInt64 {
    run.readsClock = true
    return max(clock, run.now)
  }

  /// At the start of a command, before anything else: what ends by its clock ends.
  func startClock() {
    guard let order = blocks.split?.cached, order.keepsTime else { return expirePins() }
    // Blocks that pins give back come to the order at this clock.
    order.now = readClock()
    expirePins()
    if order.expire() { run.changed = true }
  }
}
