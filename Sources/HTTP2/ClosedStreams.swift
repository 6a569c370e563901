internal import CNGHTTP2

/// What a server still has to know of streams that are over: whether the client may yet send on them.
///
/// nghttp2 forgets a stream as it closes when priorities are off, and ignores what comes later, as it
/// does PRIORITY frames. But a client that has ended its side, or reset the stream, has broken the
/// protocol when it goes on (RFC 9113, 5.1). One whose stream we cut short may not know yet: those
/// streams are remembered.
///
/// Reads that brought nothing, and those with a RST_STREAM, are looked through for such frames after
/// nghttp2 has had them. All others cost nothing.
struct ClosedStreams {
  /// The highest stream that was ever open.
  var lastOpened: Int32 = 0
  /// A RST_STREAM came in the present read.
  var hasSeenReset = false
  private var cutShort = InlineArray<8, Int32>(repeating: 0)
  private var next = 0
  /// Of streams up to this one, some that were cut short are forgotten: nothing is held against them.
  private var forgotten: Int32 = 0

  mutating func noteCutShort(_ id: Int32) {
    if id <= 0 { return }
    forgotten = max(forgotten, cutShort[next])
    cutShort[next] = id
    next = (next + 1) % cutShort.count
  }

  /// Whether frames for the stream, which is not open, break no rule that is for us to enforce.
  private func mayStillSend(_ id: Int32) -> Bool {
    if id & 1 == 0 || id > lastOpened || id <= forgotten { return true }
    for index in 0..<cutShort.count where cutShort[index] == id { return true }
    return false
  }

  /// The rule that the frames of a read break, in nghttp2's stead; nil = none.
  ///
  /// A header that came in two reads is not looked at: what it breaks is merely ignored.
  ///
  /// - Parameters:
  ///   - first: Where in `bytes` the first frame begins. What lies before it is the rest of another's
  ///     payload, in which a client may write what it likes.
  ///   - broughtNothing: No stream changed in this read; otherwise only what follows a RST_STREAM within
  ///     it is looked at.
  func violation(
    in bytes: UnsafeRawBufferPointer, from first: Int, broughtNothing: Bool, isOpen: (Int32) -> Bool
  ) -> HTTP2ErrorCode? {
    var found: HTTP2ErrorCode?
    var reset: Int32 = 0
    var start = first
    while start + FrameCount.headerBytes <= bytes.count {
      let length = Int(bytes[start]) << 16 | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
      let type = UInt32(bytes[start + 3])
      let id = ClosedStreams.number(bytes, at: start + 5)
      let payload = start + FrameCount.headerBytes
      start = payload + length
      switch type {
      case NGHTTP2_RST_STREAM.rawValue: reset = id
      case NGHTTP2_DATA.rawValue, NGHTTP2_HEADERS.rawValue:
        let isLate = broughtNothing || id == reset
        if isLate, found == nil, !mayStillSend(id), !isOpen(id) { found = .streamClosed }
      case NGHTTP2_PRIORITY.rawValue where length == 5 && start <= bytes.count && found == nil:
        // On no stream, or on a stream that depends on itself.
        if id == 0 || ClosedStreams.number(bytes, at: payload) == id { found = .protocolError }
      default: break
      }
    }
    return found
  }

  /// A 31-bit number.
  private static func number(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int32 {
    let number = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    return Int32(number & 0x7FFF_FFFF)
  }
}
