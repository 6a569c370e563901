/// Durations counted by ranges, for the loop thread alone.
///
/// Plain memory outside of Swift's arrays: to record takes a few instructions and no reference count.
package final class MetricHistogram {
  /// Upper ends of the ranges, nanoseconds, ascending; durations beyond the last are counted too.
  package let bounds: [UInt64]
  /// The same in seconds, as `le` has them.
  let boundTexts: [String]
  private let edges: UnsafeMutablePointer<UInt64>
  private let counts: UnsafeMutablePointer<UInt64>
  /// Nanoseconds.
  package private(set) var sum: UInt64 = 0

  /// 10 us to 1 s in steps of 1, 2, 5: calls.
  package static let callBounds = steps(from: 10_000, to: 1_000_000_000)
  /// 1 ms to 1,000 s in the same steps: sequences that wait for room.
  package static let waitBounds = steps(from: 1_000_000, to: 1_000_000_000_000)

  private static func steps(from first: UInt64, to last: UInt64) -> [UInt64] {
    var bounds: [UInt64] = []
    var decade = first
    while decade < last {
      bounds += [decade, 2 * decade, 5 * decade]
      decade *= 10
    }
    return bounds + [last]
  }

  package init(bounds: [UInt64]) {
    precondition(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "bounds out of order")
    self.bounds = bounds
    boundTexts = bounds.map { "\(Double($0) / 1e9)" }
    edges = .allocate(capacity: bounds.count + 1)
    edges.initialize(from: bounds, count: bounds.count)
    (edges + bounds.count).initialize(to: .max)
    counts = .allocate(capacity: bounds.count + 1)
    counts.initialize(repeating: 0, count: bounds.count + 1)
  }

  deinit {
    edges.deallocate()
    counts.deallocate()
  }

  /// O(ranges below it): most of what is measured is short.
  @inline(__always)
  package func record(_ nanoseconds: UInt64) {
    var i = 0
    while nanoseconds > edges[i] { i &+= 1 }
    counts[i] &+= 1
    sum &+= nanoseconds
  }

  /// Durations of one range; the last is beyond all bounds.
  package func count(_ range: Int) -> UInt64 {
    precondition(range >= 0 && range <= bounds.count, "no such range")
    return counts[range]
  }

  package var total: UInt64 { (0...bounds.count).reduce(0) { $0 + counts[$1] } }
}
