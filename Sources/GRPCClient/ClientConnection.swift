internal import GRPCWire
internal import HTTP2
internal import TLSEngine
internal import UVLoop

/// One connection of a channel, from before it is up to after it is gone.
///
/// The HTTP/2 session exists from the start: calls begun before the socket is connected are streams
/// of it like all others, and simply cannot be framed yet.
final class ClientConnection: ByteStreamHandler {
  enum Phase {
    /// Not before the delay after a failed attempt has passed.
    case waiting
    case connecting
    /// Connected; the TLS handshake is under way, or the server's SETTINGS are not here yet.
    case greeting
    case ready
    case closed
    /// Closed, and nobody is to be told.
    case abandoned
  }

  let context: GRPCClientContext
  let session: HTTP2Session
  private(set) var phase = Phase.waiting
  /// The server takes no new streams here, or the stream numbers are used up.
  private(set) var isRetired = false

  /// Nil once the channel is gone (`abandon`) or knows nothing of this connection any more (`lose`).
  private unowned(unsafe) var channel: GRPCChannel?
  let target: ListenAddress
  var stream: ByteStream?
  /// nil = cleartext, or not connected yet.
  var tls: TLSSession?
  private let security: TLSContext?
  private var attempt: ConnectAttempt?
  private var delay: LoopTimer?
  private var timeout: Deadline?
  private let flushHook: EndOfTurnHook
  private let flushTarget = FlushTarget()
  /// What streams that close from now on fail with.
  private var lossStatus: Status?
  private var goAwayCode = HTTP2ErrorCode.noError
  private static let framingBatchBytes = 256 << 10

  init(of channel: GRPCChannel) {
    self.channel = channel
    context = channel.context
    target = channel.target
    security = channel.tls
    session = HTTP2Session(.client, context: context.http2)
    flushHook = EndOfTurnHook { [flushTarget] in flushTarget.connection?.flush() }
    flushTarget.connection = self
  }

  deinit { flushTarget.connection = nil }

  // MARK: Getting there

  func start(afterNanoseconds nanoseconds: UInt64) {
    if nanoseconds == 0 { return connect() }
    delay = LoopTimer(on: context.loop) { [unowned self] in
      if phase == .waiting { connect() }
    }
    delay?.start(afterNanoseconds: nanoseconds)
  }

  private func connect() {
    phase = .connecting
    delay = nil
    let timeout = Deadline { [unowned self] in
      lose(
        Status(
          .unavailable,
          "connect to \(target): no answer within "
            + "\(context.options.connectTimeoutNanoseconds / 1_000_000) ms"))
    }
    self.timeout = timeout
    context.deadlines.set(
      timeout, at: EventLoop.clock &+ context.options.connectTimeoutNanoseconds)
    do throws(UVError) {
      attempt = try ByteStream.connect(to: target, on: context.loop) { [self] in didConnect($0) }
    } catch {
      let reason = Status(.unavailable, error.description)
      context.later { [self] in lose(reason) }
    }
  }

  private func didConnect(_ result: Result<ByteStream, UVError>) {
    attempt = nil
    switch result {
    case .failure(let error):
      lose(Status(.unavailable, error.description))
    case .success(let stream):
      guard phase == .connecting else { return stream.close() }
      phase = .greeting
      self.stream = stream
      stream.handler = self
      stream.startReading()
      if let security { startTLS(security) } else { scheduleFlush() }
    }
  }

