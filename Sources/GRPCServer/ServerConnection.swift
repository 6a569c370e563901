import GRPCWire
import HTTP2
import UVLoop

/// One connection: a socket, an HTTP/2 session, and the calls on it.
///
/// A read is given to the session whole, its events are handled, and all answers leave in one write.
final class ServerConnection: ByteStreamHandler {
  unowned(unsafe) let server: GRPCServer
  let session: HTTP2Session
  private let stream: ByteStream
  /// The place in the server's list.
  var index = 0
  private var isClosed = false
  /// In the middle of a batch, whose end flushes.
  private var isInBatch = false
  /// Something was submitted that the present flush may have passed already.
  private var needsFlush = false
  private var hasSentGoAway = false
  private var closeAfterFlush = false
  private var lastPing: UInt64 = 0
  private var pingStrikes = 0
  private var handshake: Deadline?
  private var flushHook: EndOfTurnHook?
  private static let drainBytes = 256 << 10
  private static let shutdownPing: UInt64 = 0x7175_6972_652D_6279

  init(server: GRPCServer, stream: ByteStream) {
    self.server = server
    self.stream = stream
    session = HTTP2Session(.server, context: server.context)
  }

  /// The client's address.
  private(set) lazy var peer = stream.peerAddress

  var bufferedBytes: Int { stream.writeQueueSize + session.queuedOutputBytes }

  /// Flow control holds back more than one client may have us keep.
  var hasTooMuchUnread: Bool {
    session.queuedOutputBytes > server.options.maxUnreadResponseBytes
  }
  var tooMuchUnread: Status {
    let limit = server.options.maxUnreadResponseBytes
    return Status(
      .resourceExhausted, "more than \(limit) response bytes on this connection are not read")
  }

  func start() {
    stream.handler = self
    // Cancelled by `close`: the loop may still hold the hook when the connection has gone.
    flushHook = EndOfTurnHook { [unowned self] in flush() }
    let handshake = Deadline { [unowned self] in close() }
    server.deadlines.set(handshake, at: server.loop.now + server.options.handshakeNanoseconds)
    self.handshake = handshake
    flush()
    stream.startReading()
  }

  func close() {
    if isClosed { return }
    isClosed = true
    handshake = nil
    flushHook?.cancel()
    flushHook = nil
    session.closeAll(.cancel) { handle($0) }
    stream.close()
    server.remove(self)
  }

