import GRPCWire
import HTTP2
import UVLoop

/// One call from its headers to its answer. Objects are pooled; the stream's `user` points here
/// until the answer has been submitted, after which the stream finishes by itself.
///
/// A unary handler runs on the message where it lies in the read buffer and writes its reply where
/// it will be framed from, so that a call allocates nothing. Messages are cut out, decompressed and handed on, and
/// never decoded here.
final class ServerCall {
  unowned(unsafe) let server: GRPCServer
  var nextFree: Unmanaged<ServerCall>?

  private let responseFields: HTTP2FieldList
  private let announcingFields: HTTP2FieldList
  private let okTrailers: HTTP2FieldList

  // What the path of a unary call touches is plain memory or unmanaged: reference counts are atomic,
  // and a few dozen of them cost more than the rest of our part of a call.
  unowned(unsafe) var connection: ServerConnection?
  var stream: HTTP2StreamRef?
  var route: Unmanaged<Route>?
  private(set) var isClientStreaming = false
  var fields: HTTP2Fields?
  var framer: MessageFramer
  /// The only request message, until the client has ended its side.
  private(set) var request: UnsafeMutableRawBufferPointer?
  private(set) var requestCount = 0
  /// Bytes of the request that the connection knows to be held.
  var heldBytes = 0
  private var expiry: Deadline?
  var expiresAt = UInt64.max
  /// The loop's time at which the call began; 0 where nobody times calls.
  private var beganAt: UInt64 = 0
  /// Bytes of the unary reply, prefix included.
  var replyBytes = 0

  var handle: StreamingCall?
  var receiver: (any RequestStream)?
  var hasSentHeaders = false
  /// The client has shown that it knows of encodings, and is told which ones are read here.
  var announcesEncodings = false
  /// nil for nearly all calls.
  var extras: CallExtras?
  /// The responses are over the high-water mark: requests wait.
  var isBackedUp = false
  /// Requests that came meanwhile. They are not given back to the window, which so bounds them.
  var held: [UInt8] = []
  /// The client has ended its side behind what is held.
  var hasHeldEnd = false
  /// A handler is running on bytes that must stay; ending the call waits for it.
  var isDelivering = false
  var isOver = false

  init(server: GRPCServer) {
    self.server = server
    responseFields = server.responseFields
    announcingFields = server.announcingFields
    okTrailers = server.okTrailers
    framer = MessageFramer(limitBytes: server.options.maxMessageBytes)
  }

  deinit { request?.deallocate() }

  @inline(__always)
  static func of(_ stream: HTTP2StreamRef) -> Unmanaged<ServerCall>? {
    stream.user.map { Unmanaged.fromOpaque($0) }
  }

  // MARK: Beginning and end

  func begin(
    _ connection: ServerConnection, _ stream: HTTP2StreamRef, _ route: Unmanaged<Route>,
    _ fields: HTTP2Fields, timeout: UInt64?
  ) {
    self.connection = connection
    self.stream = stream
    self.route = route
    self.fields = fields
    isOver = false
    if server.meter != nil { beganAt = server.loop.now }
    stream.user = Unmanaged.passUnretained(self).toOpaque()
    if let timeout { expire(after: timeout) }
    if isOver { return }
    isClientStreaming = route._withUnsafeGuaranteedRef { $0.isClientStreaming }
    if route._withUnsafeGuaranteedRef({ $0.streaming != nil }) { startStreaming(route) }
  }

  private func expire(after timeout: UInt64) {
    let (time, overflow) = server.loop.now.addingReportingOverflow(timeout)
    if overflow { return }
    expiresAt = time
    if timeout == 0 {
      fail(ServerCall.deadlineExceeded)
      return
    }
    let expiry =
      self.expiry
      ?? Deadline { [unowned(unsafe) self] in
        fail(ServerCall.deadlineExceeded, timeHasRunOut: true)
      }
    self.expiry = expiry
    server.deadlines.set(expiry, at: expiresAt)
  }

  private static let deadlineExceeded = Status(.deadlineExceeded, "the deadline has passed")

  /// The answer has been submitted, or cannot be any more. The object is free for another call.
  func end(_ code: StatusCode) {
    if beganAt != 0 { noteDuration(code) }
    stream?.user = nil
    isOver = true
    if !isDelivering { recycle() }
  }

  /// Not if the meter came while the call was under way.
  private func noteDuration(_ code: StatusCode) {
    let began = beganAt
    beganAt = 0
    guard let route, let meter = server.meter else { return }
    let index = route._withUnsafeGuaranteedRef { $0.index }
    meter._withUnsafeGuaranteedRef { $0.record(EventLoop.clock &- began, of: index, code) }
  }

  func recycle() {
    if expiresAt != .max {
      if let expiry, expiry.isSet { server.deadlines.clear(expiry) }
      expiresAt = .max
    }
    replyBytes = 0
    requestCount = 0
    if request != nil {
      request?.deallocate()
      request = nil
    }
    framer.reset()
    if heldBytes != 0 {
      connection?.holds(-heldBytes)
      heldBytes = 0
      // The answer may wait for window, and what is held is what is counted.
      stream?.dropFields()
    }
    if handle != nil { dropHandler() }
    hasSentHeaders = false
    announcesEncodings = false
    if extras != nil { extras = nil }
    connection = nil
    stream = nil
    route = nil
    fields = nil
    Unmanaged.passUnretained(server)._withUnsafeGuaranteedRef { $0.giveCall(self) }
  }

  // MARK: What comes from the client

