/// The methods a server serves, by full path (`/package.Service/Method`).
///
/// Filled before the server starts, read-only afterwards. Handlers run on the loop thread, one at a
/// time, and must not block.
package final class ServiceTable {
  /// Serves one request. Returns nil, or a status of code `.ok` that has more to say, when it has
  /// written the reply's bytes with `reply.message(byteCount:)`; on any other status nothing it wrote is
  /// sent. (A status holds a string and arrays: to hand one over costs a short call a tenth of its time.)
  ///
  /// `request` is one whole message, borrowed for the time of the call.
  package typealias UnaryHandler = (
    _ request: UnsafeRawBufferPointer, _ reply: any ReplyWriter, _ call: any CallContext
  ) -> Status?

  /// Begins a streaming call: makes the object that receives its messages.
  package typealias StreamFactory = (_ responses: any ResponseStream, _ call: any CallContext) ->
    any RequestStream

  package enum Method {
    case unary(UnaryHandler)
    /// Server-streaming, client-streaming and bidirectional alike. With `isClientStreaming` false the
    /// transport enforces exactly one request message.
    case streaming(isClientStreaming: Bool, StreamFactory)
  }

  package private(set) var methods: [String: Method] = [:]

  package init() {}

  package func unary(_ path: String, _ handler: @escaping UnaryHandler) {
    add(path, .unary(handler))
  }

  package func streaming(
    _ path: String, isClientStreaming: Bool, _ factory: @escaping StreamFactory
  ) {
    add(path, .streaming(isClientStreaming: isClientStreaming, factory))
  }

  private func add(_ path: String, _ method: Method) {
    precondition(methods.updateValue(method, forKey: path) == nil, "\(path) registered twice")
  }
}

/// Where a unary handler puts its reply. Owned by the transport and reused from call to call.
package protocol ReplyWriter: AnyObject {
  /// Room for a message of exactly `byteCount` bytes, to be filled before the handler returns.
  func message(byteCount: Int) -> UnsafeMutableRawPointer
}

/// The server's side of a streaming call: what the handler sends.
package protocol ResponseStream: AnyObject {
  /// Queues one message; `fill` writes exactly `byteCount` bytes. Ignored after the call ended.
  func send(byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void)
  /// Queues several messages; `fill` writes exactly `byteCount` bytes, each message behind its prefix
  /// (`MessageFramer.writePrefix`). They are sent as they are, never compressed.
  func sendFramed(byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void)
  /// Ends the call. Queued messages go first. Ignored after the call ended.
  func finish(_ status: Status)
  /// Bytes queued and not yet taken by flow control: stop sending while this is large.
  var queuedBytes: Int { get }
}

/// The handler's side of a streaming call: what it receives. One object per call, dropped when the
/// call has ended.
package protocol RequestStream: AnyObject {
  /// One whole message, borrowed for the time of the call.
  func received(_ message: UnsafeRawBufferPointer)
  /// The client has sent all it will send.
  func halfClosed()
  /// The call ended before `finish`: cancelled, reset, expired, or its connection went.
  func cancelled(_ status: Status)
  /// The response queue fell below the low-water mark after having been above the high one.
  func drained()
  /// Nothing is under way: every message has been answered. When the server stops, an idle call is
  /// ended at once and others are waited for. False unless a handler says otherwise.
  var isIdle: Bool { get }
}

extension RequestStream {
  package var isIdle: Bool { false }
}

/// What is known of a call beside its messages.
package protocol CallContext: AnyObject {
  /// The path as the client sent it.
  var path: String { get }
  /// Values of a custom metadata field, in order; `-bin` values are decoded bytes.
  func metadata(_ name: String) -> [[UInt8]]
  /// Nanoseconds of the loop's monotonic clock at which the call expires; nil = never.
  var deadlineNanoseconds: UInt64? { get }
  /// `127.0.0.1:4711`, or `unix:pid=17,uid=1000,gid=1000`.
  var peer: String { get }
  /// Who the client proved to be.
  var identity: PeerIdentity { get }
  /// Whether the request message being handed over came compressed.
  var isRequestCompressed: Bool { get }
  /// Sends a field with the response's headers. Ignored once these have gone, and when the call fails
  /// before its first reply. Trailing fields go with the status.
  func addInitialMetadata(_ field: MetadataField)
  /// Whether replies are compressed from now on. The encoding is announced with the response's
  /// headers: a streaming call that wants any of its replies compressed says so before the first.
  func compressReplies(_ choice: ReplyCompression)
}

// For streams and contexts of no transport's.
extension ResponseStream {
  /// Message by message.
  package func sendFramed(byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: 1)
    defer { bytes.deallocate() }
    fill(bytes)
    var offset = 0
    while offset < byteCount {
      let length = bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self)
      let count = Int(UInt32(bigEndian: length))
      send(byteCount: count) { $0.copyMemory(from: bytes + offset + 5, byteCount: count) }
      offset += 5 + count
    }
    precondition(offset == byteCount, "bytes that are no whole messages")
  }
}

extension CallContext {
  package var identity: PeerIdentity { PeerIdentity() }
  package var isRequestCompressed: Bool { false }
  package func addInitialMetadata(_ field: MetadataField) {}
  package func compressReplies(_ choice: ReplyCompression) {}
}

/// A handler's wish for its replies. Whatever it is, only an encoding that the client lists is used,
/// and a reply that would not get smaller is sent as it is.
package enum ReplyCompression: Sendable {
  /// As the server's options say.
  case asConfigured
  case never
  /// Any size, in the request's encoding or another that the client reads.
  case always
}
