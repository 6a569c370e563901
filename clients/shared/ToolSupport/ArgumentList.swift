/// This module owns what every client program of ours does alike: its command line's manners, how it
/// names a server and whom it trusts, how it writes numbers and output. It knows no messages and opens
/// no connection.

/// What is wrong with a command line: names the argument and what was expected.
package struct UsageError: Error, Equatable, CustomStringConvertible {
  package var description: String
  package init(_ description: String) { self.description = description }
}

/// Arguments in order; `--name=value` counts as two.
package struct ArgumentList {
  private var rest: [String]

  package init(_ arguments: [String]) { rest = arguments.reversed() }

  package mutating func next() -> String? {
    guard let argument = rest.popLast() else { return nil }
    guard argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") else {
      return argument
    }
    rest.append(String(argument[argument.index(after: equals)...]))
    return String(argument[..<equals])
  }

  package mutating func value(after option: String) throws(UsageError) -> String {
    guard let value = rest.popLast(), !value.isEmpty else {
      throw UsageError("\(option) needs a value")
    }
    return value
  }

  package mutating func number(
    after option: String, _ range: ClosedRange<Double>
  ) throws(UsageError) -> Double {
    let text = try value(after: option)
    guard let number = Double(text), range.contains(number) else {
      throw UsageError(
        "\(option) is '\(text)'; expected a number from \(NumberText.short(range.lowerBound)) to "
          + NumberText.short(range.upperBound))
    }
    return number
  }

  package mutating func whole(
    after option: String, _ range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64 {
    let text = try value(after: option)
    guard let number = UInt64(text), range.contains(number) else {
      throw UsageError(
        "\(option) is '\(text)'; expected a whole number from \(range.lowerBound) to "
          + "\(range.upperBound)")
    }
    return number
  }
}

/// The word that somebody may have meant.
package enum Suggestion {
  /// The known word that is fewest typing errors away, at most a third of its letters and at least
  /// one; of equals the first. nil = none is near.
  package static func nearest(to word: String, among known: [String]) -> String? {
    var best: (word: String, distance: Int)?
    for candidate in known {
      let distance = distance(Array(word.unicodeScalars), Array(candidate.unicodeScalars))
      guard distance <= max(1, candidate.unicodeScalars.count / 3) else { continue }
      if best.map({ distance < $0.distance }) ?? true { best = (candidate, distance) }
    }
    return best?.word
  }

  /// " (did you mean WORD?)", or nothing.
  package static func hint(for word: String, among known: [String]) -> String {
    nearest(to: word, among: known).map { "; did you mean \($0)?" } ?? ""
  }

  /// Letters to insert, drop or replace, two neighbours that changed places counted once (optimal
  /// string alignment). O(a b).
  private static func distance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    var before: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var least = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
          least = min(least, before[j - 1] + 1)
        }
        row.append(least)
      }
      before = last
      last = row
    }
    return last[b.count]
  }
}
