/// The turns of the streams that send as much as they can, dealt by time.
///
/// A stream whose read filled the buffer has more to come, and a peer can see to it that it always has.
/// With a read a turn for everybody four such peers would have most of the loop: their 64 KiB cost as
/// much as dozens of calls. So whoever filled the buffer waits. When nobody else has had anything for `quiet`,
/// a few are read in each turn; until then one a turn, in the order in which they came, as long as together
/// they have had no more than `percent` of the time. One turn without others is not quiet: a client that waits for
/// its answers leaves one after each batch, and would find the loop busy when it comes back.
///
/// Nobody waits for long: what one read costs too much is owed up to `mostOwed`, a fifth of a second. Of many
/// who wait each is read after those before it, a twentieth of a second for every 50 or so.
struct BulkReading {
  /// Of all time, while others have something to be read: tens of megabytes a second.
  static let percent: Int64 = 5
  /// Nanoseconds that may be saved up: a few dozen reads.
  static let burst: Int64 = 1_000_000

  /// Nanoseconds that may be owed: one read can bring a command that takes long.
  static let mostOwed: Int64 = 10_000_000

  /// Nanoseconds without a read of anybody else, after which the loop is theirs who wait.
  static let quiet: UInt64 = 1_000_000

  /// Of those who wait, in a turn that nobody else wants: whoever comes then waits for half a megabyte at most.
  static let mostWhenQuiet = 8

  /// A stream's place in the queue.
  final class Turn {
    /// nil when it has closed.
    var resume: (() -> Void)?
    fileprivate var isWaiting = false

    init(_ resume: @escaping () -> Void) { self.resume = resume }
  }

  private var waiting: [Turn] = []
  /// Nanoseconds; less than 0 when owed.
  private(set) var saved = BulkReading.burst
  private var lastFilled: UInt64 = 0
  private var othersRead = false
  private var lastOthers: UInt64 = 0
  /// Set by `next`.
  private var isQuiet = false

  var isEmpty: Bool { waiting.isEmpty }
  /// Somebody can be read in the next turn, whether or not anything else happens.
  var isOpen: Bool { isQuiet || saved > 0 }

  mutating func wait(_ turn: Turn) {
    if turn.isWaiting { return }
    turn.isWaiting = true
    waiting.append(turn)
  }

  /// A read of one that had waited, and what it cost.
  mutating func took(_ nanoseconds: UInt64) {
    saved = max(-BulkReading.mostOwed, saved - Int64(clamping: min(nanoseconds, 1_000_000_000)))
  }

  /// A read of anybody else.
  mutating func othersDidRead() { othersRead = true }

  /// Takes out those whose turn it is now. Once a turn of the loop.
  mutating func next(at now: UInt64) -> [Turn] {
    let elapsed = Int64(clamping: min(now &- lastFilled, 1_000_000_000))
    lastFilled = now
    saved = min(BulkReading.burst, saved + elapsed * BulkReading.percent / 100)
    if othersRead { lastOthers = now }
    othersRead = false
    isQuiet = now &- lastOthers >= BulkReading.quiet
    let isOpen = isOpen
    let most = isQuiet ? BulkReading.mostWhenQuiet : 1
    var chosen: [Turn] = []
    // Those who closed take nobody's turn, and leave also when none is dealt.
    waiting.removeAll { turn in
      let isTaken = turn.resume == nil || isOpen && chosen.count < most
      if turn.resume != nil && isTaken { chosen.append(turn) }
      if isTaken { turn.isWaiting = false }
      return isTaken
    }
    return chosen
  }
}
