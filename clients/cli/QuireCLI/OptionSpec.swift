internal import ToolSupport

/// One option of a command: what the parser takes and the help says.
struct OptionSpec: Sendable {
  enum Kind: Sendable {
    case flag
    case text
    case whole(ClosedRange<UInt64>)
    case number(ClosedRange<Double>)
    /// With or without a unit.
    case bytes(ClosedRange<UInt64>)
    /// Numbers with commas between them.
    case wholes(ClosedRange<UInt64>)
    case choice([String])
  }

  var name: String
  /// What stands for the value in the help; empty for flags.
  var placeholder: String
  var kind: Kind
  var meaning: String

  init(_ name: String, _ kind: Kind, _ meaning: String) { self.init(name, "", kind, meaning) }

  init(_ name: String, _ placeholder: String, _ kind: Kind, _ meaning: String) {
    self.name = name
    self.placeholder = placeholder
    self.kind = kind
    self.meaning = meaning
  }

  /// Reads the value that follows.
  func parse(_ arguments: inout ArgumentList) throws(UsageError) -> OptionValue {
    switch kind {
    case .flag: return .flag
    case .text: return .text(try arguments.value(after: name))
    case .whole(let range): return .whole(try arguments.whole(after: name, range))
    case .number(let range): return .number(try arguments.number(after: name, range))
    case .bytes(let range):
      let text = try arguments.value(after: name)
      guard let bytes = ByteText.parse(text), range.contains(bytes) else {
        throw UsageError(
          "\(name) is '\(text)'; expected bytes such as 65536, 512MiB or 60GiB, at most "
            + ByteText.exact(range.upperBound))
      }
      return .whole(bytes)
    case .wholes(let range):
      let text = try arguments.value(after: name)
      var numbers: [UInt64] = []
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let number = UInt64(part), range.contains(number) else {
          throw UsageError(
            "\(name) is '\(text)'; expected whole numbers from \(range.lowerBound) to "
              + "\(range.upperBound), with commas between them")
        }
        numbers.append(number)
      }
      return .wholes(numbers)
    case .choice(let words):
      let text = try arguments.value(after: name)
      guard words.contains(text) else {
        throw UsageError(
          "\(name) is '\(text)'; expected \(words.joined(separator: ", "))"
            + Suggestion.hint(for: text, among: words))
      }
      return .text(text)
    }
  }
}

enum OptionValue: Equatable, Sendable {
  case flag
  case text(String)
  case whole(UInt64)
  case wholes([UInt64])
  case number(Double)
}

/// Amounts of bytes, as people write them.
package enum ByteText {
  private static let binary: [(name: String, factor: UInt64)] = [
    ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
  ]
  private static let decimal: [(name: String, factor: UInt64)] = [
    ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000),
  ]

  /// Digits, perhaps with a fraction, and perhaps a unit; nil when it is no such thing or no whole
  /// number of bytes below 2^63.
  package static func parse(_ text: String) -> UInt64? {
    var digits = text[...]
    var factor: UInt64 = 1
    for unit in binary + decimal where text.hasSuffix(unit.name) {
      digits = text.dropLast(unit.name.count)
      factor = unit.factor
      break
    }
    if digits.isEmpty || !digits.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }) {
      return nil
    }
    if let whole = UInt64(digits) {
      let (bytes, isTooMuch) = whole.multipliedReportingOverflow(by: factor)
      return isTooMuch || bytes > UInt64(Int64.max) ? nil : bytes
    }
    guard factor > 1, let number = Double(digits) else { return nil }
    let bytes = number * Double(factor)
    return bytes < 9.2e18 ? UInt64(bytes) : nil
  }

  /// For reading: "1.50 GiB".
  package static func short(_ bytes: UInt64) -> String { short(Double(bytes)) }

  package static func short(_ bytes: Double) -> String {
    for unit in binary where bytes >= Double(unit.factor) {
      return NumberText.fixed(bytes / Double(unit.factor), 2) + " " + unit.name
    }
    return NumberText.fixed(bytes, 0) + " B"
  }

  /// In the largest unit that leaves no rest: "60GiB".
  static func exact(_ bytes: UInt64) -> String {
    for unit in binary where bytes >= unit.factor && bytes % unit.factor == 0 {
      return "\(bytes / unit.factor)\(unit.name)"
    }
    return "\(bytes)"
  }
}
