/// Writes a protobuf message field by field, for the few messages that have no generated code.
package struct ProtoWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  /// Leaves out 0, which is what a proto3 reader assumes.
  package mutating func varint(_ number: Int, _ value: UInt64) {
    if value == 0 { return }
    raw(UInt64(number) << 3)
    raw(value)
  }

  package mutating func bytes(_ number: Int, _ value: some Collection<UInt8>) {
    raw(UInt64(number) << 3 | 2)
    raw(UInt64(value.count))
    bytes.append(contentsOf: value)
  }

  /// Leaves out the empty string, which is what a proto3 reader assumes.
  package mutating func string(_ number: Int, _ value: String) {
    if !value.isEmpty { bytes(number, value.utf8) }
  }

  package mutating func message(_ number: Int, _ fill: (inout ProtoWriter) -> Void) {
    var inner = ProtoWriter()
    fill(&inner)
    bytes(number, inner.bytes)
  }

  private mutating func raw(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }
}