  func received(_ data: UnsafeRawBufferPointer, endsStream: Bool) {
    if isBackedUp {
      held.append(contentsOf: data)
      noteHeldBytes()
      if endsStream { halfClosed() }
      return
    }
    guard let stream else { return }
    var rest = data
    isDelivering = true
    deliver: while !isOver, !isBackedUp {
      switch framer.next(&rest) {
      case .message(let message): deliver(message, isLast: endsStream && rest.isEmpty)
      case .compressed(let message): unpack(message, isLast: endsStream && rest.isEmpty)
      case .needsMore: break deliver
      case .failed(let error):
        fail(error.status)
      }
    }
    isDelivering = false
    if isOver {
      stream.consume(data.count)
      recycle()
      return
    }
    // A message under way needs window to be completed; a whole one has been dealt with.
    stream.consume(data.count - rest.count)
    // The loop ended before the framer saw that there is no more: it may be long before it is asked.
    if isBackedUp { framer.rest() }
    if !rest.isEmpty { held.append(contentsOf: rest) }
    if endsStream { return halfClosed() }
    noteHeldBytes()
  }

  @inline(__always)
  func deliver(_ message: UnsafeRawBufferPointer, isLast: Bool) {
    if isClientStreaming {
      receiver?.received(message)
    } else {
      takeOnly(message, isLast: isLast)
    }
  }

  /// The one message of a call that has one.
  private func takeOnly(_ message: UnsafeRawBufferPointer, isLast: Bool) {
    requestCount += 1
    if requestCount > 1 {
      fail(Status(.internal, "more than one request message"))
    } else if isLast {
      run(message)
    } else {
      let copy = UnsafeMutableRawBufferPointer.allocate(
        byteCount: max(1, message.count), alignment: 16)
      copy.copyMemory(from: message)
      request = UnsafeMutableRawBufferPointer(rebasing: copy.prefix(message.count))
    }
  }

  func halfClosed() {
    if isOver { return }
    if isBackedUp, !held.isEmpty {
      hasHeldEnd = true
      noteHeldBytes()
      return
    }
    isDelivering = true
    if !framer.isBetweenMessages {
      fail(Status(.internal, "the request ends inside a message"))
    } else if isClientStreaming {
      receiver?.halfClosed()
    } else if requestCount == 0 {
      fail(Status(.unimplemented, "no request message"))
    } else if let request {
      run(UnsafeRawBufferPointer(request))
    }
    isDelivering = false
    // No unary call is left here, and one that streams may answer for long.
    if isOver { recycle() } else { noteHeldBytes() }
  }

  /// Runs the handler on the only message, after which the client says no more.
  private func run(_ message: UnsafeRawBufferPointer) {
    guard let route, let stream else { return }
    if expiresAt != .max, expiresAt <= server.loop.now {
      fail(ServerCall.deadlineExceeded)
      return
    }
    if handle != nil {
      receiver?.received(message)
      if !isOver { receiver?.halfClosed() }
      return
    }
    let status = route._withUnsafeGuaranteedRef {
      $0.unary(message, self, self)
    }
    if replyBytes > ServerConnection.freeBytes, status?.code ?? .ok == .ok, refuseLongReply() {
      return
    }
    guard let status else {
      precondition(replyBytes > 0, "a unary handler returned ok without a reply")
      if extras != nil { packReply(replyBytes - 5) }
      // The batch that brought the request flushes at its end.
      stream.finish(trailers: okTrailers)
      submitHeaders(stream)
      end(.ok)
      return
    }
    if status.code == .ok {
      precondition(replyBytes > 0, "a unary handler returned ok without a reply")
      if extras != nil { packReply(replyBytes - 5) }
      sendHeaders()
      finish(status)
    } else {
      stream.unreserve(replyBytes)
      fail(status)
    }
  }

  /// The stream was reset, or its connection is gone.
  func cancelled() { tellCancelled(Status(.cancelled, "the client cancelled the call")) }

  func tellCancelled(_ status: Status) {
    if isOver { return }
    let receiver = receiver
    end(status.code)
    receiver?.cancelled(status)
  }

  // MARK: What goes to the client

  /// Ends the call with an error of the transport's. Messages that are queued go first, unless time
  /// has run out: then flow control could hold them, and the status behind them, back for ever.
  func fail(_ status: Status, timeHasRunOut: Bool = false) {
    guard !isOver, let connection, let stream else { return }
    if timeHasRunOut, hasSentHeaders, stream.queuedBytes > 0 {
      stream.reset(.cancel)
      connection.scheduleFlush()
    } else if hasSentHeaders {
      submitTrailers(status)
    } else {
      connection.respondTrailersOnly(stream, status)
    }
    let receiver = receiver
    end(status.code)
    receiver?.cancelled(status)
  }

  func submitTrailers(_ status: Status) {
    guard let connection, let stream else { return }
    if status.code == .ok, status.details.isEmpty, status.trailers.isEmpty {
      stream.finish(trailers: okTrailers)
    } else {
      let trailers = HTTP2FieldList()
      StatusFields.append(status, to: trailers)
      stream.finish(trailers: trailers)
    }
    stream.resetWhenEnded()
    connection.scheduleFlush()
  }

  func sendHeaders() {
    guard !hasSentHeaders, let stream else { return }
    hasSentHeaders = true
    submitHeaders(stream)
  }

  @inline(__always)
  private func submitHeaders(_ stream: HTTP2StreamRef) {
    if extras != nil {
      stream.submitResponse(fieldsWithExtras(), endsStream: false)
    } else if announcesEncodings {
      connection?.hasAnnouncedEncodings = true
      stream.submitResponse(announcingFields, endsStream: false)
    } else {
      stream.submitResponse(responseFields, endsStream: false)
    }
  }
}
