package import HTTP2

/// Limits of a server, per connection unless said otherwise.
package struct ServerOptions: Equatable, Sendable {
  /// HTTP/2's own: streams, windows, frame and header sizes.
  package var http2 = HTTP2Options()
  /// The longest request message, without its prefix.
  /// Compressed messages are measured in both forms.
  package var maxMessageBytes = 4 << 20
  /// Which replies are compressed when their handler does not say.
  package var replyCompression = ReplyCompressionPolicy.mirror
  /// Shorter replies are compressed only when their handler says so.
  package var minCompressedReplyBytes = 1_024
  /// Connections of the whole server; further ones are closed as they come.
  package var maxConnections = 10_000
  /// Above this many response bytes waiting for flow control, a streaming call's requests are no
  /// longer read.
  package var responseHighWaterBytes = 256 << 10
  /// Above this many bytes waiting for the socket, the connection is no longer read.
  package var maxQueuedOutputBytes = 1 << 20
  /// Above this many response bytes of one connection waiting for flow control, its new calls are
  /// refused with UNAVAILABLE, and streaming calls that send more are reset with CANCEL.
  package var maxUnreadResponseBytes = 64 << 20
  /// The same for the requests of one connection that have come in part: a call that would hold more
  /// is refused with UNAVAILABLE.
  package var maxHeldRequestBytes = 64 << 20
  /// Both, and what waits for sockets, of all connections together. Above it each connection may hold its
  /// share, and at least 64 KiB.
  package var maxBufferedBytes = 512 << 20
  /// Calls of all connections together whose answer has not left. When there are as many, connections
  /// that have more than their share are refused more with UNAVAILABLE.
  package var maxCalls = 100_000
  /// The least share: what one connection may always have, whatever all others have.
  package var reservedCalls = 16
  /// How long a client that was refused for overload is asked to wait (`grpc-retry-pushback-ms`).
  package var retryPushbackNanoseconds: UInt64 = 1_000_000_000

  /// No limit, for every time below but `handshakeNanoseconds`.
  package static let never = UInt64.max

  /// How long a new connection's TLS handshake may take.
  package var tlsHandshakeNanoseconds: UInt64 = 10_000_000_000
  /// Of a hundred parts of the time, how many TLS handshakes may take while anybody else is served; 100 =
  /// as many as there are to do.
  package var tlsHandshakePercent = 25
  /// How long a new connection may take to send its first SETTINGS and to answer ours, after the TLS
  /// handshake if there is one.
  package var handshakeNanoseconds: UInt64 = 20_000_000_000
  /// How long a request, or its header block, may be on its way at less than `minBytesPerSecond`.
  package var requestStallNanoseconds: UInt64 = 20_000_000_000
  /// How long responses, or a socket, may be read at less than `minBytesPerSecond`.
  package var responseStallNanoseconds: UInt64 = 60_000_000_000
  package var minBytesPerSecond = 1_000

  /// Control frames (SETTINGS, GOAWAY, answers to PING, and PING and WINDOW_UPDATE beyond three for each
  /// frame sent to the client) at once and then in a second.
  package var controlFrameBurst: UInt64 = 1_000
  package var controlFramesPerSecond: UInt64 = 100
  /// The same for frames that do nothing: PRIORITY, unknown types, and what comes for streams that are
  /// over. Honest clients send thousands at once: the rest of a 20 MB upload whose call has failed (1,300
  /// frames of 16 KB, or as many as it has small messages), the requests that cross a GOAWAY (two frames
  /// each, a thousand streams). They cost some 50 ns each.
  package var ignoredFrameBurst: UInt64 = 10_000
  package var ignoredFramesPerSecond: UInt64 = 1_000

  /// How long the socket of a client that was cut off for a flood stays open, unread, after it was told.
  package var cutOffLingerNanoseconds: UInt64 = 500_000_000

  /// Bytes that compressed messages may grow by when they are unpacked, at once and then in a second. A
  /// message is unpacked while there is room, whatever it comes to.
  package var unpackBurstBytes: UInt64 = 16 << 20
  package var unpackBytesPerSecond: UInt64 = 64 << 20

  /// Pings closer than this, with nothing sent to the client in between, are strikes (gRPC's
  /// keepalive rules, with C-core's number).
  package var minPingIntervalNanoseconds: UInt64 = 300_000_000_000
  /// The same while no call is open, unless `permitsPingsWithoutCalls`.
  package var minPingIntervalWithoutCallsNanoseconds: UInt64 = 7_200_000_000_000
  package var permitsPingsWithoutCalls = false
  /// A client with more strikes than this is told `too_many_pings` and cut off.
  package var maxPingStrikes = 2

  /// A client that was silent for so long is pinged.
  package var keepaliveNanoseconds: UInt64 = 7_200_000_000_000
  /// A client that does not answer the ping, nor says anything else, is gone.
  package var keepaliveTimeoutNanoseconds: UInt64 = 20_000_000_000
  /// A connection without a call for so long is ended, gracefully.
  package var maxIdleNanoseconds = ServerOptions.never
  /// A connection older than this is ended, gracefully: clients then look up where to connect again.
  /// Each connection's own limit lies up to a tenth to either side, so that they do not all come back
  /// together.
  package var maxAgeNanoseconds = ServerOptions.never
  /// How long the calls of such a connection may go on.
  package var ageGraceNanoseconds = ServerOptions.never
  /// Where the ages' randomness begins; nil = anywhere.
  package var ageSeed: UInt64?

  /// How long an ending server waits for a client's answer before it sends the final GOAWAY.
  package var goAwayDelayNanoseconds: UInt64 = 1_000_000_000
  /// How long after that it leaves a streaming call open to which nothing comes any more and whose
  /// every request has been answered. Calls with work under way get the whole grace.
  package var idleCallGraceNanoseconds: UInt64 = 2_000_000_000

  /// How long the calls under way may go on when the program is told to stop.
  package var stopGraceNanoseconds: UInt64 = 10_000_000_000

  package init() {}
}

