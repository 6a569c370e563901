/// Why the server ended a connection or a call that its client would have gone on with.
package enum CutOff: Int, CaseIterable, Sendable {
  /// The first bytes were not HTTP/2's.
  case notHTTP2
  /// No SETTINGS, or no answer to ours, in time.
  case handshake
  /// The client broke HTTP/2's rules.
  case brokenHTTP2
  /// Too many CONTINUATION frames, unsent acknowledgements or useless frames.
  case flood
  /// PING, SETTINGS, GOAWAY and useless WINDOW_UPDATE frames beyond the rate.
  case controlFrames
  /// PRIORITY frames, frames of unknown types and frames on streams that are over beyond the rate.
  case ignoredFrames
  /// The client reset more streams than the rate allows.
  case resets
  /// The client made the server reset more streams than the rate allows.
  case inducedResets
  /// Keepalive pings more often than allowed.
  case pings
  /// A header block that did not come to its end.
  case slowHeaders
  /// A socket that is not read.
  case unreadSocket
  /// A keepalive ping was not answered.
  case keepalive
  /// No call for `maxIdleNanoseconds`.
  case idle
  /// Older than `maxAgeNanoseconds`.
  case age
  /// The server has as many connections as it takes.
  case connectionLimit

  /// A call whose request does not arrive.
  case slowRequest
  /// A call whose responses are not read.
  case unreadResponses
  /// A call that the server has no room for.
  case overload
  /// A call whose compressed message was not unpacked, or a connection with too many of them.
  case unpacking

  /// A few words for the log.
  package var words: String {
    switch self {
    case .notHTTP2: "not HTTP/2"
    case .handshake: "handshake too slow"
    case .brokenHTTP2: "broken HTTP/2"
    case .flood: "flood of frames"
    case .controlFrames: "too many control frames"
    case .ignoredFrames: "too many frames that do nothing"
    case .resets: "too many resets"
    case .inducedResets: "too many resets provoked"
    case .pings: "too many pings"
    case .slowHeaders: "half-sent header block"
    case .unreadSocket: "socket not read"
    case .keepalive: "keepalive ping not answered"
    case .idle: "idle"
    case .age: "age limit"
    case .connectionLimit: "connection limit"
    case .slowRequest: "half-sent request"
    case .unreadResponses: "responses not read"
    case .overload: "overload"
    case .unpacking: "too much to unpack"
    }
  }
}

/// How often the server cut something off, by reason.
package struct CutOffCounts: Equatable, Sendable {
  private var counts = [UInt64](repeating: 0, count: CutOff.allCases.count)

  package init() {}

  package internal(set) subscript(reason: CutOff) -> UInt64 {
    get { counts[reason.rawValue] }
    set { counts[reason.rawValue] = newValue }
  }
}
