/// When pools are looked at: on a grid of times that are an interval apart, one look for each, however
/// little it costs and whoever else looks. In between, what has changed is read.
///
/// A look may be a little early or late, to be at the same time as what watchers get; the next is still
/// for the next time of the grid. After work that takes long the budget puts off all that follows, and
/// nothing is early then. Times are nanoseconds of one clock.
package struct LookSchedule: Equatable, Sendable {
  package enum Decision: Equatable, Sendable {
    case sample
    /// Read what has changed.
    case catchUp
    /// Nothing now.
    case wait
  }

  /// In between, what has changed is read as often as this, so that no look has much to read at once.
  static let catchUpNanoseconds: UInt64 = 100_000_000
  /// Timers count milliseconds.
  static let tickNanoseconds: UInt64 = 1_000_000

  private let budget: SampleBudget
  /// The time of the grid that the next look is for.
  private(set) var due: UInt64
  /// Nothing before this, by the budget.
  private(set) var earliest: UInt64

  /// The first look is an interval from `now`.
  package init(_ budget: SampleBudget, at now: UInt64) {
    precondition(budget.intervalNanoseconds > 0, "looks without an interval")
    self.budget = budget
    due = now + budget.intervalNanoseconds
    earliest = now
  }

  /// Looks are put off and made early by so much.
  private var together: UInt64 { min(budget.intervalNanoseconds, Self.catchUpNanoseconds) / 2 }

  /// The timer of the looks has fired. `watchDue`: when watchers get theirs next, or got it last.
  package func decide(at now: UInt64, watchDue: UInt64) -> Decision {
    if now < earliest { return .wait }
    if now + Self.tickNanoseconds < due { return .catchUp }
    return now < putOff(at: now, watchDue) ? .wait : .sample
  }

  /// Watchers get theirs now.
  package func isDueWithWatchers(at now: UInt64) -> Bool {
    now >= earliest && now + together >= due
  }

  /// Until when a look that is due waits for what watchers get at `watchDue`; 0 = it does not.
  private func putOff(at now: UInt64, _ watchDue: UInt64) -> UInt64 {
    // By the times that it was due at, not by `now`: watchers that come one after the other do not put
    // it off for ever.
    watchDue >= now && watchDue <= max(due, earliest) + together
      ? watchDue + Self.tickNanoseconds : 0
  }

  /// What was decided was done, from `begin` to `end`.
  package mutating func done(_ decision: Decision, from begin: UInt64, to end: UInt64) {
    if decision == .wait { return }
    // What a catching up takes counts, too.
    let share = SampleBudget(intervalNanoseconds: 0, percent: budget.percent)
    earliest = end + share.delay(after: end - begin)
    if decision == .catchUp { return }
    let interval = budget.intervalNanoseconds
    // Times that went by without a look are left out.
    due += interval * (due > end ? 1 : (end - due) / interval + 1)
  }

  /// From `now` until the timer is to fire again.
  package func delay(from now: UInt64, watchDue: UInt64) -> UInt64 {
    let isLate = now + Self.tickNanoseconds >= due
    let next = max(
      earliest, isLate ? putOff(at: now, watchDue) : min(due, now + Self.catchUpNanoseconds))
    return max(Self.tickNanoseconds, next > now ? next - now : 0)
  }
}
