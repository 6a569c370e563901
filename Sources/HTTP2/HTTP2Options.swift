/// What a session announces to its peer, and the limits it enforces.
package struct HTTP2Options: Equatable, Sendable {
  /// Streams the peer may have open at once.
  package var maxConcurrentStreams: UInt32 = 1_000
  /// Unconsumed bytes the peer may have under way on one stream.
  package var streamWindowBytes: UInt32 = 1 << 20
  /// The same for all streams of a connection together.
  package var connectionWindowBytes: Int32 = 16 << 20
  /// The longest DATA payload the peer may put in one frame.
  package var maxFrameBytes: UInt32 = 65_536
  /// The longest header list of a stream, trailers included, by RFC 9113's count: name + value + 32
  /// per field.
  package var maxHeaderListBytes = 16_384
  /// `HTTP2Event.Kind.drained` comes when a stream's queued output falls to this.
  package var outputLowWaterBytes = 65_536

  /// RST_STREAM frames a peer may send at once, and then in a second; beyond them nghttp2 ends the
  /// connection. Honest clients reset every call whose deadline passes, so nghttp2's own 1,000 and 33
  /// are too few.
  package var resetBurst: UInt64 = 10_000
  package var resetsPerSecond: UInt64 = 1_000
  /// CONTINUATION frames in one header block; more end the connection.
  package var maxContinuations = 8
  /// Entries in one SETTINGS frame; more end the connection.
  package var maxSettingsEntries = 32
  /// Answers to PING and SETTINGS waiting to be sent; more end the connection.
  package var maxQueuedAcks = 1_000
  /// Empty DATA frames that end nothing, and frames that break the protocol on one stream, in the life
  /// of a connection; this many end it.
  package var maxUselessFrames = 1_000

  /// Fields that a server recognises as they come: each leaves its bit in `HTTP2Event.expected` and is
  /// not kept. At most 32, those of one name together, of at most 16 bytes.
  package var expectedFields: [ExpectedField] = []

  /// A field by name and value; without a value whatever the name brings.
  package struct ExpectedField: Equatable, Sendable {
    package var name: String
    package var value: String?
    /// Mostly another value in each request, which is not worth remembering.
    package var varies: Bool
    package init(_ name: String, _ value: String? = nil, varies: Bool = false) {
      self.name = name
      self.value = value
      self.varies = varies
    }
  }

  package init() {}
}

/// RFC 9113's error codes, and any other number a peer sends.
package struct HTTP2ErrorCode: RawRepresentable, Equatable, Sendable, CustomStringConvertible {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  package static let noError = HTTP2ErrorCode(rawValue: 0)
  package static let protocolError = HTTP2ErrorCode(rawValue: 1)
  package static let internalError = HTTP2ErrorCode(rawValue: 2)
  package static let flowControlError = HTTP2ErrorCode(rawValue: 3)
  package static let settingsTimeout = HTTP2ErrorCode(rawValue: 4)
  package static let streamClosed = HTTP2ErrorCode(rawValue: 5)
  package static let refusedStream = HTTP2ErrorCode(rawValue: 7)
  package static let cancel = HTTP2ErrorCode(rawValue: 8)
  package static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 11)

  package var description: String {
    let names = [
      "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
      "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
      "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
    ]
    return rawValue < UInt32(names.count) ? names[Int(rawValue)] : "error \(rawValue)"
  }
}

/// The connection is over: the peer broke the protocol, or sent what is not HTTP/2.
package struct HTTP2Failure: Error, Equatable, Sendable, CustomStringConvertible {
  /// nghttp2's words.
  package let reason: String
  /// The very first bytes were not HTTP/2's preface.
  package let isBadPreface: Bool
  /// What the peer has yet to be told: that there was too much of something, or that it broke a rule
  /// nghttp2 does not watch over. nil = nghttp2 has queued its GOAWAY.
  package let untold: HTTP2ErrorCode?
  package var description: String { reason }
}
