/// What a session announces to its peer, and the limits it enforces.
public struct HTTP2Options: Equatable, Sendable {
  /// Streams the peer may have open at once.
  public var maxConcurrentStreams: UInt32 = 1_000
  /// Unconsumed bytes the peer may have under way on one stream.
  public var streamWindowBytes: UInt32 = 1 << 20
  /// The same for all streams of a connection together.
  public var connectionWindowBytes: Int32 = 16 << 20
  /// The longest DATA payload the peer may put in one frame.
  public var maxFrameBytes: UInt32 = 65_536
  /// The longest header list of a stream, trailers included, by RFC 9113's count: name + value + 32
  /// per field.
  public var maxHeaderListBytes = 16_384
  /// `HTTP2Event.Kind.drained` comes when a stream's queued output falls to this.
  public var outputLowWaterBytes = 65_536

  /// RST_STREAM frames a peer may send at once, and then in a second; beyond them nghttp2 ends the
  /// connection. Honest clients reset every call whose deadline passes, so nghttp2's own 1,000 and 33
  /// are too few.
  public var resetBurst: UInt64 = 10_000
  public var resetsPerSecond: UInt64 = 1_000
  /// CONTINUATION frames in one header block; more end the connection.
  public var maxContinuations = 8
  /// Entries in one SETTINGS frame; more end the connection.
  public var maxSettingsEntries = 32
  /// Answers to PING and SETTINGS waiting to be sent; more end the connection.
  public var maxQueuedAcks = 1_000

  /// Fields that a server recognises as they come: each leaves its bit in `HTTP2Event.expected` and is
  /// not kept. At most 32, those of one name together, of at most 16 bytes.
  public var expectedFields: [ExpectedField] = []

  /// A field by name and value; without a value whatever the name brings.
  public struct ExpectedField: Equatable, Sendable {
    public var name: String
    public var value: String?
    /// Mostly another value in each request, which is not worth remembering.
    public var varies: Bool
    public init(_ name: String, _ value: String? = nil, varies: Bool = false) {
      self.name = name
      self.value = value
      self.varies = varies
    }
  }

  public init() {}
}

/// RFC 9113's error codes, and any other number a peer sends.
public struct HTTP2ErrorCode: RawRepresentable, Equatable, Sendable, CustomStringConvertible {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let noError = HTTP2ErrorCode(rawValue: 0)
  public static let protocolError = HTTP2ErrorCode(rawValue: 1)
  public static let internalError = HTTP2ErrorCode(rawValue: 2)
  public static let flowControlError = HTTP2ErrorCode(rawValue: 3)
  public static let settingsTimeout = HTTP2ErrorCode(rawValue: 4)
  public static let streamClosed = HTTP2ErrorCode(rawValue: 5)
  public static let refusedStream = HTTP2ErrorCode(rawValue: 7)
  public static let cancel = HTTP2ErrorCode(rawValue: 8)
  public static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 11)

  public var description: String {
    let names = [
      "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
      "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
      "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
    ]
    return rawValue < UInt32(names.count) ? names[Int(rawValue)] : "error \(rawValue)"
  }
}

/// The connection is over: the peer broke the protocol, or sent what is not HTTP/2.
public struct HTTP2Failure: Error, Equatable, Sendable, CustomStringConvertible {
  /// nghttp2's words.
  public let reason: String
  /// The very first bytes were not HTTP/2's preface.
  public let isBadPreface: Bool
  /// What the peer has yet to be told: that there was too much of something, or that it broke a rule
  /// nghttp2 does not watch over. nil = nghttp2 has queued its GOAWAY.
  public let untold: HTTP2ErrorCode?
  public var description: String { reason }
}
