internal import CNGHTTP2

/// Counts of what a peer may do now and then and what is an attack in numbers. HTTP/2 itself only
/// counts: how many are too many, in what time, is for the owner to say.
package struct HTTP2Conduct {
  /// SETTINGS, GOAWAY, answers to PING and other frames that carry nothing for a stream.
  package var controlFrames: UInt32 = 0
  /// What a header list of over four times the limit counts for among them: to decode 16 KB of references
  /// takes a millisecond.
  static let framesOfBomb: UInt32 = 400
  package var windowUpdates: UInt32 = 0
  /// PING frames that want an answer. Some clients measure the way with one for each DATA they get.
  package var pings: UInt32 = 0
  /// Frames that HTTP/2 has us ignore: PRIORITY, unknown types, and what comes late for streams that
  /// are over. May be two too many, or less than none, while a frame has come in part.
  package var ignoredFrames = 0
  /// DATA frames with no data in them that end nothing, and frames that break the protocol on their stream.
  package var uselessFrames: UInt32 = 0
  /// Frames that have come in part: a header block's and, inside the last read, one more.
  package static let mostUnfinishedFrames = 2
  /// RST_STREAM frames sent because of what the peer did; those that only end a stream early do not
  /// count.
  package var inducedResets: UInt32 = 0
  /// HEADERS and DATA frames sent. Wraps around.
  package var payloadFrames: UInt32 = 0
  /// The code of the last GOAWAY sent; nil = none was.
  package private(set) var goAwaySent: HTTP2ErrorCode?

  @inline(__always)
  var isNoteworthy: Bool {
    controlFrames | windowUpdates | pings | inducedResets | uselessFrames != 0
      || ignoredFrames > HTTP2Conduct.mostUnfinishedFrames
  }

  /// Notes a frame that broke the protocol.
  mutating func uselessFrame() {
    ignoredFrames &-= 1  // Counted here instead.
    uselessFrames &+= 1
  }

  /// Frames of a call that follow its HEADERS at once: DATA, and perhaps trailers, more window or a reset.
  private static let framesBehindHeaders = 4

  /// Notes a stream that was refused for there being too many, which its client had no way to know. What it
  /// sent behind the HEADERS is ignored, and not held against it either.
  mutating func refusedStream() { ignoredFrames &-= 1 + HTTP2Conduct.framesBehindHeaders }

  /// Notes a frame that is neither DATA nor HEADERS.
  mutating func sent(_ frame: UnsafePointer<UInt8>) {
    func number(at offset: Int) -> UInt32 {
      (offset..<offset + 4).reduce(0) { $0 << 8 | UInt32(frame[$1]) }
    }
    switch UInt32(frame[3]) {
    case NGHTTP2_RST_STREAM.rawValue:
      let code = HTTP2ErrorCode(rawValue: number(at: 9))
      if code != .noError, code != .cancel { inducedResets &+= 1 }
    case NGHTTP2_GOAWAY.rawValue: goAwaySent = HTTP2ErrorCode(rawValue: number(at: 13))
    default: break
    }
  }
}
