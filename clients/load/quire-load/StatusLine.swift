import Glibc
import Workloads
import ToolSupport

/// What a run is doing, once a second on standard error: one line that is written over on a
/// terminal, a line each elsewhere.
struct StatusLine {
  private let isQuiet: Bool
  private let isPlain: Bool
  private var nextShow: UInt64 = 1_000_000_000
  private var shownSteps: UInt64 = 0
  private var shownAt: UInt64 = 0
  private var isLineOpen = false

  init(isQuiet: Bool, isPlain: Bool) {
    self.isQuiet = isQuiet
    self.isPlain = isPlain || isatty(STDERR_FILENO) == 0
  }

  /// - Parameter now: Nanoseconds since the run began.
  mutating func show(_ model: borrowing SchedulerModel, at now: UInt64) {
    guard !isQuiet, now >= nextShow else { return }
    nextShow = now - now % 1_000_000_000 + 1_000_000_000
    let metrics = model.metrics
    let seconds = Double(now - shownAt) / 1e9
    let rate = seconds > 0 ? Double(metrics.steps - shownSteps) / seconds : 0
    shownSteps = metrics.steps
    shownAt = now
    let used = NumberText.fixed(metrics.blockUsage.latest * 100, 1)
    let p99 = NumberText.fixed(Double(metrics.response.percentile(99)) / 1e6, 2)
    let done = metrics.finished + metrics.neverFit
    let text =
      "\(NumberText.fixed(Double(now) / 1e9, 0)) s  \(done)/\(metrics.planned) done  "
      + "\(model.runningCount) running  \(model.waitingCount) waiting  blocks \(used) %  "
      + "\(NumberText.fixed(rate, 0)) steps/s  response p99 \(p99) ms  "
      + "\(metrics.preemptions) preemptions  \(metrics.errors) errors"
    if isPlain {
      write(text + "\n", to: STDERR_FILENO)
    } else {
      write("\r\u{1B}[2K" + text, to: STDERR_FILENO)
      isLineOpen = true
    }
  }

  mutating func finish() {
    if isLineOpen { write("\r\u{1B}[2K", to: STDERR_FILENO) }
    isLineOpen = false
  }
}
