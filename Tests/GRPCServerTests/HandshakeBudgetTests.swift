import Testing

@testable import GRPCServer

/// Times are nanoseconds; the budget begins full, with ten milliseconds.
@Suite("time for TLS handshakes")
struct HandshakeBudgetTests {
  @Test("is used up by what handshakes take, and comes back as a share of all time")
  func share() {
    var budget = HandshakeBudget()
    let start: UInt64 = 1_000_000_000_000
    func hasTime(after time: UInt64) -> Bool { budget.hasTime(at: start + time, percent: 25) }
    #expect(hasTime(after: 0))
    budget.took(9_999_999)
    #expect(hasTime(after: 0))
    // What the last one takes is known afterwards: a millisecond more than there was, less one.
    budget.took(1_000_000)
    #expect(!hasTime(after: 0))
    #expect(!hasTime(after: 3_999_996))
    #expect(hasTime(after: 4_000_004))
  }

  @Test("is not saved up for more than a burst")
  func burst() {
    var budget = HandshakeBudget()
    func hasTime(at time: UInt64) -> Bool { budget.hasTime(at: time, percent: 100) }
    #expect(hasTime(at: 1))
    #expect(hasTime(at: .max - 1))
    budget.took(10_000_000)
    #expect(!hasTime(at: .max - 1))
  }

  @Test("in the long run a flood gets its share", arguments: [1, 25, 50, 99])
  func flood(percent: Int) {
    var budget = HandshakeBudget()
    var now: UInt64 = 1
    var taken: UInt64 = 0
    // A hundred seconds in which a handshake of 0.7 ms is always there to be done.
    while now < 100_000_000_000 {
      if budget.hasTime(at: now, percent: percent) {
        budget.took(700_000)
        taken += 700_000
        now += 700_000
      } else {
        now += 100_000
      }
    }
    #expect(abs(Int(taken / 1_000_000) - percent * 1_000) <= 11)
  }
}
