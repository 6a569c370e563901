/// Labels of a sample as they are written: `pool="default",state="free"`. Made once, used often.
package struct MetricLabels: Equatable {
  private(set) var bytes: [UInt8] = []

  /// No labels.
  package init() {}

  package init(_ name: StaticString, _ value: String) { append(name, value) }

  package func adding(_ name: StaticString, _ value: String) -> MetricLabels {
    var more = self
    more.append(name, value)
    return more
  }

  /// A value's backslash, quote and line feed are escaped, in both text forms alike.
  private mutating func append(_ name: StaticString, _ value: String) {
    if !bytes.isEmpty { bytes.append(UInt8(ascii: ",")) }
    name.withUTF8Buffer { bytes.append(contentsOf: $0) }
    bytes += [UInt8(ascii: "="), UInt8(ascii: "\"")]
    for byte in value.utf8 {
      switch byte {
      case UInt8(ascii: "\\"), UInt8(ascii: "\""): bytes += [UInt8(ascii: "\\"), byte]
      case UInt8(ascii: "\n"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
