internal import Analysis
internal import BlockService
internal import UVLoop

/// When the pools are looked at: the timers of a service's sampling, of its watched stats, and of the
/// traces that it plays. The service must outlive this.
final class SamplingTimers {
  private unowned let service: QuireService
  private var samples: LoopTimer?
  private var watches: LoopTimer?
  private var replays: LoopTimer?
  private let budget: SampleBudget?

  init(_ service: QuireService, _ options: SamplingOptions, on loop: EventLoop) {
    self.service = service
    budget = options.intervalNanoseconds.map {
      SampleBudget(intervalNanoseconds: $0, percent: Double(options.budgetPercent))
    }
    service.nanoseconds = { EventLoop.clock }
    service.sampleBudgetPercent = Double(options.budgetPercent)
    watches = timer(loop) { $0.service.tickWatches() }
    service.onWatch = { [unowned self] milliseconds in
      watches?.start(afterNanoseconds: milliseconds * 1_000_000)
    }
    replays = timer(loop) { $0.service.playTraces() }
    service.onReplay = { [unowned self] nanoseconds in
      replays?.start(afterNanoseconds: nanoseconds)
    }
    guard let budget else { return }
    service.startSampling(intervalMilliseconds: UInt32(budget.intervalNanoseconds / 1_000_000))
    samples = timer(loop) { $0.sample() }
    samples?.start(afterNanoseconds: budget.intervalNanoseconds)
  }

  private func timer(_ loop: EventLoop, _ fire: @escaping (SamplingTimers) -> Void) -> LoopTimer {
    let timer = LoopTimer(on: loop) { [unowned self] in fire(self) }
    timer.keepsLoopRunning(false)
    return timer
  }

  private func sample() {
    guard let budget else { return }
    let begin = EventLoop.clock
    service.analyses?.sample()
    samples?.start(afterNanoseconds: budget.delay(after: EventLoop.clock - begin))
  }
}
