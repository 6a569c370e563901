/// Packs one message, last field first, into a buffer that is reused from message to message.
///
/// Written from its end towards its beginning, a message needs one pass: the length of a nested one
/// is known by the time its prefix is due. Fields are therefore packed in descending order, which
/// makes the bytes those of every other encoder, in ascending order. Scalars of value 0, empty
/// strings and empty lists are left out, as proto3 does.
///
/// The methods here know the wire; those in the files named after a service know its messages.
public struct MessagePacker: ~Copyable {
  private var base: UnsafeMutableRawPointer
  private var capacity: Int
  /// Offset of the first byte written; everything from here to `capacity` is.
  private var start: Int

  public init(capacity: Int = 4_096) {
    precondition(capacity > 0, "a packer needs room")
    self.capacity = capacity
    base = .allocate(byteCount: capacity, alignment: 16)
    start = capacity
  }

  deinit { base.deallocate() }

  /// Begins the next message.
  public mutating func reset() { start = capacity }

  public var byteCount: Int { capacity - start }

  /// The message. Borrowed: valid until the packer is written to again.
  public var bytes: UnsafeRawBufferPointer { .init(start: base + start, count: byteCount) }

  /// Copies the message to `destination`, which has room for `byteCount` bytes.
  public func copy(to destination: UnsafeMutableRawPointer) {
    destination.copyMemory(from: base + start, byteCount: byteCount)
  }

  // MARK: Scalars

  @inline(__always)
  public mutating func uint32(_ field: UInt32, _ value: UInt32) {
    uint64(field, UInt64(value))
  }

  public mutating func uint64(_ field: UInt32, _ value: UInt64) {
    guard value != 0 else { return }
    reserve(15)
    pushVarint(value)
    pushVarint(UInt64(field << 3))
  }

  /// A member of a oneof: written even where it is 0.
  public mutating func setUInt64(_ field: UInt32, _ value: UInt64) {
    reserve(15)
    pushVarint(value)
    pushVarint(UInt64(field << 3))
  }

  public mutating func sint32(_ field: UInt32, _ value: Int32) {
    uint32(field, UInt32(bitPattern: (value << 1) ^ (value >> 31)))
  }

  public mutating func bool(_ field: UInt32, _ value: Bool) { uint32(field, value ? 1 : 0) }

  public mutating func fixed64(_ field: UInt32, _ value: UInt64) {
    guard value != 0 else { return }
    reserve(13)
    push(value)
    pushVarint(UInt64(field << 3 | 1))
  }

  /// A member of a oneof: written even where it is 0.
  public mutating func setFixed64(_ field: UInt32, _ value: UInt64) {
    reserve(13)
    push(value)
    pushVarint(UInt64(field << 3 | 1))
  }

  public mutating func double(_ field: UInt32, _ value: Double) {
    fixed64(field, value.bitPattern)
  }

  // MARK: Bytes and lists

  public mutating func bytes(_ field: UInt32, _ value: UnsafeRawBufferPointer) {
    guard let source = value.baseAddress, !value.isEmpty else { return }
    reserve(value.count + 15)
    start -= value.count
    (base + start).copyMemory(from: source, byteCount: value.count)
    pushLengthPrefix(field, byteCount: value.count)
  }

  public mutating func text(_ field: UInt32, _ value: UnsafeBufferPointer<UInt8>) {
    bytes(field, UnsafeRawBufferPointer(value))
  }

  public mutating func text(_ field: UInt32, _ value: String) {
    var value = value
    value.withUTF8 { text(field, $0) }
  }

  public mutating func packedUInt32(_ field: UInt32, _ values: UnsafeBufferPointer<UInt32>) {
    guard !values.isEmpty else { return }
    reserve(values.count * 5 + 15)
    let end = start
    var index = values.count
    while index > 0 {
      index -= 1
      pushVarint(UInt64(values[index]))
    }
    pushLengthPrefix(field, byteCount: end - start)
  }

  public mutating func packedUInt64(_ field: UInt32, _ values: UnsafeBufferPointer<UInt64>) {
    guard !values.isEmpty else { return }
    reserve(values.count * 10 + 15)
    let end = start
    var index = values.count
    while index > 0 {
      index -= 1
      pushVarint(values[index])
    }
    pushLengthPrefix(field, byteCount: end - start)
  }

  public mutating func packedFixed32(_ field: UInt32, _ values: UnsafeBufferPointer<UInt32>) {
    guard !values.isEmpty else { return }
    #if _endian(little)
      bytes(field, UnsafeRawBufferPointer(values))
    #else
      #error("packed fixed-width numbers are copied as they lie in memory")
    #endif
  }

  public mutating func packedFixed64(_ field: UInt32, _ values: UnsafeBufferPointer<UInt64>) {
    guard !values.isEmpty else { return }
    #if _endian(little)
      bytes(field, UnsafeRawBufferPointer(values))
    #else
      #error("packed fixed-width numbers are copied as they lie in memory")
    #endif
  }

  // MARK: Nested messages

  /// Where a nested message ends: take it, pack the message's fields, then `close` it.
  public var mark: Int { byteCount }

  /// Makes what was packed since `mark` the nested message `field`; empty ones are written too.
  public mutating func close(_ field: UInt32, since mark: Int) {
    reserve(15)
    pushLengthPrefix(field, byteCount: byteCount - mark)
  }

  // MARK: Room

  private mutating func pushLengthPrefix(_ field: UInt32, byteCount: Int) {
    pushVarint(UInt64(byteCount))
    pushVarint(UInt64(field << 3 | 2))
  }

  @inline(__always)
  private mutating func pushVarint(_ value: UInt64) {
    if value < 0x80 {
      start &-= 1
      base.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: start, as: UInt8.self)
      return
    }
    if value < 0x4000 {
      start &-= 2
      base.storeBytes(
        of: UInt16(truncatingIfNeeded: value & 0x7F | 0x80 | (value >> 7) << 8).littleEndian,
        toByteOffset: start, as: UInt16.self)
      return
    }
    pushLongVarint(value)
  }

  @inline(never)
  private mutating func pushLongVarint(_ value: UInt64) {
    let count = (70 &- value.leadingZeroBitCount) / 7
    start &-= count
    let place = base + start
    var rest = value
    var offset = 0
    while rest >= 0x80 {
      place.storeBytes(
        of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: offset, as: UInt8.self)
      rest >>= 7
      offset &+= 1
    }
    place.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: offset, as: UInt8.self)
  }

  private mutating func push(_ value: UInt64) {
    start -= 8
    base.storeBytes(of: value.littleEndian, toByteOffset: start, as: UInt64.self)
  }

  @inline(__always)
  private mutating func reserve(_ byteCount: Int) {
    if start < byteCount { grow(byteCount) }
  }

  @inline(never)
  private mutating func grow(_ byteCount: Int) {
    let written = self.byteCount
    var larger = capacity * 2
    while larger - written < byteCount { larger *= 2 }
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    (moved + (larger - written)).copyMemory(from: base + start, byteCount: written)
    base.deallocate()
    base = moved
    start = larger - written
    capacity = larger
  }
}
