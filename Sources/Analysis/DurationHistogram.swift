/// Durations by powers of two of a second.
package struct DurationHistogram: Equatable, Sendable {
  /// Upper bounds of the bins, seconds, each inclusive: 1, 2, 4 ... 4096. The last bin is without one.
  package static let bounds: [Double] = (0...12).map { Double(1 << $0) }

  /// Durations of each bin, not of those below it.
  package private(set) var counts = [UInt64](repeating: 0, count: bounds.count + 1)
  package private(set) var count: UInt64 = 0
  /// Milliseconds.
  package private(set) var sum: UInt64 = 0

  package init() {}

  package mutating func add(milliseconds: UInt64) {
    var bin = 0
    var bound: UInt64 = 1_000
    while bin < DurationHistogram.bounds.count && milliseconds > bound {
      bin += 1
      bound *= 2
    }
    counts[bin] += 1
    count += 1
    sum &+= milliseconds
  }

  /// Seconds; 0 where there is none.
  package var mean: Double { count == 0 ? 0 : Double(sum) / 1_000 / Double(count) }

  /// Seconds: the bound of the bin in which the share `q` of all is reached, so at most twice the true
  /// one; infinite past the last bound, 0 where there is none.
  package func quantileBound(_ q: Double) -> Double {
    guard count > 0 else { return 0 }
    var rest = UInt64((q * Double(count)).rounded(.up))
    rest = max(1, min(rest, count))
    for (bin, bound) in DurationHistogram.bounds.enumerated() {
      if counts[bin] >= rest { return bound }
      rest -= counts[bin]
    }
    return .infinity
  }
}
