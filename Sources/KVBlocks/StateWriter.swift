/// Where a pool's state goes, value by value: into a dump, or into a digest of the bytes that the
/// dump would have.
///
/// Everything is little endian and as wide as its name says; nothing is aligned. A section begins
/// with four letters, so that a reader that lost its place notices.
final class StateWriter {
  private(set) var bytes = FlatList<UInt8>(minimumCapacity: StateWriter.batch + 64)
  private var digest = ByteDigest()
  private let keeps: Bool
  /// Bytes that a digest takes at once. A multiple of 16.
  private static let batch = 1 << 14

  /// `keepsBytes` false: only the digest is wanted, and memory stays small.
  init(keepsBytes: Bool) { keeps = keepsBytes }

  /// Of all that was written. Nothing may be written behind it unless bytes are kept.
  var value: UInt64 {
    var all = digest
    all.add(UnsafeRawBufferPointer(bytes.elements))
    return all.value
  }

  /// Four letters.
  func section(_ name: StaticString) {
    precondition(name.utf8CodeUnitCount == 4, "a section's name has four letters")
    for i in 0..<4 { bytes.append(name.utf8Start[i]) }
  }

  func u8(_ value: UInt8) { put(value) }
  func u16(_ value: UInt16) { put(value.littleEndian) }
  func u32(_ value: UInt32) { put(value.littleEndian) }
  func u64(_ value: UInt64) { put(value.littleEndian) }
  func flag(_ value: Bool) { put(value ? 1 as UInt8 : 0) }
  func f64(_ value: Double) { u64(value.bitPattern) }

  /// So many bytes, then the bytes.
  func list(_ list: UnsafeBufferPointer<UInt8>) {
    u32(UInt32(list.count))
    raw(list)
  }

  /// So many numbers, then the numbers.
  func list(_ list: UnsafeBufferPointer<UInt32>) {
    u32(UInt32(list.count))
    for number in list { u32(number) }
  }

  /// The bytes alone.
  func raw(_ list: UnsafeBufferPointer<UInt8>) {
    guard let source = list.baseAddress else { return }
    var rest = list.count
    var place = source
    while rest > 0 {
      let count = min(rest, Self.batch)
      bytes.extend(by: count).initialize(from: place, count: count)
      place += count
      rest -= count
      flush()
    }
  }

  @inline(__always)
  private func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    let size = MemoryLayout<T>.size
    UnsafeMutableRawPointer(bytes.extend(by: size)).storeBytes(of: value, as: T.self)
    if !keeps && bytes.count >= Self.batch { flush() }
  }

  private func flush() {
    if keeps || bytes.count < Self.batch { return }
    let whole = bytes.count & ~15
    digest.add(UnsafeRawBufferPointer(start: bytes.base, count: whole))
    let rest = bytes.count - whole
    bytes.base.update(from: bytes.base + whole, count: rest)
    bytes.removeLast(whole)
  }
}

/// A digest of bytes that come in pieces, of which only the last may be no multiple of 16 long.
struct ByteDigest {
  private var digest = Digest()
  private var count: UInt64 = 0

  mutating func add(_ bytes: UnsafeRawBufferPointer) {
    precondition(count & 15 == 0, "added bytes behind an odd end")
    count += UInt64(bytes.count)
    var i = 0
    while i + 16 <= bytes.count {
      digest.add(
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self)),
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: i + 8, as: UInt64.self)))
      i += 16
    }
    if i == bytes.count { return }
    var low: UInt64 = 0
    var high: UInt64 = 0
    for j in 0..<(bytes.count - i) {
      let byte = UInt64(bytes[i + j])
      if j < 8 { low |= byte << (8 * UInt64(j)) } else { high |= byte << (8 * UInt64(j - 8)) }
    }
    digest.add(low, high)
  }

  var value: UInt64 {
    var all = digest
    all.add(count)
    return all.value
  }
}
