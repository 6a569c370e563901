/// Writes JSON (RFC 8259): what the dashboard reads. Keys are ours and need no escapes; 64-bit numbers
/// that are ids go as text, because JavaScript has no room for them.
struct JSONText {
  private(set) var text = "{"
  private var needsComma = false

  private mutating func key(_ name: StaticString) {
    if needsComma { text += "," }
    needsComma = true
    text += "\"\(name)\":"
  }

  mutating func put(_ name: StaticString, _ value: some FixedWidthInteger) {
    key(name)
    text += "\(value)"
  }

  /// What is no number is null.
  mutating func put(_ name: StaticString, _ value: Double) {
    key(name)
    text += value.isFinite ? "\(value)" : "null"
  }

  mutating func put(_ name: StaticString, _ value: Bool) {
    key(name)
    text += value ? "true" : "false"
  }

  mutating func put(_ name: StaticString, _ value: String) {
    key(name)
    text += Self.quoted(value)
  }

  mutating func put(_ name: StaticString, _ values: some Sequence<String>) {
    list(name, values.map(Self.quoted))
  }

  mutating func put(_ name: StaticString, _ values: some Sequence<some FixedWidthInteger>) {
    list(name, values.map { "\($0)" })
  }

  mutating func put(_ name: StaticString, _ values: some Sequence<Double>) {
    list(name, values.map { $0.isFinite ? "\($0)" : "null" })
  }

  mutating func put(_ name: StaticString, objects: some Sequence<JSONText>) {
    list(name, objects.map(\.finished))
  }

  private mutating func list(_ name: StaticString, _ values: [String]) {
    key(name)
    text += "[" + values.joined(separator: ",") + "]"
  }

  var finished: String { text + "}" }

  /// Labels are any text of clients'.
  static func quoted(_ value: String) -> String {
    var result = "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{0}"..<"\u{20}", "\u{7F}", "\u{2028}", "\u{2029}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
