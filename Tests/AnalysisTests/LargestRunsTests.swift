import Analysis
import TestSupport
import Testing

@Suite("the largest runs of a set")
struct LargestRunsTests {
  @Test("are those that visiting each block finds", arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
  func random(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for round in 0..<60 {
      let count = 1 + Int(random.next() % 3_000)
      // From nearly empty over half full to nearly full.
      let share = [1, 8, 32, 50, 56, 63][round % 6]
      var set = BlockSet(count: count)
      var lengths: [UInt32] = []
      var length: UInt32 = 0
      for i in 0..<count {
        if Int(random.next() % 64) < share {
          set.set(i, to: true)
          length += 1
        } else if length > 0 {
          lengths.append(length)
          length = 0
        }
      }
      if length > 0 { lengths.append(length) }
      lengths.sort(by: >)
      let found = set.words.withUnsafeBufferPointer {
        RunCensus(of: set).largestRuns(10, of: $0)
      }
      #expect(found == Array(lengths.prefix(10)), "seed \(seed), round \(round)")
      let census = RunCensus(of: set)
      #expect(census.count == lengths.count)
      #expect(census.largest == Int(lengths.first ?? 0))
    }
  }

  @Test("of a checkerboard are all of one block")
  func checkerboard() {
    var set = BlockSet(count: 1_000)
    for i in stride(from: 0, to: 1_000, by: 2) { set.set(i, to: true) }
    let found = set.words.withUnsafeBufferPointer { RunCensus(of: set).largestRuns(10, of: $0) }
    #expect(found == Array(repeating: 1, count: 10))
  }
}

@Suite("the budget of sampling")
struct SampleBudgetTests {
  private let budget = SampleBudget(intervalNanoseconds: 1_000_000_000, percent: 1)

  @Test("a look that costs little comes at its interval")
  func cheap() {
    #expect(budget.delay(after: 0) == 1_000_000_000)
    #expect(budget.delay(after: 10_000_000) == 990_000_000)
  }

  @Test("a look of 50 ms at 1 % is followed by 4.95 s without one")
  func dear() {
    #expect(budget.delay(after: 50_000_000) == 4_950_000_000)
  }

  @Test("at 100 % looks may follow each other")
  func all() {
    let all = SampleBudget(intervalNanoseconds: 10, percent: 100)
    #expect(all.delay(after: 50) == 0)
  }
}
