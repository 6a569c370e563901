/// Walks the fields of a protobuf message in wire order, without a schema and without copying.
///
/// Every length is checked against the bytes that are there. Groups (wire types 3 and 4), field
/// number 0 and varints longer than 10 bytes count as malformed.
package struct ProtoReader {
  package enum Value {
    case varint(UInt64)
    case fixed64(UInt64)
    case bytes(UnsafeRawBufferPointer)
    case fixed32(UInt32)
  }

  private var rest: UnsafeRawBufferPointer
  /// Set when `next` stopped before the end because the bytes made no sense.
  package private(set) var isMalformed = false

  package init(_ message: UnsafeRawBufferPointer) { rest = message }

  /// The next field; nil at the end, or when the message is malformed.
  package mutating func next() -> (number: Int, value: Value)? {
    if rest.isEmpty || isMalformed { return nil }
    guard let key = varint(), key >> 3 > 0, key >> 3 <= 0x1FFF_FFFF else { return fail() }
    let value: Value
    switch key & 7 {
    case 0:
      guard let number = varint() else { return fail() }
      value = .varint(number)
    case 1:
      guard let bytes = take(8) else { return fail() }
      value = .fixed64(UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)))
    case 2:
      guard let count = varint(), count <= UInt64(rest.count), let bytes = take(Int(count)) else {
        return fail()
      }
      value = .bytes(bytes)
    case 5:
      guard let bytes = take(4) else { return fail() }
      value = .fixed32(UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)))
    default: return fail()
    }
    return (Int(key >> 3), value)
  }

  private mutating func fail() -> (number: Int, value: Value)? {
    isMalformed = true
    return nil
  }

  private mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
    guard count <= rest.count else { return nil }
    defer { rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count)) }
    return UnsafeRawBufferPointer(rebasing: rest.prefix(count))
  }

  private mutating func varint() -> UInt64? {
    var number: UInt64 = 0
    for index in 0..<min(10, rest.count) {
      let byte = rest[index]
      // The tenth byte has room for one bit.
      if index == 9, byte > 1 { return nil }
      number |= UInt64(byte & 0x7F) << UInt64(7 * index)
      if byte < 0x80 {
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(index + 1))
        return number
      }
    }
    return nil
  }
}