/// HTTP/2's limits that whoever runs a server may want to set.
extension ServerOptions {
  package var maxStreams: UInt32 {
    get { http2.maxConcurrentStreams }
    set { http2.maxConcurrentStreams = newValue }
  }
  package var maxHeaderBytes: Int {
    get { http2.maxHeaderListBytes }
    set { http2.maxHeaderListBytes = newValue }
  }
  package var resetBurst: UInt64 {
    get { http2.resetBurst }
    set { http2.resetBurst = newValue }
  }
  package var resetsPerSecond: UInt64 {
    get { http2.resetsPerSecond }
    set { http2.resetsPerSecond = newValue }
  }
  package var maxContinuations: Int {
    get { http2.maxContinuations }
    set { http2.maxContinuations = newValue }
  }
  package var maxSettingsEntries: Int {
    get { http2.maxSettingsEntries }
    set { http2.maxSettingsEntries = newValue }
  }
}

/// What a server has done and what it holds now.
package struct ServerStatistics: Equatable, Sendable {
  package var connections = 0
  package var connectionsTotal: UInt64 = 0
  package var connectionsRefused: UInt64 = 0
  /// TLS handshakes that ended in an error.
  package var handshakesFailed: UInt64 = 0
  /// HTTP/2 streams open now, answered ones that still have bytes to send among them.
  package var openStreams = 0
  /// Calls not answered yet.
  package var activeCalls = 0
  package var callsTotal: UInt64 = 0
  /// Response bytes waiting for flow control or for sockets.
  package var bufferedBytes = 0
  /// Bytes of requests that have come in part, or wait for responses to be read.
  package var heldRequestBytes = 0
  /// Both, as the budget of `maxBufferedBytes` has them: kept as they change, not added up anew.
  package var budgetedBytes = 0
  /// Connections that could not be accepted: mostly for want of descriptors.
  package var failedAccepts = 0
  package var cutOff = CutOffCounts()

  package init() {}
}
