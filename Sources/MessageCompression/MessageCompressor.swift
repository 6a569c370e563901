internal import CZlib
package import GRPCWire

/// Packs messages, one at a time. One per thread serves all its calls: zlib's state (256 KiB an
/// encoding) is made with the first message and reset for each.
package final class MessageCompressor {
  private var streams: [MessageEncoding: UnsafeMutablePointer<z_stream>] = [:]
  private var output: UnsafeMutableRawPointer?
  private var capacity = 0
  private static let keptBytes = 1 << 20
  /// The fastest: this runs on the loop's thread, and block ids shrink to a third at any level.
  private static let level: Int32 = 1

  package init() {}

  deinit {
    for stream in streams.values {
      deflateEnd(stream)
      stream.deallocate()
    }
    output?.deallocate()
  }

  /// `message` packed; nil when that would not be smaller.
  ///
  /// - Returns: Bytes that are valid until the next call.
  package func compress(
    _ message: UnsafeRawBufferPointer, _ encoding: MessageEncoding
  ) -> UnsafeRawBufferPointer? {
    if message.count < 2 { return nil }
    let stream = begin(encoding)
    // What does not fit a byte less than the message is not wanted.
    let room = message.count - 1
    reserve(room)
    stream.pointee.next_in = UnsafeMutableRawPointer(
      mutating: message.baseAddress.unsafelyUnwrapped
    )
    .assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_in = UInt32(message.count)
    stream.pointee.next_out = output.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_out = UInt32(room)
    guard deflate(stream, Z_FINISH) == Z_STREAM_END else { return nil }
    return UnsafeRawBufferPointer(start: output, count: room - Int(stream.pointee.avail_out))
  }

  private func begin(_ encoding: MessageEncoding) -> UnsafeMutablePointer<z_stream> {
    if let stream = streams[encoding] {
      deflateReset(stream)  // Fails for streams that were never made only.
      return stream
    }
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    let windowBits: Int32 =
      switch encoding {
      case .deflate: 15
      case .gzip: 31
      }
    let status = czlib_deflate_init(stream, MessageCompressor.level, windowBits)
    precondition(status == Z_OK, "out of memory")
    streams[encoding] = stream
    return stream
  }

  private func reserve(_ room: Int) {
    if room <= capacity, capacity <= MessageCompressor.keptBytes { return }
    output?.deallocate()
    output = .allocate(byteCount: room, alignment: 16)
    capacity = room
  }
}
