internal import BlockService
internal import GRPCServer
internal import GRPCWire
internal import Glibc
internal import UVLoop
internal import VLLMEvents

/// The running server: one loop, one service table, its listeners and its signals.
final class Daemon {
  /// From a call that leaves a pool short of free blocks to the eviction.
  static let evictionDelayNanoseconds: UInt64 = 1_000_000

  let log: Log
  let registry: PoolRegistry
  let loop: EventLoop
  private let table = ServiceTable()
  let service: QuireService
  let health: HealthService
  var admin: AdminPort?
  let server: GRPCServer
  private let evictionTimer: LoopTimer
  private let eventTimers: EventTimers
  private let samplingTimers: SamplingTimers
  /// Milliseconds since 1970; never goes back.
  let clock: () -> UInt64
  var publisher: VLLMPublisher?
  var signals: [SignalSource] = []
  private var isEnding = false

  init(
    _ registry: PoolRegistry, _ options: ServerOptions, _ events: EventOptions,
    _ sampling: SamplingOptions, _ log: Log
  ) throws(UVError) {
    self.log = log
    self.registry = registry
    let loop = try EventLoop()
    self.loop = loop
    // The time of day as the program began, and from then on the loop's clock: it never goes back,
    // and is read once a turn.
    var began = timespec()
    clock_gettime(CLOCK_REALTIME, &began)
    let offset =
      UInt64(began.tv_sec) * 1_000 + UInt64(began.tv_nsec) / 1_000_000 &- loop.now / 1_000_000
    let clock = { [loop] in offset &+ loop.now / 1_000_000 }
    self.clock = clock
    let service = QuireService(pools: registry, events: events, clock: clock)
    self.service = service
    service.register(in: table)
    // Not within a call, and once for what comes together; a call more does not put it off.
    let timer = LoopTimer(on: loop) { [unowned service] in service.evictAhead() }
    timer.keepsLoopRunning(false)
    evictionTimer = timer
    service.onDeficit = {
      if !timer.isRunning { timer.start(afterNanoseconds: Self.evictionDelayNanoseconds) }
    }
    eventTimers = EventTimers(service.events, on: loop)
    samplingTimers = SamplingTimers(service, sampling, on: loop)
    health = HealthService(table)
    _ = ReflectionService(table, descriptorSet: QuireService.descriptorSet)
    server = GRPCServer(loop: loop, services: table, options: options)
    let cutOffs = CutOffLog(log) { [unowned loop] in loop.now }
    server.onCutOff = { cutOffs.note($0, peer: $1) }
    server.onTLSFailure = { cutOffs.note($0, peer: $1) }
    // Before anything is said to be ready: whoever is told may end the server at once.
    for number in [SIGTERM, SIGINT] {
      signals.append(
        try SignalSource(on: loop, signal: number) { [unowned self] in end(number) })
    }
  }

  /// Listens, and says so on standard output, where whoever started this program waits for it.
  func listen(on listener: Arguments.Listener, unixMode: UInt32) throws(UVError) {
    let actual = try server.listen(
      on: listener.address, isSecure: listener.isSecure, unixMode: unixMode)
    log.info("listening", ("address", actual), ("tls", listener.isSecure ? "on" : "off"))
    warnOfPlainText(listener, actual)
    Output.write("quired: listening on \(actual)\n", to: STDOUT_FILENO)
  }

  /// Serves until a signal ends it.
  func run() {
    for name in [""] + QuireService.serviceNames { health.setServing(name, true) }
    loop.run()
  }

  private func end(_ number: Int32) {
    if isEnding {
      log.warning("a second signal: ending at once", ("signal", "\(number)"))
      _exit(128 + number)
    }
    isEnding = true
    log.info("ending", ("signal", "\(number)"), ("calls", "\(server.statistics.activeCalls)"))
    health.end()
    server.beginShutdown(graceNanoseconds: server.options.stopGraceNanoseconds) {
      [log, loop, registry, publisher, admin] in
      admin?.close()
      if let publisher { log.write(.info, "events published", publisher.summary) }
      for hosted in registry.pools { log.write(.info, "pool left", hosted.summary) }
      log.info("ended")
      loop.stop()
    }
  }
}
