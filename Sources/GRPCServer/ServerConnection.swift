import GRPCWire
import HTTP2
import TLSEngine
import UVLoop

/// One connection: a socket, an HTTP/2 session, the calls on it, and perhaps TLS in between.
///
/// A read is given to the session whole, its events are handled, and all answers leave in one write. What a
/// message says is never known here.
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
  /// The socket outlives the connection for a while: see `LingeringStreams`.
  var lingers = false
  var conduct = PeerConduct()
  /// Something was read since the last checkup.
  var hasRead = false
  /// The next checkup is far: a read wants one soon.
  var isDozing = false
  /// The graceful end has begun.
  var isEnding = false
  var hasReportedCutOff = false
  var times: ConnectionTimes
  private(set) lazy var checkup = Deadline { [unowned self] in lookAtItself() }
  /// Streams whose request had begun when the present read did, and those whose request it has brought
  /// so far.
  private var streamsBeforeRead = 0
  var streamsOfRead = 0
  /// Streams that were there before the one that begins.
  var streamsBefore: Int { streamsBeforeRead + streamsOfRead - 1 }
  /// Parts of a TLS handshake whose turn has not come, and the place among those that wait.
  var heldHandshake: [UInt8] = []
  var placeInGate: Int?
  /// Bytes of requests that have come in part.
  private(set) var heldBytes = 0
  /// The client has been told which message encodings are read here.
  var hasAnnouncedEncodings = false
  /// Output that waits for the client, as the server knows it.
  private(set) var countedOutput = 0
  /// What of it waits for the socket.
  private(set) var socketBytes = 0
  private var flushHook: EndOfTurnHook?
  private static let drainBytes = 256 << 10

  init(server: GRPCServer, stream: ByteStream, tls: TLSSession?) {
    self.server = server
    self.stream = stream
    self.tls = tls
    session = HTTP2Session(.server, context: server.context)
    times = ConnectionTimes(now: server.loop.now)
  }

  /// The client's address.
  private(set) lazy var peer = stream.peerAddress
  /// Who the client proved to be. Not asked for before the handshake is done.
  private(set) lazy var identity = makeIdentity()

  var bufferedBytes: Int { stream.writeQueueSize + session.queuedOutputBytes }

  /// A call holds more bytes of a request than before, or less.
  func holds(_ more: Int) {
    heldBytes += more
    server.bufferedBytes += more
  }
  var holdsTooMuch: Bool {
    heldBytes > server.share(of: server.options.maxHeldRequestBytes)
  }

  var queuedSocketBytes: Int { stream.writeQueueSize }

  func start() {
    stream.handler = self
    // Cancelled by `close`: the loop may still hold the hook when the connection has gone.
    flushHook = EndOfTurnHook { [unowned self] in flush() }
    times.endsAt = server.endOfLife(from: times.began)
    scheduleCheckup(at: times.began &+ server.checkupInterval)
    // Our SETTINGS go with the answer to the client's: whoever speaks something else is told so.
    stream.startReading()
  }

  func close() {
    if isClosed { return }
    isClosed = true
    server.deadlines.clear(checkup)
    server.bufferedBytes -= countedOutput
    countedOutput = 0
    flushHook?.cancel()
    flushHook = nil
    session.closeAll(.cancel) { handle($0) }
    let lingers = lingers && stream.writeQueueSize <= LingeringStreams.mostQueuedBytes
    if tls != nil {
      // Its end would tell the client to come back.
      if !lingers { endTLS() }
      server.handshakes.forget(self)
    }
    if lingers { server.letLinger(stream) } else { stream.close() }
    server.remove(self)
  }

  // MARK: Bytes

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    hasRead = true
    if isDozing { wake() }
    streamsBeforeRead = session.openStreams - (session.isReceivingRequest ? 1 : 0)
    streamsOfRead = 0
    if tls != nil { return didRead(sealed: bytes) }
    isInBatch = true
    Unmanaged.passUnretained(server)._withUnsafeGuaranteedRef { $0.readsServed &+= 1 }
    let failure =
      bytes.count > ServerConnection.sliceBytes
      ? receiveInSlices(bytes) : session.receive(bytes) { handle($0) }
    isInBatch = false
    if let failure { return fail(failure, after: bytes) }
    flush()
    if session.hasConduct { judgeConduct() }
  }

  func streamDidEnd(_ error: UVError?) { close() }

  func streamDidDrain() {
    flush()
    if !isClosed, stream.writeQueueSize < server.share(of: server.options.maxQueuedOutputBytes) {
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
    let sink = server.context.output
    let limit = server.share(of: server.options.maxQueuedOutputBytes)
    let drainBytes = min(ServerConnection.drainBytes, limit)
    isInBatch = true
    var failure: HTTP2Failure?
    repeat {
      needsFlush = false
      if stream.writeQueueSize >= limit {
        // The peer does not read: take no more work from it until it does.
        stream.stopReading()
        break
      }
      failure = session.drain(limit: drainBytes) { handle($0) }
      if sink.count == 0 { continue }
      if sink.count >= drainBytes { needsFlush = true }
      let isAlive = tls == nil ? stream.write(sink.bytes) : write(sealing: sink.bytes)
      sink.removeAll()
      if !isAlive {
        isInBatch = false
        close()
        return
      }
    } while needsFlush && failure == nil
    isInBatch = false
    countOutput()
    if failure != nil || closeAfterFlush
      || (!session.wantsRead && !session.wantsWrite && stream.writeQueueSize == 0)
    {
      if !closeAfterFlush { countItsEnd() }
      close()
    }
  }

  /// Tells the server how much output waits for the client now.
  func countOutput() {
    if isClosed { return }
    socketBytes = stream.writeQueueSize
    let output = session.queuedOutputBytes + socketBytes
    if output != countedOutput {
      server.bufferedBytes += output - countedOutput
      countedOutput = output
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
    case .settings: times.hasSettings = true
    case .settingsAcknowledged: times.hasSettingsAcknowledged = true
    case .pingAcknowledged:
      if event.opaque == ServerConnection.shutdownPing, isEnding { sendGoAway() }
    case .ping:
      if !conduct.toleratesPing(
        at: server.loop.now, sentFrames: session.conduct.payloadFrames,
        hasCalls: session.openStreams > 0, server.options)
      {
        cutOff(.pings, .enhanceYourCalm, "too_many_pings")
      }
    case .goAway: break
    }
  }
}
