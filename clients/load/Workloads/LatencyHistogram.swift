/// Counts durations with three significant digits in constant space (the layout of Gil Tene's
/// HdrHistogram: powers of two, each cut into 1,024 equal parts).
///
/// Nanoseconds from 0 to 73 minutes, which an admission into a full pool may well take; what is longer
/// is counted in the last bucket and keeps its exact value as `maximum` only. 264 KiB each; recording
/// is O(1) and allocates nothing.
package struct LatencyHistogram {
  package static let highestTracked: UInt64 = (1 << 42) - 1
  /// Values below 2,048 have a bucket each; above, 1,024 per power of two: an error below 0.1 %.
  private static let halfBits: UInt64 = 10

  private var counts: [UInt64]
  package private(set) var count: UInt64 = 0
  /// Exact; 0 when nothing was recorded.
  package private(set) var maximum: UInt64 = 0
  private var sum: Double = 0

  package init() {
    counts = Array(repeating: 0, count: Self.index(Self.highestTracked) + 1)
  }

  /// Arithmetic mean in nanoseconds; 0 when nothing was recorded.
  package var mean: Double { count == 0 ? 0 : sum / Double(count) }

  package mutating func record(_ nanoseconds: UInt64, times: UInt64 = 1) {
    counts[Self.index(min(nanoseconds, Self.highestTracked))] += times
    count += times
    sum += Double(nanoseconds) * Double(times)
    maximum = max(maximum, nanoseconds)
  }

  package mutating func merge(_ other: LatencyHistogram) {
    for index in counts.indices { counts[index] += other.counts[index] }
    count += other.count
    sum += other.sum
    maximum = max(maximum, other.maximum)
  }

  /// The smallest recorded duration, to three digits and rounded up, that at least `percent` of all
  /// do not exceed. 100 is `maximum`; 0 when nothing was recorded. O(buckets).
  package func percentile(_ percent: Double) -> UInt64 {
    precondition(percent >= 0 && percent <= 100, "a percentile is 0 ... 100")
    guard count > 0 else { return 0 }
    // 99.99 % of 20,000 is 19,998, not one more because 99.99 has no exact binary form.
    let share = percent / 100 * Double(count) * (1 - 1e-12)
    let wanted = max(1, UInt64(share.rounded(.up)))
    if wanted >= count { return maximum }
    var seen: UInt64 = 0
    for index in counts.indices {
      seen += counts[index]
      if seen >= wanted { return min(Self.highestValue(at: index), maximum) }
    }
    return maximum
  }

  /// Below 2^11 the value itself; above, ten bits after the leading one, counted on from there.
  private static func index(_ value: UInt64) -> Int {
    let exponent = 63 - UInt64((value | 1).leadingZeroBitCount)
    guard exponent > halfBits else { return Int(value) }
    let shift = exponent - halfBits
    return Int((shift << halfBits) + (value >> shift))
  }

  private static func highestValue(at index: Int) -> UInt64 {
    let index = UInt64(index)
    guard index >= 2 << halfBits else { return index }
    let shift = (index >> halfBits) - 1
    let leading = index - (shift << halfBits)
    return ((leading + 1) << shift) - 1
  }
}
