internal import GRPCWire
internal import KVBlocks

/// The events of all pools: which of them keep some, and when subscribers hear.
///
/// Owns a recorder for each such pool. Subscribers hear when `pump` is called, a moment after the first
/// event that they have not got: a write to each of them after each command would cost more than the
/// command.
package final class EventHub: RegistryFollower {
  package let options: EventOptions
  private var recorders: [ObjectIdentifier: EventRecorder] = [:]
  /// Draws epochs. They differ from one life of a pool to the next, and from one of the server to the
  /// next, which is what randomness is for.
  package var drawEpoch: () -> UInt64 = { .random(in: 1 ... .max) }

  private let clock: () -> UInt64
  private var isPumpWanted = false

  /// Called when there is something to send: have `pump` called soon, and not within this.
  package var onEvents: (() -> Void)?
  /// Called when there begins to be something to do at times: have `tick` called every
  /// `heartbeatNanoseconds`, for as long as it returns true.
  package var onTicks: (() -> Void)?

  /// `clock`: milliseconds since 1970.
  init(_ options: EventOptions, _ registry: PoolRegistry, clock: @escaping () -> UInt64) {
    self.options = options
    self.clock = clock
    if options.recording != .off { registry.follow(self) }
  }

  // MARK: Pools

  package func poolCame(_ hosted: HostedPool) {
    if options.recording == .on { _ = begin(hosted) }
  }

  package func poolWent(_ hosted: HostedPool) {
    guard let recorder = recorders.removeValue(forKey: ObjectIdentifier(hosted)) else { return }
    hosted.stopObserving(recorder)
    recorder.end()
  }

  /// The pool's recorder, which begins to record where it did not; nil where no events are kept.
  func recorder(of hosted: HostedPool) -> EventRecorder? {
    if options.recording == .off { return nil }
    let recorder = recorders[ObjectIdentifier(hosted)] ?? begin(hosted)
    recorder.wantedAt = clock()
    onTicks?()
    return recorder
  }

  /// Why there cannot be one subscriber more; nil where there can.
  func checkRoom() throws(CallFailure) {
    let count = recorders.values.reduce(0) { $0 + $1.subscribers.count }
    if count < options.mostSubscribers { return }
    throw CallFailure(
      Status(
        .unavailable,
        "\(count) calls subscribe to events already, as many as --kv-events-subscribers allows"))
  }

  private func begin(_ hosted: HostedPool) -> EventRecorder {
    let recorder = EventRecorder(hosted, self, at: clock())
    recorders[ObjectIdentifier(hosted)] = recorder
    hosted.observe(recorder, at: clock())
    return recorder
  }

  // MARK: Times

  func wantsPump() {
    if isPumpWanted { return }
    isPumpWanted = true
    onEvents?()
  }

  /// Sends what there is to send.
  package func pump() {
    isPumpWanted = false
    for recorder in recorders.values { recorder.pump() }
  }

  /// Heartbeats, and the end of recordings that nobody wants any more. False when nothing is left to do.
  package func tick() -> Bool {
    let now = clock()
    for recorder in recorders.values {
      recorder.heartbeat(at: now)
      if !recorder.subscribers.isEmpty { recorder.wantedAt = now }
      let linger = options.lingerNanoseconds / 1_000_000
      if options.recording == .on || now < recorder.wantedAt + linger { continue }
      recorder.hosted.stopObserving(recorder)
      recorders[ObjectIdentifier(recorder.hosted)] = nil
    }
    return recorders.values.contains {
      !$0.subscribers.isEmpty || options.recording == .demand
    }
  }
}
