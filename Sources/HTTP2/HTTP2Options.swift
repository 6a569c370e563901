/// What a session announces to its peer, and the limits it enforces.
package struct HTTP2Options: Sendable {
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

  /// Whether a server drops `:scheme`, `:authority` and `te` as they come. Every request has them,
  /// and keeping what nobody will ask for costs a twentieth of our part of a small call.
  package var dropsRoutingFields = false

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
  package var description: String { reason }
}
