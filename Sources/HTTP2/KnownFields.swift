internal import CNGHTTP2

/// The expected fields that a connection has brought before, by the buffers in which nghttp2 has them.
///
/// A field that the peer's compression refers to by its number comes in the same two buffers each time, so
/// that two pointers tell what it took some comparisons to find out at first. The buffers that are
/// remembered are retained: their addresses cannot come to mean others. At most 16 a connection.
struct KnownFields {
  struct Entry {
    /// Addresses; 0 = nothing remembered here.
    var name: UInt = 0
    var value: UInt = 0
    var bit: UInt32 = 0
    /// By RFC 9113's count: name + value + 32.
    var listBytes = 0
  }

  private static let count = 16
  /// Made with the first field to remember: a connection that says nothing needs none.
  private var entries: UnsafeMutablePointer<Entry>?

  @inline(__always)
  private static func place(_ value: UInt) -> Int {
    Int(bitPattern: (value >> 6) ^ (value >> 10)) & (count &- 1)
  }

  @inline(__always)
  func find(_ name: OpaquePointer, _ value: OpaquePointer) -> UnsafeMutablePointer<Entry>? {
    guard let entries else { return nil }
    let (name, value) = (UInt(bitPattern: name), UInt(bitPattern: value))
    let place = Self.place(value)
    var entry = entries + place
    if entry.pointee.value != value {
      // One that had to give way to another lies beside it.
      entry = entries + (place ^ 1)
      if entry.pointee.value != value { return nil }
    }
    return entry.pointee.name == name ? entry : nil
  }

  mutating func remember(
    _ name: OpaquePointer, _ value: OpaquePointer, bit: UInt32, listBytes: Int
  ) {
    let entries = entries ?? Self.make()
    self.entries = entries
    let place = Self.place(UInt(bitPattern: value))
    let entry = entries[place].value == 0 ? entries + place : entries + (place ^ 1)
    nghttp2_rcbuf_incref(name)
    nghttp2_rcbuf_incref(value)
    Self.release(entry)
    entry.pointee = Entry(
      name: UInt(bitPattern: name), value: UInt(bitPattern: value), bit: bit, listBytes: listBytes)
  }

  private static func make() -> UnsafeMutablePointer<Entry> {
    let entries = UnsafeMutablePointer<Entry>.allocate(capacity: count)
    entries.initialize(repeating: Entry(), count: count)
    return entries
  }

  private static func release(_ entry: UnsafeMutablePointer<Entry>) {
    nghttp2_rcbuf_decref(OpaquePointer(bitPattern: entry.pointee.name))
    nghttp2_rcbuf_decref(OpaquePointer(bitPattern: entry.pointee.value))
  }

  func deallocate() {
    guard let entries else { return }
    for index in 0..<Self.count { Self.release(entries + index) }
    entries.deallocate()
  }
}
