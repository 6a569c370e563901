import HTTP2

/// Counts what a peer does that is legal now and then and an attack in numbers. One per connection;
/// it decides nothing but whether the peer has gone too far.
struct PeerConduct {
  private var lastPing: UInt64 = 0
  private var pingStrikes = 0
  private var framesAtPing: UInt32 = 0
  private var framesAtUpdate: UInt32 = 0
  /// WINDOW_UPDATE and PING frames that the frames we sent were worth.
  private var welcomeUpdates: UInt32 = 0
  private static let mostWelcomeUpdates: UInt32 = 10_000
  private var controlFrames = RateLimit()
  private var ignoredFrames = RateLimit()
  private var uselessFrames = RateLimit()
  private var inducedResets = RateLimit()
  private var refusals = RateLimit()
  var unpacking = UnpackBudget()

  /// Keepalive pings cost us wake-ups. Those that follow an answer measure bandwidth and are welcome.
  ///
  /// - Parameters:
  ///   - sentFrames: HEADERS and DATA frames sent on the connection so far.
  ///   - hasCalls: Some call is open. Without one, a client has to wait for longer.
  /// - Returns: False for one strike too many. The words for the client, `too_many_pings`, are part
  ///   of the protocol: clients then double their interval.
  mutating func toleratesPing(
    at now: UInt64, sentFrames: UInt32, hasCalls: Bool, _ options: ServerOptions
  ) -> Bool {
    let interval =
      hasCalls || options.permitsPingsWithoutCalls
      ? options.minPingIntervalNanoseconds : options.minPingIntervalWithoutCallsNanoseconds
    let isTooSoon = lastPing != 0 && now &- lastPing < interval
    lastPing = now
    if sentFrames != framesAtPing {
      framesAtPing = sentFrames
      pingStrikes = 0
    } else if isTooSoon {
      pingStrikes += 1
    }
    return pingStrikes <= options.maxPingStrikes
  }

  /// A message that was refused for its compression. False for one too many.
  mutating func toleratesRefusal(at now: UInt64, _ options: ServerOptions) -> Bool {
    refusals.takes(
      1, at: now, burst: options.controlFrameBurst, perSecond: options.controlFramesPerSecond)
  }

  /// Takes the counts of what has come and says what there was too much of.
  mutating func judge(
    _ counts: inout HTTP2Conduct, at now: UInt64, _ options: ServerOptions
  ) -> CutOff? {
    // Whoever reads what we send gives window back, once for the stream and once for the connection, and
    // may measure how long the way is with a PING.
    let sent = counts.payloadFrames &- framesAtUpdate
    framesAtUpdate = counts.payloadFrames
    welcomeUpdates += 3 * min(sent, PeerConduct.mostWelcomeUpdates)
    welcomeUpdates = min(welcomeUpdates, PeerConduct.mostWelcomeUpdates)
    let responses = counts.windowUpdates &+ counts.pings
    let welcome = min(responses, welcomeUpdates)
    welcomeUpdates -= welcome

    // Old clients send a PRIORITY frame with each request; what we cut short is on its way for a while.
    let ignored = UInt32(
      clamping: counts.ignoredFrames - HTTP2Conduct.mostUnfinishedFrames)
    counts.ignoredFrames -= Int(ignored)
    let excused = min(ignored, welcomeUpdates)
    welcomeUpdates -= excused

    let control = counts.controlFrames &+ responses &- welcome
    let induced = counts.inducedResets
    let useless = counts.uselessFrames
    counts.controlFrames = 0
    counts.windowUpdates = 0
    counts.pings = 0
    counts.inducedResets = 0
    counts.uselessFrames = 0
    if !controlFrames.takes(
      control, at: now, burst: options.controlFrameBurst, perSecond: options.controlFramesPerSecond)
    {
      return .controlFrames
    }
    if !ignoredFrames.takes(
      ignored - excused, at: now, burst: options.ignoredFrameBurst,
      perSecond: options.ignoredFramesPerSecond)
    {
      return .ignoredFrames
    }
    if !uselessFrames.takes(
      useless, at: now, burst: options.controlFrameBurst, perSecond: options.controlFramesPerSecond)
    {
      return .flood
    }
    // Whether the client resets a stream or makes us do it costs the same.
    if !inducedResets.takes(
      induced, at: now, burst: options.http2.resetBurst, perSecond: options.http2.resetsPerSecond)
    {
      return .inducedResets
    }
    return nil
  }
}
