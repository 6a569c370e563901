internal import GRPCWire
internal import HTTP2
internal import MessageCompression

/// Putting a request's messages into its stream.
extension GRPCClientContext {
  private static let prefixBytes = 5

  /// Queues `message`, compressed with `encoding` if that makes it smaller. False when the stream
  /// takes no more.
  @inline(__always)
  func queue(
    _ message: UnsafeRawBufferPointer, _ encoding: MessageEncoding?, on stream: HTTP2StreamRef
  ) -> Bool {
    if let encoding { return queueCompressed(message, encoding, on: stream) }
    return place(message, on: stream) != nil
  }

  @inline(never)
  private func queueCompressed(
    _ message: UnsafeRawBufferPointer, _ encoding: MessageEncoding, on stream: HTTP2StreamRef
  ) -> Bool {
    guard let packed = compressor.compress(message, encoding) else {
      return place(message, on: stream) != nil
    }
    guard let place = place(packed, on: stream) else { return false }
    MessageFramer.markCompressed(place)
    return true
  }

  @inline(__always)
  private func place(
    _ message: UnsafeRawBufferPointer, on stream: HTTP2StreamRef
  ) -> UnsafeMutableRawPointer? {
    guard let place = stream.reserve(GRPCClientContext.prefixBytes + message.count) else {
      return nil
    }
    MessageFramer.writePrefix(message.count, to: place)
    if let source = message.baseAddress, message.count > 0 {
      (place + GRPCClientContext.prefixBytes).copyMemory(from: source, byteCount: message.count)
    }
    return place
  }
}
