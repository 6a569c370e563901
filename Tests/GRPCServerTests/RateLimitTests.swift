import Testing

@testable import GRPCServer

/// On a clock of the test's own, in nanoseconds.
@Suite("rate limit")
struct RateLimitTests {
  @Test(
    "what comes at the rate or below is never too much, however short the steps",
    arguments: [19_000_000, 10_526_315, 1_000_003] as [UInt64])
  func shortSteps(step: UInt64) {
    var limit = RateLimit()
    var sent: UInt64 = 0
    // Three minutes of 95 a second where 100 may come, counted once a step.
    for time in stride(from: step, to: 200_000_000_000, by: Int(step)) {
      let due = time * 95 / 1_000_000_000
      let isTaken = limit.takes(
        UInt32(due - sent), at: 5_000_000_000 + time, burst: 1_000, perSecond: 100)
      if !isTaken {
        Issue.record("cut off after \(time) ns")
        return
      }
      sent = due
    }
  }

  @Test("no steps, short or long, let more pass than the burst and the rate")
  func most() {
    for step in [7, 19, 333, 1_000, 2_500] as [UInt64] {
      var limit = RateLimit()
      // Full from the start: what is taken from then on is what has left.
      var taken: UInt64 = 0
      _ = limit.takes(1_000, at: 1_000_000_000, burst: 1_000, perSecond: 100)
      var time: UInt64 = 0
      while time < 60_000 {
        time += step
        var copy = limit
        while copy.takes(1, at: 1_000_000_000 + time * 1_000_000, burst: 1_000, perSecond: 100) {
          limit = copy
          taken += 1
        }
      }
      // One for each ten milliseconds.
      #expect(taken == time / 10, "\(step) ms")
    }
  }

  @Test("an empty bucket saves nothing up")
  func idle() {
    var limit = RateLimit()
    let seen = [(1, 1), (10, 3_600), (1, 3_600)].map { (count: UInt32, second: UInt64) in
      limit.takes(count, at: second * 1_000_000_000, burst: 10, perSecond: 1)
    }
    #expect(seen == [true, true, false])
  }

  @Test("the largest numbers are numbers", arguments: [0, 1, 5_000_000, .max] as [UInt64])
  func extremes(perSecond: UInt64) {
    var limit = RateLimit()
    for time in [0, 1, 1_000_000_000, .max / 2, .max] as [UInt64] {
      let isTaken = limit.takes(.max, at: time, burst: .max, perSecond: perSecond)
      #expect(isTaken)
    }
    var none = RateLimit()
    let isTaken = none.takes(1, at: .max, burst: 0, perSecond: perSecond)
    #expect(!isTaken)
  }
}
