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
  /// When the next look is due, by the loop's clock.
  private var due: UInt64 = 0
  /// When watchers get theirs.
  private var watchDue: UInt64 = 0

  /// In between, what has changed is read as often as this, so that no look has much to read at once.
  private static let catchUpNanoseconds: UInt64 = 100_000_000
  /// The loop's timers count milliseconds.
  private static let tickNanoseconds: UInt64 = 1_000_000

  init(_ service: QuireService, _ options: SamplingOptions, on loop: EventLoop) {
    self.service = service
    budget = options.intervalNanoseconds.map {
      SampleBudget(intervalNanoseconds: $0, percent: Double(options.budgetPercent))
    }
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
    guard let budget else { return }
    service.startSampling(intervalMilliseconds: UInt32(budget.intervalNanoseconds / 1_000_000))
    samples = timer(loop) { $0.look(budget) }
    due = EventLoop.clock + budget.intervalNanoseconds
    samples?.start(afterNanoseconds: min(budget.intervalNanoseconds, Self.catchUpNanoseconds))
  }

  private func timer(_ loop: EventLoop, _ fire: @escaping (SamplingTimers) -> Void) -> LoopTimer {
    let timer = LoopTimer(on: loop) { [unowned self] in fire(self) }
    timer.keepsLoopRunning(false)
    return timer
  }

  /// A look and what watchers get at the same time count the same runs, once.
  private func lookWithWatchers() {
    guard let budget, EventLoop.clock + Self.together(budget) >= due else { return }
    due = 0
    look(budget)
  }

  /// Looks are put off and made early by so much, to be at the same time as what watchers get.
  private static func together(_ budget: SampleBudget) -> UInt64 {
    min(budget.intervalNanoseconds, catchUpNanoseconds) / 2
  }

  private func look(_ budget: SampleBudget) {
    let begin = EventLoop.clock
    let isDue = begin + Self.tickNanoseconds >= due
    if isDue && due > 0 && watchDue > begin && watchDue - begin <= Self.together(budget) {
      samples?.start(afterNanoseconds: watchDue - begin + Self.tickNanoseconds)
      return
    }
    if isDue { service.analyses?.sample() } else { service.analyses?.catchUp() }
    let now = EventLoop.clock
    // What a catching up takes counts, too.
    let share = SampleBudget(intervalNanoseconds: 0, percent: budget.percent)
    let idle = share.delay(after: now - begin)
    due = isDue ? now + budget.delay(after: now - begin) : max(due, now + idle)
    samples?.start(afterNanoseconds: min(due - now, max(idle, Self.catchUpNanoseconds)))
  }
}
