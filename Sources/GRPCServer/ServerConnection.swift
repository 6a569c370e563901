import GRPCWire
import HTTP2
import TLSEngine
import UVLoop

/// One connection: a socket, an HTTP/2 session, the calls on it, and perhaps TLS in between.
///
/// A read is given to the session whole, its events are handled, and all answers leave in one write.
final class ServerConnection: ByteStreamHandler {
  unowned(unsafe) let server: GRPCServer
  let session: HTTP2Session
  let stream: ByteStream
  /// nil = cleartext, which pays for it with a branch per read and per write.
  let tls: TLSSession?
  /// The place in the server's list.
  var index = 0
  private(set) var isClosed = false
  /// In the middle of a batch, whose end flushes.
  var isInBatch = false
  /// Something was submitted that the present flush may have passed already.
  private var needsFlush = false
  var hasSentGoAway = false
  var closeAfterFlush = false
  private var conduct = PeerConduct()
  var handshake: Deadline?
  private var flushHook: EndOfTurnHook?
  private static let drainBytes = 256 << 10

  init(server: GRPCServer, stream: ByteStream, tls: TLSSession?) {
    self.server = server
    self.stream = stream
    self.tls = tls
    session = HTTP2Session(.server, context: server.context)
  }

  /// The client's address.
  private(set) lazy var peer = stream.peerAddress
  /// Who the client proved to be. Not asked for before the handshake is done.
  private(set) lazy var identity = makeIdentity()

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
    let patience =
      tls == nil ? server.options.handshakeNanoseconds : server.options.tlsHandshakeNanoseconds
    server.deadlines.set(handshake, at: server.loop.now + patience)
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
    if tls != nil { endTLS() }
    stream.close()
    server.remove(self)
  }

  // MARK: Bytes

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    if tls != nil { return didRead(sealed: bytes) }
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

  func flush() {
    if isClosed || (tls != nil && !canSeal()) { return }
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
      let isAlive = tls == nil ? stream.write(output.bytes) : write(sealing: output.bytes)
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

  func handle(_ event: HTTP2Event) {
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
    case .ping:
      if !conduct.toleratesPing(
        at: server.loop.now, afterPayload: session.takeHasSentPayload(), server.options)
      {
        cutOff(.enhanceYourCalm, "too_many_pings")
      }
    case .goAway: break
    }
  }

  /// Ends the connection for what the peer does. What can be said, a GOAWAY, is said first.
  private func cutOff(_ code: HTTP2ErrorCode, _ words: String) {
    session.submitGoAway(code, debug: words)
    closeAfterFlush = true
    scheduleFlush()
  }
}
