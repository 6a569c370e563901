package import HTTP2

/// Limits of a server, per connection unless said otherwise.
package struct ServerOptions: Sendable {
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
  /// Above this many response bytes waiting for flow control, new calls are refused with
  /// RESOURCE_EXHAUSTED, and streaming calls that send more are reset with ENHANCE_YOUR_CALM, which
  /// clients read as the same.
  package var maxUnreadResponseBytes = 64 << 20
  /// How long a new connection's TLS handshake may take.
  package var tlsHandshakeNanoseconds: UInt64 = 10_000_000_000
  /// How long a new connection may take to send its first SETTINGS, after the TLS handshake if there
  /// is one.
  package var handshakeNanoseconds: UInt64 = 20_000_000_000
  /// Pings closer than this, with nothing sent to the client in between, are strikes (gRPC's
  /// keepalive rules, with C-core's number).
  package var minPingIntervalNanoseconds: UInt64 = 300_000_000_000
  /// A client with more strikes than this is told `too_many_pings` and cut off.
  package var maxPingStrikes = 2
  /// How long an ending server waits for a client's answer before it sends the final GOAWAY.
  package var goAwayDelayNanoseconds: UInt64 = 1_000_000_000

  package init() {}
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

  package init() {}
}
