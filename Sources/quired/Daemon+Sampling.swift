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
  /// By the loop's clock, as all times here; nil = none is looked at.
  private var schedule: LookSchedule?
  /// When watchers get theirs.
  private var watchDue: UInt64 = 0

  init(_ service: QuireService, _ options: SamplingOptions, on loop: EventLoop) {
    self.service = service
    service.nanoseconds = { EventLoop.clock }
    service.sampleBudgetPercent = Double(options.budgetPercent)
    watches = timer(loop) {
      $0.lookWithWatchers()
      $0.service.tickWatches()
    }
    service.onWatch = { [unowned self] milliseconds in
      watchDue = EventLoop.clock + milliseconds * 1_000_000
      watches?.start(afterNanoseconds: milliseconds * 1_000_000)
    }
    replays = timer(loop) { $0.service.playTraces() }
    service.onReplay = { [unowned self] nanoseconds in
      replays?.start(afterNanoseconds: nanoseconds)
    }
    guard let interval = options.intervalNanoseconds else { return }
    let budget = SampleBudget(
      intervalNanoseconds: interval, percent: Double(options.budgetPercent))
    service.startSampling(intervalMilliseconds: UInt32(interval / 1_000_000))
    samples = timer(loop) { $0.look() }
    let now = EventLoop.clock
    let schedule = LookSchedule(budget, at: now)
    self.schedule = schedule
    samples?.start(afterNanoseconds: schedule.delay(from: now, watchDue: watchDue))
  }

  private func timer(_ loop: EventLoop, _ fire: @escaping (SamplingTimers) -> Void) -> LoopTimer {
    let timer = LoopTimer(on: loop) { [unowned self] in fire(self) }
    timer.keepsLoopRunning(false)
    return timer
  }

  /// A look and what watchers get at the same time count the same runs, once.
  private func lookWithWatchers() {
    let now = EventLoop.clock
    if schedule?.isDueWithWatchers(at: now) ?? false { act(.sample, from: now) }
  }

  private func look() {
    let now = EventLoop.clock
    guard let schedule else { return }
    act(schedule.decide(at: now, watchDue: watchDue), from: now)
  }

  private func act(_ decision: LookSchedule.Decision, from begin: UInt64) {
    switch decision {
    case .sample: service.analyses?.sample()
    case .catchUp: service.analyses?.catchUp()
    case .wait: break
    }
    let end = EventLoop.clock
    schedule?.done(decision, from: begin, to: end)
    guard let schedule else { return }
    samples?.start(afterNanoseconds: schedule.delay(from: end, watchDue: watchDue))
  }
}
