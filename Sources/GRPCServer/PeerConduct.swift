/// Counts what a peer does that is legal now and then and an attack in numbers. One per connection;
/// it decides nothing but whether the peer has gone too far.
struct PeerConduct {
  private var lastPing: UInt64 = 0
  private var pingStrikes = 0

  /// Keepalive pings cost us wake-ups. Those that follow an answer measure bandwidth and are welcome.
  ///
  /// - Parameter afterPayload: HEADERS or DATA were sent since the last ping.
  /// - Returns: False for one strike too many. The words for the client, `too_many_pings`, are part
  ///   of the protocol: clients then double their interval.
  mutating func toleratesPing(
    at now: UInt64, afterPayload: Bool, _ options: ServerOptions
  ) -> Bool {
    let isTooSoon = lastPing != 0 && now &- lastPing < options.minPingIntervalNanoseconds
    lastPing = now
    if afterPayload {
      pingStrikes = 0
    } else if isTooSoon {
      pingStrikes += 1
    }
    return pingStrikes <= options.maxPingStrikes
  }
}
