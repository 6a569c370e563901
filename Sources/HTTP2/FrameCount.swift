/// Counts the frames of what a peer sends by their headers alone.
///
/// nghttp2 ignores without a word PRIORITY frames, frames of unknown types and what comes late for streams
/// that are over. What was counted here and is not reported there did nothing.
struct FrameCount {
  /// Bytes that belong to the present frame, or to a server's preface, and are still to come.
  private var rest: Int
  /// A header of which a part has come, as a number, and how many bytes of it.
  private var partial: UInt64 = 0
  private var partialCount = 0
  /// Where in the bytes of the last call the first frame begins whose whole header lies in them, if any
  /// does.
  private(set) var firstStart = 0
  static let headerBytes = 9
  private static let prefaceBytes = 24

  init(isServer: Bool) { rest = isServer ? FrameCount.prefaceBytes : 0 }

  /// Frames that begin in `bytes`, which follow those of the last call, but CONTINUATION frames: those
  /// are reported with what they continue.
  ///
  /// Linear in the number of frames.
  @inline(__always)
  mutating func begun(in bytes: UnsafeRawBufferPointer) -> Int {
    var frames = 0
    var start = rest
    let end = bytes.count
    if partialCount > 0 { start = complete(bytes, &frames) }
    firstStart = start
    while start &+ FrameCount.headerBytes <= end {
      let word = UInt32(
        bigEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
      // Length in the upper three bytes, then the type.
      if word & 0xFF != 9 { frames &+= 1 }
      start &+= FrameCount.headerBytes &+ Int(word >> 8)
    }
    rest = start &- end
    if rest < 0 { keep(bytes, from: start) }
    return frames
  }

  /// A header was split between reads. Returns where the next frame begins.
  @inline(never)
  private mutating func complete(_ bytes: UnsafeRawBufferPointer, _ frames: inout Int) -> Int {
    var start = 0
    while start < bytes.count, partialCount < FrameCount.headerBytes {
      // Only the first four bytes are wanted.
      if partialCount < 4 { partial = partial << 8 | UInt64(bytes[start]) }
      partialCount += 1
      start += 1
    }
    if partialCount < FrameCount.headerBytes { return start }
    if partial & 0xFF != 9 { frames += 1 }
    start += Int(partial >> 8)
    partial = 0
    partialCount = 0
    return start
  }

  @inline(never)
  private mutating func keep(_ bytes: UnsafeRawBufferPointer, from start: Int) {
    rest = 0
    for index in start..<bytes.count {
      if partialCount < 4 { partial = partial << 8 | UInt64(bytes[index]) }
      partialCount += 1
    }
  }
}
