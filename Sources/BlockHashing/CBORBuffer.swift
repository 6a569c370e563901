/// Canonical CBOR (RFC 8949, 4.2: definite lengths, shortest heads) written into memory that is used
/// again and again. Just the items that a block hash is made of: integers, byte and text strings,
/// arrays and null.
///
/// Writing checks no bounds: `reset` makes room first. That is one test a block instead of one a token.
package struct CBORBuffer: ~Copyable {
  private var base: UnsafeMutableRawPointer
  private var capacity: Int
  package private(set) var count = 0

  /// The longest head of an item, or a whole integer.
  package static let headBytes = 9
  /// The longest encoding of a token id.
  package static let tokenBytes = 5
  /// What `tokens` may overwrite behind its last one.
  package static let slackBytes = 7

  package enum Major: UInt8 {
    case unsigned = 0x00
    case negative = 0x20
    case bytes = 0x40
    case text = 0x60
    case array = 0x80
  }

  package init(capacity: Int = 256) {
    self.capacity = capacity
    base = .allocate(byteCount: capacity, alignment: 8)
  }

  deinit { base.deallocate() }

  package var bytes: UnsafeRawBufferPointer { .init(start: base, count: count) }

  /// Forgets what was written and makes room for `needed` bytes.
  @inline(__always)
  package mutating func reset(reserving needed: Int) {
    count = 0
    if needed + Self.slackBytes > capacity { grow(needed + Self.slackBytes) }
  }

  @inline(never)
  private mutating func grow(_ needed: Int) {
    base.deallocate()
    capacity = max(needed, 2 * capacity)
    base = .allocate(byteCount: capacity, alignment: 8)
  }

  @inline(__always)
  private mutating func put<T: FixedWidthInteger>(_ first: UInt8, _ value: T) {
    base.storeBytes(of: first, toByteOffset: count, as: UInt8.self)
    base.storeBytes(of: value.bigEndian, toByteOffset: count + 1, as: T.self)
    count += 1 + MemoryLayout<T>.size
  }

  @inline(__always)
  package mutating func head(_ major: Major, _ value: UInt32) {
    let kind = major.rawValue
    if value < 24 {
      base.storeBytes(of: kind | UInt8(value), toByteOffset: count, as: UInt8.self)
      count += 1
    } else if value <= 0xFF {
      put(kind | 24, UInt8(truncatingIfNeeded: value))
    } else if value <= 0xFFFF {
      put(kind | 25, UInt16(truncatingIfNeeded: value))
    } else {
      put(kind | 26, value)
    }
  }

  package mutating func head(_ major: Major, _ value: UInt64) {
    if value <= 0xFFFF_FFFF {
      head(major, UInt32(truncatingIfNeeded: value))
    } else {
      put(major.rawValue | 27, value)
    }
  }

  package mutating func null() {
    base.storeBytes(of: 0xF6, toByteOffset: count, as: UInt8.self)
    count += 1
  }

  package mutating func integer(_ value: Int64) {
    if value >= 0 {
      head(.unsigned, UInt64(value))
    } else {
      head(.negative, UInt64(-1 - value))
    }
  }

  /// What is encoded already.
  package mutating func raw(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    (base + count).copyMemory(from: start, byteCount: bytes.count)
    count += bytes.count
  }

  package mutating func byteString(_ bytes: UnsafeRawBufferPointer) {
    head(.bytes, UInt64(bytes.count))
    raw(bytes)
  }

  /// A hash as a byte string of `byteCount` bytes.
  @inline(__always)
  package mutating func hash(_ hash: ContentHash, _ byteCount: Int) {
    head(.bytes, UInt32(byteCount))
    hash.write(to: base + count, byteCount)
    count += byteCount
  }

  package mutating func text(_ text: String) {
    var text = text
    text.withUTF8 {
      head(.text, UInt64($0.count))
      raw(UnsafeRawBufferPointer($0))
    }
  }

  /// Integers of 1, 2, 3 or 5 bytes, without a branch: ids come in no order that a processor could
  /// learn. Stores 8 bytes for each, so up to 7 behind the last one are overwritten.
  @inline(__always)
  package mutating func tokens(_ tokens: UnsafeBufferPointer<UInt32>) {
    var next = base + count
    for token in tokens {
      let over23: UInt32 = token > 23 ? 1 : 0
      let over8Bits: UInt32 = token > 0xFF ? 1 : 0
      let over16Bits: UInt32 = token > 0xFFFF ? 1 : 0
      // Of the value behind the first byte: 0, 1, 2 or 4 bytes.
      let size = over23 + over8Bits + 2 * over16Bits
      let first = token > 23 ? 23 + over23 + over8Bits + over16Bits : token
      // From the least significant byte: the first byte, then the value, most significant first.
      let value = (UInt64(token) << UInt64(32 &- 8 &* size)).byteSwapped >> 32
      next.storeBytes(of: (UInt64(first) | value << 8).littleEndian, as: UInt64.self)
      next += Int(1 + size)
    }
    count = next - base
  }
}