  // MARK: Bytes

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    isInBatch = true
    let failure = session.receive(bytes) { handle($0) }
    isInBatch = false
    flush()
    // What could still be said, a GOAWAY, has been written.
    if failure != nil { close() }
  }

  func streamDidEnd(_ error: UVError?) { close() }

  func streamDidDrain() {
    flush()
    if !isClosed, stream.writeQueueSize < server.options.maxQueuedOutputBytes {
      stream.startReading()
    }
  }

  /// Has what was submitted leave before the loop sleeps. Within a batch its end sees to that.
  func scheduleFlush() {
    needsFlush = true
    if isInBatch || isClosed { return }
    if let flushHook { server.loop.atEndOfTurn(flushHook) }
  }

  private func flush() {
    if isClosed { return }
    let output = server.context.output
    let limit = server.options.maxQueuedOutputBytes
    isInBatch = true
    var failure: HTTP2Failure?
    repeat {
      needsFlush = false
      if stream.writeQueueSize >= limit {
        // The peer does not read: take no more work from it until it does.
        stream.stopReading()
        break
      }
      failure = session.drain(limit: ServerConnection.drainBytes) { handle($0) }
      if output.count == 0 { continue }
      if output.count >= ServerConnection.drainBytes { needsFlush = true }
      let isAlive = stream.write(output.bytes)
      output.removeAll()
      if !isAlive {
        isInBatch = false
        close()
        return
      }
    } while needsFlush && failure == nil
    isInBatch = false
    if failure != nil || closeAfterFlush
      || (!session.wantsRead && !session.wantsWrite && stream.writeQueueSize == 0)
    {
      close()
    }
  }

  // MARK: Events

  private func handle(_ event: HTTP2Event) {
    switch event.kind {
    case .headers: begin(event)
    case .data:
      guard let call = ServerCall.of(event.stream) else {
        // Answered already: nobody wants the bytes, but the window is to be given back.
        event.stream.consume(event.data.count)
        return
      }
      call._withUnsafeGuaranteedRef { $0.received(event.data, endsStream: event.endsStream) }
    case .ended, .trailers:
      if event.endsStream, let call = ServerCall.of(event.stream) {
        call._withUnsafeGuaranteedRef { $0.halfClosed() }
      }
    case .closed:
      if let call = ServerCall.of(event.stream) {
        call._withUnsafeGuaranteedRef { $0.cancelled() }
      }
    case .drained:
      if let call = ServerCall.of(event.stream) {
        call._withUnsafeGuaranteedRef { $0.drained() }
      }
    case .settings: handshake = nil
    case .pingAcknowledged:
      if event.opaque == ServerConnection.shutdownPing, server.isShuttingDown { sendGoAway() }
    case .ping: judgePing()
    case .goAway: break
    }
  }

  /// Keepalive pings cost us wake-ups. Those that follow an answer measure bandwidth and are welcome.
  private func judgePing() {
    let now = server.loop.now
    let isTooSoon =
      lastPing != 0 && now &- lastPing < server.options.minPingIntervalNanoseconds
    lastPing = now
    if session.takeHasSentPayload() {
      pingStrikes = 0
    } else if isTooSoon {
      pingStrikes += 1
      if pingStrikes > server.options.maxPingStrikes {
        // The words are part of the protocol: clients then double their interval.
        session.submitGoAway(.enhanceYourCalm, debug: "too_many_pings")
        closeAfterFlush = true
        scheduleFlush()
      }
    }
  }

  private func begin(_ event: HTTP2Event) {
    let stream = event.stream
    let head = RequestHead(event.fields)
    if event.fieldsTooLarge {
      let limit = server.options.http2.maxHeaderListBytes
      refuse(stream, Status(.resourceExhausted, "header fields exceed \(limit) bytes"))
      return
    }
    guard head.isPost else {
      refuse(stream, http: "405", "gRPC requests use POST\n", extra: ("allow", "POST"))
      return
    }
    guard head.isGRPC else {
      refuse(stream, http: "415", "the content-type must be application/grpc\n")
      return
    }
    guard let route = server.dispatch.find(head.path) else {
      let path = String(decoding: head.path.prefix(200), as: UTF8.self)
      refuse(stream, Status(.unimplemented, "unknown method \(path)"))
      return
    }
    if head.hasEncoding {
      refuse(
        stream,
        Status(
          .unimplemented, "grpc-encoding is not supported",
          trailers: [.init("grpc-accept-encoding", "identity")]))
      return
    }
    if head.isTimeoutMalformed {
      refuse(stream, Status(.internal, "malformed grpc-timeout"))
      return
    }
    if let name = head.malformedBinaryName {
      let name = String(decoding: name.prefix(200), as: UTF8.self)
      refuse(stream, Status(.internal, "metadata '\(name)' is not base64"))
      return
    }
    if hasTooMuchUnread {
      refuse(stream, tooMuchUnread)
      return
    }
    server.takeCall()._withUnsafeGuaranteedRef {
      $0.begin(self, stream, route, event.fields, timeout: head.timeout)
      if event.endsStream { $0.halfClosed() }
    }
  }

  /// Answers a request for which there is no call.
  private func refuse(_ stream: HTTP2StreamRef, _ status: Status) {
    respondTrailersOnly(stream, status)
  }

  func respondTrailersOnly(_ stream: HTTP2StreamRef, _ status: Status) {
    let fields = server.scratchFields
    fields.removeAll()
    fields.append(":status", "200")
    fields.append("content-type", "application/grpc")
    StatusFields.append(status, to: fields)
    session.submitResponse(stream, fields, endsStream: true)
    session.resetWhenEnded(stream)
    scheduleFlush()
  }

  /// Answers what is not gRPC in HTTP's own terms. The body is for the human who sees it.
  private func refuse(
    _ stream: HTTP2StreamRef, http status: String, _ body: StaticString,
    extra: (String, String)? = nil
  ) {
    let fields = server.scratchFields
    fields.removeAll()
    fields.append(":status", status)
    fields.append("content-type", "text/plain")
    if let extra { fields.append(extra.0, extra.1) }
    if let place = session.reserve(stream, body.utf8CodeUnitCount) {
      place.copyMemory(from: body.utf8Start, byteCount: body.utf8CodeUnitCount)
    }
    session.finish(stream, trailers: nil)
    session.submitResponse(stream, fields, endsStream: false)
    session.resetWhenEnded(stream)
    scheduleFlush()
  }

  // MARK: Shutdown

  func announceShutdown() {
    session.submitShutdownNotice()
    session.submitPing(ServerConnection.shutdownPing)
    scheduleFlush()
  }

  /// The final GOAWAY: streams the client began before it knew are served, later ones are not.
  func sendGoAway() {
    if hasSentGoAway || isClosed { return }
    hasSentGoAway = true
    session.submitGoAway(.noError)
    scheduleFlush()
  }

  func cancelAndClose() {
    session.forEachOpenStream { stream in
      guard let call = ServerCall.of(stream) else { return }
      call.takeUnretainedValue().fail(
        Status(.unavailable, "the server is shutting down"), timeHasRunOut: true)
    }
    sendGoAway()
    closeAfterFlush = true
    scheduleFlush()
  }
}
