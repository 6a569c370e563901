internal import BlockService
internal import Metrics
internal import UVLoop
internal import VLLMEvents

/// When subscribers hear of events: the timers of an `EventHub`, which must outlive this.
final class EventTimers {
  private unowned let events: EventHub
  private let loop: EventLoop
  private var pump: LoopTimer?
  private var ticks: LoopTimer?
  private var lastPump: UInt64 = 0

  init(_ events: EventHub, on loop: EventLoop) {
    self.events = events
    self.loop = loop
    pump = timer { timers in
      timers.lastPump = timers.loop.now
      timers.events.pump()
    }
    ticks = timer { timers in
      if !timers.events.tick() { timers.ticks?.stop() }
    }
    events.onEvents = { [unowned self] in startPump() }
    events.onTicks = { [unowned self] in startTicks() }
  }

  private func timer(_ fire: @escaping (EventTimers) -> Void) -> LoopTimer {
    let timer = LoopTimer(on: loop) { [unowned self] in fire(self) }
    timer.keepsLoopRunning(false)
    return timer
  }

  /// At once after a quiet time, and then as rarely as the delay allows.
  private func startPump() {
    let due = lastPump + events.options.delayNanoseconds
    let now = loop.now
    pump?.start(afterNanoseconds: due > now ? due - now : 0)
  }

  private func startTicks() {
    let interval = events.options.heartbeatNanoseconds
    if ticks?.isRunning != true {
      ticks?.start(afterNanoseconds: interval, repeating: interval)
    }
  }
}

extension Daemon {
  /// Publishes the events of a pool in vLLM's form.
  func publish(_ options: ZMQEventOptions) throws(DaemonError) {
    do throws(ZMQError) {
      let publisher = try VLLMPublisher(options, registry, on: loop, clock: clock)
      var fields: [Log.Field] = [("pool", options.pool), ("endpoint", publisher.endpoint)]
      if let replay = publisher.replayEndpoint { fields.append(("replay", replay)) }
      log.write(.info, "publishing events", fields)
      warnOfOpenEvents(publisher.endpoint)
      if let replay = publisher.replayEndpoint { warnOfOpenEvents(replay) }
      self.publisher = publisher
    } catch {
      throw .zmq(error)
    }
  }

  private func warnOfOpenEvents(_ endpoint: String) {
    // libzmq writes IPv4 as it is seen by a socket of IPv6.
    let own = ["ipc:", "tcp://127.", "tcp://[::ffff:127.", "tcp://[::1]:"]
    if own.contains(where: endpoint.hasPrefix) { return }
    log.warning(
      "events beyond this machine: ZeroMQ has no TLS, no passwords and no limits here",
      ("endpoint", endpoint))
  }
}

extension VLLMPublisher {
  /// As a log's fields.
  var summary: [Log.Field] {
    [("batches", "\(publishedBatches)"), ("dropped", "\(droppedBatches)")]
  }
}

/// What the ZeroMQ publisher counts; families without samples where there is none.
final class PublisherMetrics: MetricsSource {
  private let publisher: VLLMPublisher?

  init(_ publisher: VLLMPublisher?) { self.publisher = publisher }

  func write(to text: inout MetricsText) {
    func counter(_ name: String, _ help: String, _ value: (VLLMPublisher) -> UInt64) {
      text.family("quire_zmq_\(name)", .counter, help)
      if let publisher { text.sample(MetricLabels("pool", publisher.pool), value(publisher)) }
    }
    counter("batches", "Batches of events published on ZeroMQ.") { $0.publishedBatches }
    counter(
      "dropped_batches", "Of those, such that some subscriber missed because its queue was full."
    ) { $0.droppedBatches }
  }
}
