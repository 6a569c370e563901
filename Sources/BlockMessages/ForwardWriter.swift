/// Writes fields of a message in ascending order into room that the caller has measured: for short messages
/// of few fields, whose lengths are known before they are written.
///
/// What a message takes is said by the functions beside it, which must be asked first: nothing here checks
/// for room. Scalars of value 0, empty strings and empty lists are left out, as proto3 does.
package struct ForwardWriter {
  /// Where the next byte goes.
  package private(set) var place: UnsafeMutableRawPointer

  package init(at place: UnsafeMutableRawPointer) { self.place = place }

  // MARK: What things take, in bytes

  @inline(__always)
  package static func byteCount(ofVarint value: UInt64) -> Int {
    value < 0x80 ? 1 : (70 &- value.leadingZeroBitCount) / 7
  }

  /// A field of a length, of a number below 16; nothing where it is empty.
  @inline(__always)
  package static func byteCount(ofField count: Int) -> Int {
    count == 0 ? 0 : 1 &+ byteCount(ofVarint: UInt64(count)) &+ count
  }

  /// A number, of a field below 16.
  @inline(__always)
  package static func byteCount(ofNumber value: UInt64) -> Int {
    value == 0 ? 0 : 1 &+ byteCount(ofVarint: value)
  }

  /// The values of a packed list, without its prefix.
  package static func byteCount(ofPacked values: UnsafeBufferPointer<UInt32>) -> Int {
    var count = 0
    for value in values { count &+= byteCount(ofVarint: UInt64(value)) }
    return count
  }

  // MARK: Writing

  @inline(__always)
  package mutating func byte(_ value: UInt8) {
    place.storeBytes(of: value, as: UInt8.self)
    place += 1
  }

  @inline(__always)
  package mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      byte(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    byte(UInt8(truncatingIfNeeded: rest))
  }

  /// The beginning of a field of `count` bytes, which follow.
  @inline(__always)
  package mutating func prefix(_ field: UInt8, _ count: Int) {
    byte(field << 3 | 2)
    varint(UInt64(count))
  }

  @inline(__always)
  package mutating func number(_ field: UInt8, _ value: UInt64) {
    if value == 0 { return }
    byte(field << 3)
    varint(value)
  }

  @inline(__always)
  package mutating func fixed64(_ field: UInt8, _ value: UInt64) {
    if value == 0 { return }
    byte(field << 3 | 1)
    place.storeBytes(of: value.littleEndian, as: UInt64.self)
    place += 8
  }

  /// The caller fills so many bytes.
  @inline(__always)
  mutating func skip(_ count: Int) { place += count }

  @inline(__always)
  package mutating func raw(_ source: UnsafeRawPointer, _ count: Int) {
    place.copyMemory(from: source, byteCount: count)
    place += count
  }

  package mutating func bytes(_ field: UInt8, _ value: UnsafeRawBufferPointer) {
    guard let source = value.baseAddress, value.count > 0 else { return }
    prefix(field, value.count)
    raw(source, value.count)
  }

  /// `count`: what `byteCount(ofPacked:)` says of them.
  package mutating func packed(
    _ field: UInt8, _ values: UnsafeBufferPointer<UInt32>, byteCount count: Int
  ) {
    if count == 0 { return }
    prefix(field, count)
    for value in values { varint(UInt64(value)) }
  }

  /// A hash of 32 bytes or of 16, by words: a copy of a length that is not known would be a call.
  @inline(__always)
  mutating func hash(_ source: UnsafeRawPointer, _ hashBytes: Int) {
    typealias Half = SIMD2<UInt64>
    let target = place
    target.storeBytes(of: source.loadUnaligned(as: Half.self), as: Half.self)
    if hashBytes == 32 {
      target.storeBytes(
        of: source.loadUnaligned(fromByteOffset: 16, as: Half.self), toByteOffset: 16, as: Half.self
      )
    }
    skip(hashBytes)
  }
}
