/// The turns of the streams that send as much as they can, dealt by time.
///
/// A stream whose read filled the buffer has more to come, and a peer can see to it that it always has.
/// With a read a turn for everybody four such peers would have most of the loop: their 64 KiB cost as
/// much as dozens of calls. So whoever filled the buffer waits. When a turn goes by in which nobody else
/// had anything, all who wait are read; until then one a turn, in the order in which they came, as long as
/// together they have had no more than `percent` of the time.
struct BulkReading {
  /// Of all time, while others have something to be read: some hundred megabytes a second.
  static let percent: Int64 = 10
  /// Nanoseconds that may be saved up: a few dozen reads.
  static let burst: Int64 = 1_000_000

  /// A stream's place in the queue.
  final class Turn {
    /// nil when it has closed.
    var resume: (() -> Void)?
    fileprivate var isWaiting = false

    init(_ resume: @escaping () -> Void) { self.resume = resume }
  }

  private var waiting: [Turn] = []
  private var saved = BulkReading.burst
  private var lastFilled: UInt64 = 0
  private var othersRead = false

  var isEmpty: Bool { waiting.isEmpty }

  mutating func wait(_ turn: Turn) {
    if turn.isWaiting { return }
    turn.isWaiting = true
    waiting.append(turn)
  }

  /// A read of one that had waited, and what it cost.
  mutating func took(_ nanoseconds: UInt64) { saved -= Int64(clamping: nanoseconds) }

  /// A read of anybody else.
  mutating func othersDidRead() { othersRead = true }

  /// Takes out those whose turn it is now. Once a turn of the loop.
  mutating func next(at now: UInt64) -> [Turn] {
    let elapsed = Int64(clamping: min(now &- lastFilled, 1_000_000_000))
    lastFilled = now
    saved = min(BulkReading.burst, saved + elapsed * BulkReading.percent / 100)
    let count = !othersRead ? waiting.count : saved > 0 ? 1 : 0
    othersRead = false
    let chosen = Array(waiting.prefix(count))
    waiting.removeFirst(count)
    for turn in chosen { turn.isWaiting = false }
    return chosen
  }
}
