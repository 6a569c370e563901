internal import CNGHTTP2

/// The expected fields that a connection has brought before, by the buffers in which nghttp2 has them.
///
/// A field that the peer's compression refers to by its number comes in the same two buffers each time, so
/// that two pointers tell what it took some comparisons to find out at first. The buffers that are
/// remembered are retained: their addresses cannot come to mean others. At most 16 a connection; they come
/// in the same order in most requests, so that the one after the last found is looked at first.
struct KnownFields {
  struct Entry {
    /// Addresses.
    var name: UInt = 0
    var value: UInt = 0
    var bit: UInt32 = 0
    /// By RFC 9113's count: name + value + 32.
    var listBytes: UInt32 = 0
  }

  private static let capacity = 16
  /// Bytes of name and value of a field that is worth remembering.
  static let longest = 256
  /// Made with the first field to remember: a connection that says nothing needs none.
  private var entries: UnsafeMutablePointer<Entry>?
  private var count = 0
  private var next = 0
  /// The place that is taken when none is free; not that of the field to come next.
  private var victim = 0

  @inline(__always)
  mutating func find(
    _ name: OpaquePointer, _ value: OpaquePointer
  ) -> UnsafeMutablePointer<Entry>? {
    guard let entries else { return nil }
    var index = next
    if entries[index].value != UInt(bitPattern: value) {
      index = 0
      while entries[index].value != UInt(bitPattern: value) {
        index &+= 1
        if index >= count { return nil }
      }
    }
    next = index &+ 1 < count ? index &+ 1 : 0
    return entries[index].name == UInt(bitPattern: name) ? entries + index : nil
  }

  /// Of a field that `find` did not find, of at most `longest` bytes. When all places are taken it takes
  /// one after the other.
  mutating func remember(
    _ name: OpaquePointer, _ value: OpaquePointer, bit: UInt32, listBytes: Int
  ) {
    let entries = entries ?? .allocate(capacity: Self.capacity)
    self.entries = entries
    var index = count
    if count < Self.capacity {
      count += 1
    } else {
      index = victim
      victim = (victim + 1) % Self.capacity
      Self.release(entries[index])
    }
    nghttp2_rcbuf_incref(name)
    nghttp2_rcbuf_incref(value)
    (entries + index).initialize(
      to: Entry(
        name: UInt(bitPattern: name), value: UInt(bitPattern: value), bit: bit,
        listBytes: UInt32(truncatingIfNeeded: listBytes)))
    next = index + 1 < count ? index + 1 : 0
  }

  private static func release(_ entry: Entry) {
    nghttp2_rcbuf_decref(OpaquePointer(bitPattern: entry.name))
    nghttp2_rcbuf_decref(OpaquePointer(bitPattern: entry.value))
  }

  func deallocate() {
    guard let entries else { return }
    for index in 0..<count { Self.release(entries[index]) }
    entries.deallocate()
  }
}
