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

  /// Writes 0 as well: a member of a oneof, or an element of a list.
  package mutating func setVarint(_ number: Int, _ value: UInt64) {
    raw(UInt64(number) << 3)
    raw(value)
  }

  /// Writes 0 as well.
  package mutating func fixed64(_ number: Int, _ value: UInt64) {
    raw(UInt64(number) << 3 | 1)
    for shift in stride(from: 0, to: 64, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
    }
  }

  /// Writes 0 as well.
  package mutating func fixed32(_ number: Int, _ value: UInt32) {
    raw(UInt64(number) << 3 | 5)
    for shift in stride(from: 0, to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
    }
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
