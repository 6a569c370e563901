import Testing
import Workloads

/// The smallest of the sorted values that at least `share` hundredths of a percent do not exceed.
private func percentile(_ share: Int, ofSorted values: [UInt64]) -> UInt64 {
  for (index, value) in values.enumerated() where (index + 1) * 10_000 >= share * values.count {
    return value
  }
  return values.last ?? 0
}

@Test(
  "agrees with sorting, to three digits, at every percentile", arguments: [1, 7, 42] as [UInt64])
func agreesWithSorting(seed: UInt64) {
  var random = RandomStream(seed: seed)
  var histogram = LatencyHistogram()
  // From a microsecond to a minute, as many in each decade.
  let values = (0..<20_000).map { _ in
    UInt64(random.lognormal(mu: 13.8, sigma: 3).rounded()) % 60_000_000_000 + 1_000
  }
  for value in values { histogram.record(value) }
  let sorted = values.sorted()
  for share in [0, 10, 100, 1_000, 2_500, 5_000, 7_500, 9_000, 9_500, 9_900, 9_990, 9_999] {
    let exact = percentile(share, ofSorted: sorted)
    let found = histogram.percentile(Double(share) / 100)
    #expect(found >= exact)
    #expect(Double(found) <= Double(exact) * 1.001)
  }
  #expect(histogram.percentile(100) == sorted.last)
  #expect(histogram.maximum == sorted.last)
  #expect(histogram.count == 20_000)
  let mean = values.reduce(0.0) { $0 + Double($1) } / 20_000
  #expect(abs(histogram.mean - mean) < mean * 1e-9)
}

@Test("small numbers are exact")
func smallNumbers() {
  var histogram = LatencyHistogram()
  for value in 0..<2_048 { histogram.record(UInt64(value)) }
  for value in [0, 1, 511, 1_023, 1_024, 2_047] {
    let percent = Double(value + 1) / 2_048 * 100
    #expect(histogram.percentile(percent) == UInt64(value))
  }
}

@Test("merging counts as recording everything in one")
func merging() {
  var random = RandomStream(seed: 11)
  var one = LatencyHistogram()
  var other = LatencyHistogram()
  var all = LatencyHistogram()
  for round in 0..<10_000 {
    let value = random.next() >> 30
    if round % 3 == 0 { one.record(value) } else { other.record(value) }
    all.record(value)
  }
  one.merge(other)
  #expect(one.count == all.count)
  #expect(one.maximum == all.maximum)
  for percent in [1, 50, 90, 99, 99.9, 100] {
    #expect(one.percentile(percent) == all.percentile(percent))
  }
}

@Test("waits of many minutes keep their three digits")
func longWaits() {
  var histogram = LatencyHistogram()
  // One request a second, each waiting a second longer, for an hour.
  for seconds in 1...3_600 { histogram.record(UInt64(seconds) * 1_000_000_000) }
  #expect((1_800_000_000_000...1_801_800_000_000).contains(histogram.percentile(50)))
  #expect((3_564_000_000_000...3_567_600_000_000).contains(histogram.percentile(99)))
}

@Test("an empty histogram answers 0, and what lasts over an hour keeps its exact maximum")
func edges() {
  var histogram = LatencyHistogram()
  #expect(histogram.percentile(50) == 0)
  #expect(histogram.mean == 0)
  histogram.record(36_000_000_000_000)
  #expect(histogram.maximum == 36_000_000_000_000)
  #expect(histogram.percentile(99.9) == 36_000_000_000_000)
}

@Test("one value recorded many times is as many values")
func weights() {
  var histogram = LatencyHistogram()
  histogram.record(10, times: 99)
  histogram.record(1_000)
  #expect(histogram.percentile(99) == 10)
  #expect(histogram.percentile(99.1) == 1_000)
}
