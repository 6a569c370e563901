/// Spearman's rank correlation of two measures that were taken together: whether one rises when the other
/// does, whatever the shape of the relation.
///
/// rho is Pearson's r of the ranks, equal values sharing the mean of their ranks; -1 to 1. Samples of a
/// pool resemble their neighbours, so n of them say less than n that are independent: `effectivePairs` is
/// n (1 - a b) / (1 + a b), at most n (Bartlett 1935), where a and b are the correlations of x's and of y's
/// ranks with themselves one sample later. Where x is the time itself, a is 1, b is that of what the time
/// leaves unexplained of y's ranks, since else every trend would be held against itself.
package struct RankCorrelation: Equatable, Sendable {
  package enum Verdict: String, Sendable {
    /// Fewer than `leastPairs`: nothing is said.
    case tooShort = "too_short"
    /// One of the two never changed.
    case constant
    case rises
    case falls
    case unclear
  }

  /// Fewer say nothing: of 20 independent pairs without any relation one in twenty has |rho| above 0.45.
  package static let leastPairs = 20
  /// A relation that explains less than a tenth of the ranks (0.3 squared) helps nobody.
  package static let leastRho = 0.3

  package let pairs: Int
  /// nil where one of the two never changed, or where there are fewer than two pairs.
  package let rho: Double?
  package let effectivePairs: Double

  /// - Parameters:
  ///   - pairs: In the order in which they were taken.
  ///   - isOverTime: x is the time.
  /// - Complexity: O(n log n).
  package init(_ pairs: [(x: Double, y: Double)], isOverTime: Bool = false) {
    self.pairs = pairs.count
    let x = Self.ranks(pairs.map(\.x))
    let y = Self.ranks(pairs.map(\.y))
    guard let rho = Self.pearson(x[...], y[...]) else {
      rho = nil
      effectivePairs = Double(pairs.count)
      return
    }
    self.rho = rho
    let rest = isOverTime ? Self.residuals(of: y, on: x) : y
    let a = Self.pearson(x.dropLast(), x.dropFirst()) ?? 0
    let b = Self.pearson(rest.dropLast(), rest.dropFirst()) ?? 0
    let both = min(max(a * b, 0), 0.999)
    effectivePairs = Double(pairs.count) * (1 - both) / (1 + both)
  }

  /// What |rho| has to reach: `leastRho`, and the 5 % point of rho without a relation, 1.96 / sqrt(n - 1)
  /// with n effective pairs.
  package var threshold: Double {
    max(Self.leastRho, 1.96 / max(effectivePairs - 1, 1).squareRoot())
  }

  package var verdict: Verdict {
    if pairs < Self.leastPairs { return .tooShort }
    guard let rho else { return .constant }
    if abs(rho) < threshold { return .unclear }
    return rho > 0 ? .rises : .falls
  }

  /// 1 for the smallest; equal ones share the mean of their ranks. O(n log n).
  package static func ranks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var ranks = [Double](repeating: 0, count: values.count)
    var begin = 0
    while begin < order.count {
      var end = begin + 1
      while end < order.count && values[order[end]] == values[order[begin]] { end += 1 }
      // Ranks begin + 1 ... end.
      for i in begin..<end { ranks[order[i]] = Double(begin + 1 + end) / 2 }
      begin = end
    }
    return ranks
  }

  /// What is left of y when the straight line through x is taken away.
  private static func residuals(of y: [Double], on x: [Double]) -> [Double] {
    // Ranks have the same mean, whatever is tied.
    let mean = Double(x.count + 1) / 2
    var (xx, xy) = (0.0, 0.0)
    for (a, b) in zip(x, y) {
      xx += (a - mean) * (a - mean)
      xy += (a - mean) * (b - mean)
    }
    let slope = xx > 0 ? xy / xx : 0
    let rest = zip(x, y).map { ($1 - mean) - slope * ($0 - mean) }
    // Of a relation without exceptions rounding would be left.
    return rest.allSatisfy { abs($0) < 1e-6 } ? rest.map { _ in 0 } : rest
  }

  private static func pearson(_ x: ArraySlice<Double>, _ y: ArraySlice<Double>) -> Double? {
    guard x.count > 1 else { return nil }
    let meanX = x.reduce(0, +) / Double(x.count)
    let meanY = y.reduce(0, +) / Double(y.count)
    var (xx, yy, xy) = (0.0, 0.0, 0.0)
    for (a, b) in zip(x, y) {
      xx += (a - meanX) * (a - meanX)
      yy += (b - meanY) * (b - meanY)
      xy += (a - meanX) * (b - meanY)
    }
    return xx > 0 && yy > 0 ? max(-1, min(1, xy / (xx * yy).squareRoot())) : nil
  }
}
