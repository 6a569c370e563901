import HTTP2
import Testing

/// On a clock of the test's own, in milliseconds; the limit is 20 s, looked at every 5.
@Suite("stall watch")
struct StallWatchTests {
  private final class Watched {
    private var watch = StallWatch()
    var total = 0

    func isStalled(at milliseconds: UInt64, bytesPerSecond: Int = 1_000) -> Bool {
      watch.isStalled(
        total, at: 1 + milliseconds * 1_000_000, limit: 20_000_000_000,
        bytesPerSecond: bytesPerSecond)
    }
  }

  @Test("what does not move for the limit is stalled when it is seen twice")
  func stall() {
    let watched = Watched()
    let seen = (0...5).map { watched.isStalled(at: 5_000 * $0) }
    #expect(seen == [false, false, false, false, false, true])
  }

  @Test("what moves as fast as it has to is not, what is slower is")
  func rate() {
    for (step, isStalled) in [(5_000, false), (4_900, true)] {
      let watched = Watched()
      var seen = false
      for look in 0..<100 where !seen {
        seen = watched.isStalled(at: 5_000 * UInt64(look))
        watched.total += step
      }
      #expect(seen == isStalled, "\(step) bytes each 5 s")
    }
  }

  @Test("any progress will do where no rate is asked for")
  func anyProgress() {
    let watched = Watched()
    for look in 0..<100 {
      #expect(!watched.isStalled(at: 5_000 * UInt64(look), bytesPerSecond: 0))
      if look % 3 == 0 { watched.total += 1 }
    }
  }

  @Test("a pause before the limit, in which the rest came, is held against nobody")
  func pauseBeforeLimit() {
    let watched = Watched()
    for look in 0...3 { #expect(!watched.isStalled(at: 5_000 * UInt64(look))) }
    // Stopped from 15.1 s to 24.9; the look comes before the read.
    #expect(!watched.isStalled(at: 24_900))
    watched.total += 29_900
    #expect(!watched.isStalled(at: 29_900))
  }

  @Test("a look long after the one before begins anew", arguments: [10_001, 3_600_000] as [UInt64])
  func longPause(pause: UInt64) {
    let watched = Watched()
    for look in 0...4 { #expect(!watched.isStalled(at: 5_000 * UInt64(look))) }
    let back = 20_000 + pause
    let seen = (0...5).map { watched.isStalled(at: back + 5_000 * $0) }
    #expect(seen == [false, false, false, false, false, true])
  }

  @Test("a smaller number is another message's, and a new start")
  func smaller() {
    let watched = Watched()
    watched.total = 100
    for look in 0...4 { #expect(!watched.isStalled(at: 5_000 * UInt64(look))) }
    watched.total = 50
    #expect(!watched.isStalled(at: 25_000))
    #expect(!watched.isStalled(at: 35_000))
  }

  @Test("paused time does not count, and what counted before it does")
  func paused() {
    var watch = StallWatch()
    // Paused at every other look, 5 s each; the limit is 20 s, seen twice.
    var end: UInt64?
    for look in 0..<100 as Range<UInt64> where end == nil {
      let now = 1 + look * 5_000_000_000
      if look % 2 == 1 {
        watch.pause(at: now)
      } else if watch.isStalled(0, at: now, limit: 20_000_000_000, bytesPerSecond: 1) {
        end = look
      }
    }
    #expect(end == 10)
    var unseen = StallWatch()
    for look in 1...100 as ClosedRange<UInt64> { unseen.pause(at: look * 5_000_000_000) }
    let isStalled = unseen.isStalled(0, at: 505_000_000_000, limit: 1, bytesPerSecond: 1)
    #expect(!isStalled)
  }

  @Test("a peer has to go on once it has what was written when it came to wait")
  func sentMark() {
    var mark = SentMark()
    // Nothing of it moves; 10,000 are written before it and arrive, and more behind them.
    let seen = [(0, 10_000, 0), (0, 12_000, 9_999), (0, 14_000, 10_000)].map {
      mark.hasArrived($0.0, written: $0.1, delivered: $0.2)
    }
    #expect(seen == [true, false, true])
    // It moves a little each time: what it waits for is what was written at the first of them.
    let steps = (501...505).map {
      mark.hasArrived($0, written: 20_000, delivered: 14_500 + 1_100 * ($0 - 501))
    }
    #expect(steps == [true, false, false, false, false])
    let arrived = mark.hasArrived(505, written: 40_000, delivered: 20_000)
    #expect(arrived)
  }
}
