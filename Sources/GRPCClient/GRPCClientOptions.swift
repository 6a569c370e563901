package import HTTP2

/// What a client asks of its connections, and the limits it keeps.
package struct GRPCClientOptions: Sendable {
  /// Sent as `user-agent`.
  package var userAgent = "grpc-swift-quire/0.1"
  /// The longest response message that is accepted. A longer one ends its call with
  /// RESOURCE_EXHAUSTED.
  package var maxResponseMessageBytes = 4 << 20
  /// Calls that may wait on a connection that is not up yet. One more ends with RESOURCE_EXHAUSTED.
  package var maxWaitingCalls = 10_000
  /// From the start of an attempt to the server's first SETTINGS.
  package var connectTimeoutNanoseconds: UInt64 = 20_000_000_000
  /// The least time between the starts of two attempts after a failed one; doubles with every
  /// further failure up to `maxReconnectDelayNanoseconds`. A connection that was up and is lost costs
  /// no delay.
  package var reconnectDelayNanoseconds: UInt64 = 100_000_000
  package var maxReconnectDelayNanoseconds: UInt64 = 5_000_000_000
  /// Framing pauses while the socket holds this many bytes that the kernel has not taken.
  package var maxSocketQueueBytes = 1 << 20
  /// `drained` is announced for a stream whose queued bytes had passed this.
  package var streamHighWaterBytes = 256 << 10
  package var http2 = HTTP2Options()

  package init() {}
}