  // MARK: Bytes

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    if tls != nil { return didRead(sealed: bytes) }
    let failure = session.receive(bytes) { handle($0) }
    if let failure { return lose(Status(.unavailable, "connection to \(target): \(failure)")) }
    if !closeIfDone() { scheduleFlush() }
  }

  func streamDidEnd(_ error: UVError?) {
    let reason = error?.description ?? "the server closed the connection"
    lose(Status(.unavailable, "connection to \(target): \(reason)"))
  }

  func streamDidDrain() { scheduleFlush() }

  func scheduleFlush() {
    if stream != nil { context.loop.atEndOfTurn(flushHook) }
  }

  private func flush() {
    guard let stream, tls?.isEstablished ?? true else { return }
    let output = context.http2.output
    var isMore = true
    // What the kernel does not take waits in the socket's queue; `streamDidDrain` goes on.
    while isMore, stream.writeQueueSize < context.options.maxSocketQueueBytes {
      let failure = session.drain(limit: ClientConnection.framingBatchBytes) { handle($0) }
      isMore = output.count >= ClientConnection.framingBatchBytes
      let isAlive = tls == nil ? stream.write(output.bytes) : write(sealing: output.bytes)
      output.removeAll()
      if let failure { return lose(Status(.unavailable, "connection to \(target): \(failure)")) }
      if !isAlive {
        return lose(Status(.unavailable, "connection to \(target): the server closed it"))
      }
    }
    closeIfDone()
  }

  /// Ends a connection that has nothing left to do.
  @discardableResult
  func closeIfDone() -> Bool {
    let isIdle = isRetired && session.openStreams == 0 && !session.wantsWrite
    guard isIdle || (!session.wantsRead && !session.wantsWrite) else { return false }
    lose(Status(.unavailable, "connection to \(target): the server ended it"))
    return true
  }

  // MARK: Events

  func handle(_ event: borrowing HTTP2Event) {
    switch event.kind {
    case .headers, .trailers, .data, .ended, .drained, .closed:
      guard let user = event.stream.user else { return }
      let call = Unmanaged<ClientCall>.fromOpaque(user)
      if event.kind == .closed {
        didClose(event, call.takeRetainedValue())  // Retained by `attach`.
      } else if phase != .abandoned {
        handle(event, call.takeUnretainedValue())
      }
    case .settings:
      if phase == .greeting {
        phase = .ready
        if let timeout { context.deadlines.clear(timeout) }
        timeout = nil
        channel?.didBecomeReady(self)
      }
    case .goAway:
      goAwayCode = event.errorCode
      retire()
    case .ping, .pingAcknowledged, .settingsAcknowledged: break
    }
  }

  @inline(__always)
  private func handle(_ event: borrowing HTTP2Event, _ call: ClientCall) {
    switch event.kind {
    case .data:
      let bytes = event.data
      // Messages are handed over before this returns, so the window can be given back at once; a
      // half message needs it to become whole, and its length is within the limit.
      session.consume(event.stream, bytes.count)
      call.received(bytes)
      if event.endsStream { endWithoutStatus(call) }
    case .headers:
      if event.fieldsTooLarge { return call.abort(ClientConnection.fieldsTooLarge) }
      if event.endsStream {
        end(call, ResponseFields.status(in: event.fields, httpStatus: event.status))
      } else if let objection = ResponseFields.objection(
        to: event.fields, httpStatus: event.status)
      {
        call.abort(objection)
      } else {
        call.began(event.fields)
      }
    case .trailers:
      if event.fieldsTooLarge { return call.abort(ClientConnection.fieldsTooLarge) }
      end(call, ResponseFields.status(in: event.fields, httpStatus: 200))
    case .ended: endWithoutStatus(call)
    case .drained: call.drained()
    default: break
    }
  }

  private static let fieldsTooLarge = Status(
    .resourceExhausted, "the response's header list is longer than the limit")

  private func endWithoutStatus(_ call: ClientCall) {
    end(call, Status(.unknown, "the server ended the call without grpc-status"))
  }

  private func end(_ call: ClientCall, _ status: Status) {
    if let stream = call.stream {
      // The server wants nothing more. A stream that can be ended in order is; what flow control
      // still holds is dropped.
      if stream.queuedBytes == 0 {
        session.finish(stream, trailers: nil)
      } else {
        session.reset(stream, .cancel)
      }
    }
    call.ended(status)
  }

  private func didClose(_ event: borrowing HTTP2Event, _ call: ClientCall) {
    event.stream.user = nil
    if call.phase == .open, phase != .abandoned {
      call.finish(statusOfReset(event.errorCode, call))
    }
    call.detach()
    if call.isReusable { context.giveCall(call) }
  }

  private func statusOfReset(_ code: HTTP2ErrorCode, _ call: ClientCall) -> Status {
    if call.deadlineNanoseconds <= EventLoop.clock {
      return Status(.deadlineExceeded, "the deadline passed before the call ended")
    }
    if let lossStatus { return lossStatus }
    if code == .refusedStream {
      var status = Status(
        .unavailable,
        isRetired
          ? "the server is going away (\(goAwayCode)); the call was not started"
          : "the server refused the stream; the call was not started")
      // What has been answered was begun, whatever the server says now.
      status.wasNeverStarted = !call.hasBegun
      return status
    }
    return Status(
      StatusCode(http2ErrorCode: code.rawValue), "the server reset the stream (\(code))")
  }

  // MARK: The end

  /// No new calls; those under way go on.
  func retire() {
    if isRetired { return }
    isRetired = true
    channel?.didRetire(self)
  }

  /// Ends the connection from within a method its owner called.
  func loseLater(_ reason: Status) { context.later { [self] in lose(reason) } }

  /// Ends the connection and fails its calls with `reason`. Never called from the session's events.
  func lose(_ reason: Status) {
    if phase == .closed || phase == .abandoned { return }
    let wasReady = phase == .ready
    phase = .closed
    isRetired = true
    lossStatus = reason
    delay = nil
    timeout = nil
    // First, so that calls begun by the completions below go elsewhere.
    channel?.didLose(self, wasReady: wasReady, reason)
    channel = nil
    if let stream {
      if tls?.isEstablished ?? true { sayGoodbye(stream) }
      self.stream = nil
      stream.close()
    }
    attempt?.cancel()
    attempt = nil
    session.closeAll(.noError) { handle($0) }
  }

  /// A GOAWAY for the server's log; nobody waits for it to be sent.
  private func sayGoodbye(_ stream: ByteStream) {
    session.submitGoAway(.noError)
    let output = context.http2.output
    _ = session.drain(limit: ClientConnection.framingBatchBytes) { handle($0) }
    _ = tls == nil ? stream.write(output.bytes) : write(sealing: output.bytes)
    output.removeAll()
    if tls != nil { endTLS() }
  }

  /// The channel is gone: closes without telling anyone. Unlike `lose`, this may come in the middle
  /// of the session's events, so its streams are dropped later.
  func abandon() {
    if phase == .closed || phase == .abandoned { return }
    phase = .abandoned
    channel = nil
    delay = nil
    timeout = nil
    stream?.close()
    stream = nil
    attempt?.cancel()
    attempt = nil
    context.later { [self] in session.closeAll(.noError) { handle($0) } }
  }
}

/// What the flush hook holds on to, as it may outlive its connection by a turn. Not a weak reference:
/// one of those makes every retain of the connection take the slow path.
private final class FlushTarget {
  unowned(unsafe) var connection: ClientConnection?
}
