internal import CMsgPack

/// Values behind one another in MessagePack, each in its shortest form but where it says so, as msgspec
/// writes them.
final class MessagePackBuffer {
  private let buffer: UnsafeMutablePointer<msgpack_sbuffer>
  private let packer: UnsafeMutablePointer<msgpack_packer>

  init() {
    buffer = .allocate(capacity: 1)
    packer = .allocate(capacity: 1)
    msgpack_sbuffer_init(buffer)
    msgpack_packer_init(packer, buffer) { msgpack_sbuffer_write($0, $1, $2) }
  }

  deinit {
    msgpack_sbuffer_destroy(buffer)
    buffer.deallocate()
    packer.deallocate()
  }

  func removeAll() { msgpack_sbuffer_clear(buffer) }

  /// Borrowed, until the next value.
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: buffer.pointee.data, count: buffer.pointee.size)
  }

  // Each fails only where there is no memory left, as any allocation may.

  func array(_ count: Int) { check(msgpack_pack_array(packer, count)) }
  func map(_ count: Int) { check(msgpack_pack_map(packer, count)) }
  /// Of less than 2^16 pairs, in the form for 16 and more.
  func wideMap(_ count: UInt16) {
    withUnsafeBytes(of: (UInt8(0xDE), UInt8(count >> 8), UInt8(truncatingIfNeeded: count))) {
      check(msgpack_sbuffer_write(buffer, $0.baseAddress, $0.count))
    }
  }
  func number(_ value: UInt64) { check(msgpack_pack_uint64(packer, value)) }
  func double(_ value: Double) { check(msgpack_pack_double(packer, value)) }
  func null() { check(msgpack_pack_nil(packer)) }

  func bytes(_ value: UnsafeRawBufferPointer) {
    check(msgpack_pack_bin_with_body(packer, value.baseAddress, value.count))
  }

  func text(_ value: StaticString) {
    check(msgpack_pack_str_with_body(packer, value.utf8Start, value.utf8CodeUnitCount))
  }

  /// UTF-8.
  func text(_ value: UnsafeBufferPointer<UInt8>) {
    check(msgpack_pack_str_with_body(packer, value.baseAddress, value.count))
  }

  /// Values that are packed already.
  func append(_ other: MessagePackBuffer) {
    let bytes = other.bytes
    if bytes.isEmpty { return }
    check(msgpack_sbuffer_write(buffer, bytes.baseAddress, bytes.count))
  }

  private func check(_ status: CInt) { precondition(status == 0, "no memory for a message") }
}
