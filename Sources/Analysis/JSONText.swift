internal import ForeignText

/// Writes JSON (RFC 8259): what the dashboard and programs read. Keys are ours and need no escapes; 64-bit numbers
/// that are ids go as text, because JavaScript has no room for them.
package struct JSONText {
  package private(set) var text = "{"
  private var needsComma = false

  package init() {}

  private mutating func key(_ name: StaticString) {
    if needsComma { text += "," }
    needsComma = true
    text += "\"\(name)\":"
  }

  package mutating func put(_ name: StaticString, _ value: some FixedWidthInteger) {
    key(name)
    text += "\(value)"
  }

  /// What is no number is null.
  package mutating func put(_ name: StaticString, _ value: Double) {
    key(name)
    text += value.isFinite ? "\(value)" : "null"
  }

  package mutating func put(_ name: StaticString, _ value: Bool) {
    key(name)
    text += value ? "true" : "false"
  }

  package mutating func put(_ name: StaticString, _ value: String) {
    key(name)
    text += ForeignText.quoted(value)
  }

  package mutating func put(_ name: StaticString, _ values: some Sequence<String>) {
    list(name, values.map(ForeignText.quoted))
  }

  package mutating func put(_ name: StaticString, _ values: some Sequence<some FixedWidthInteger>) {
    list(name, values.map { "\($0)" })
  }

  package mutating func put(_ name: StaticString, _ values: some Sequence<Double>) {
    list(name, values.map { $0.isFinite ? "\($0)" : "null" })
  }

  package mutating func put(_ name: StaticString, objects: some Sequence<JSONText>) {
    list(name, objects.map(\.finished))
  }

  package mutating func put(_ name: StaticString, object: JSONText?) {
    key(name)
    text += object?.finished ?? "null"
  }

  package mutating func put(_ name: StaticString, lists: some Sequence<[UInt32]>) {
    list(name, lists.map { "[" + $0.map { "\($0)" }.joined(separator: ",") + "]" })
  }

  private mutating func list(_ name: StaticString, _ values: [String]) {
    key(name)
    text += "[" + values.joined(separator: ",") + "]"
  }

  package var finished: String { text + "}" }
}
