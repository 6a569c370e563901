/// HTTP/2 without sockets. This module owns nghttp2's sessions: bytes in, stream events out, and
/// the frames to send in one buffer per batch. It never reads a socket or a clock, and it knows
/// nothing of what its streams carry.
internal import CNGHTTP2

/// One HTTP/2 connection, on either side.
///
/// Use: give every read to `receive`, answer its events with the methods below, then `drain` once
/// and send what it gathered. No method may be called from within `drain`'s or `receive`'s handler
/// that would run one of these two again; everything else may.
package final class HTTP2Session {
  package enum Role {
    case server
    case client
  }

  package let context: HTTP2Context
  private let raw: OpaquePointer
  private let state: UnsafeMutablePointer<SessionState>
  private var isHandling = false

  package init(_ role: Role, context: HTTP2Context) {
    self.context = context
    let options = context.options
    state = .allocate(capacity: 1)
    state.initialize(
      to: SessionState(
        sink: .passUnretained(context.output), isServer: role == .server,
        expected: context.expected,
        maxHeaderListBytes: options.maxHeaderListBytes,
        outputLowWaterBytes: options.outputLowWaterBytes,
        streams: context.streams,
        frameCount: FrameCount(isServer: role == .server)))
    var memory = context.memoryFunctions
    var session: OpaquePointer?
    let create = role == .server ? nghttp2_session_server_new3 : nghttp2_session_client_new3
    let status = create(&session, context.callbacks, state, context.nghttp2Options, &memory)
    precondition(status == 0, "out of memory")
    raw = session!
    state.pointee.raw = raw

    func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }
    var settings = [
      entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.maxConcurrentStreams),
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.streamWindowBytes),
      entry(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, options.maxFrameBytes),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(options.maxHeaderListBytes)),
      entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
    ]
    if role == .client { settings.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)) }
    let submitted = nghttp2_submit_settings(
      raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
    precondition(submitted == 0, "HTTP/2 options out of range")
    let widened = nghttp2_session_set_local_window_size(
      raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, options.connectionWindowBytes)
    precondition(widened == 0, "HTTP/2 connection window out of range")
  }

  deinit {
    nghttp2_session_del(raw)
    state.pointee.knownFields.deallocate()
    while let slot = state.pointee.open { state.pointee.closeSlot(slot) }
    state.pointee.dueResets.deallocate()
    state.deallocate()
  }

  /// Streams whose `closed` event has not been handled yet.
  package var openStreams: Int { state.pointee.openCount }
  /// Whether one of them is a request whose header block has come only in part.
  @inline(__always)
  package var isReceivingRequest: Bool {
    guard let slot = state.pointee.receiving else { return false }
    return HTTP2StreamRef(slot).isUnanswered
  }
  /// False with `wantsWrite` false as well: the connection is to be closed.
  package var wantsRead: Bool { nghttp2_session_want_read(raw) != 0 }
  package var wantsWrite: Bool { nghttp2_session_want_write(raw) != 0 }
  /// The last stream of the peer's that was taken up.
  package var lastProcessedStreamID: Int32 { nghttp2_session_get_last_proc_stream_id(raw) }
  /// Streams the peer lets us have open at once.
  package var peerMaxConcurrentStreams: UInt32 {
    nghttp2_session_get_remote_settings(raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
  }

  // MARK: Bytes in, bytes out

  /// Takes a whole read and hands over what it brought, in order.
  ///
  /// - Returns: The failure that ended the connection, or nil. After a failure `drain` may still
  ///   give a GOAWAY to send.
  package func receive(
    _ bytes: UnsafeRawBufferPointer, _ handle: (HTTP2Event) -> Void
  ) -> HTTP2Failure? {
    begin()
    state.pointee.conduct.ignoredFrames &+= state.pointee.frameCount.begun(in: bytes)
    let taken = nghttp2_session_mem_recv(
      raw, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    let broughtNothing = state.pointee.events.unsafelyUnwrapped.isOfNoStream
    var violation: HTTP2ErrorCode?
    if broughtNothing || state.pointee.closed.hasSeenReset {
      violation = lookThrough(bytes, broughtNothing)
    }
    finishHandling(handle)
    if taken < 0 { return failure(CInt(taken)) }
    return violation.map {
      HTTP2Failure(reason: "\($0)", isBadPreface: false, untold: $0)
    }
  }

  /// Whether a read broke a rule that nghttp2 does not watch over.
  @inline(never)
  private func lookThrough(
    _ bytes: UnsafeRawBufferPointer, _ broughtNothing: Bool
  ) -> HTTP2ErrorCode? {
    state.pointee.closed.hasSeenReset = false
    // After a GOAWAY, what comes for later streams is ignored.
    if !state.pointee.isServer || state.pointee.conduct.goAwaySent != nil { return nil }
    return state.pointee.closed.violation(
      in: bytes, from: state.pointee.frameCount.firstStart, broughtNothing: broughtNothing
    ) { nghttp2_session_get_stream_user_data(raw, $0) != nil }
  }

  /// Appends frames to the context's output until none is left or the output holds `limit` bytes, or up to
  /// two frames more, and hands over what that brought about: streams that are now complete or drained.
  package func drain(
    limit: Int = .max, _ handle: (HTTP2Event) -> Void
  ) -> HTTP2Failure? {
    if state.pointee.connectionCredit > 0 {
      // Fails only when the session is already lost, which mem_send reports.
      nghttp2_session_consume_connection(raw, state.pointee.connectionCredit)
      state.pointee.connectionCredit = 0
    }
    begin()
    var status = 0
    let output = context.output
    state.pointee.sinkLimit = limit
    while output.buffer.count < limit {
      var frame: UnsafePointer<UInt8>?
      status = nghttp2_session_mem_send(raw, &frame)
      if status <= 0 {
        if status < 0 || !state.pointee.dueResets.submit(to: raw) { break }
        continue
      }
      // The fourth byte of a frame is its type: 0 is DATA, 1 is HEADERS.
      if frame.unsafelyUnwrapped[3] <= 1 {
        state.pointee.conduct.payloadFrames &+= 1
      } else {
        state.pointee.conduct.sent(frame.unsafelyUnwrapped)
      }
      output.buffer.append(status).copyMemory(from: frame.unsafelyUnwrapped, byteCount: status)
    }
    finishHandling(handle)
    return status < 0 ? failure(CInt(status)) : nil
  }

  /// The connection is gone: hands over `closed` for every open stream.
  package func closeAll(
    _ code: HTTP2ErrorCode, _ handle: (HTTP2Event) -> Void
  ) {
    while let slot = state.pointee.open {
      var event = HTTP2Event(.closed, slot)
      event.errorCode = code
      handle(event)
      state.pointee.closeSlot(slot)
    }
  }

  /// What the peer did beside asking and answering. The owner may take counts out of it.
  package var conduct: HTTP2Conduct {
    get { state.pointee.conduct }
    set { state.pointee.conduct = newValue }
  }
  /// Whether `conduct` holds anything to be judged.
  @inline(__always)
  package var hasConduct: Bool { state.pointee.conduct.isNoteworthy }

  /// Output bytes of all streams that are not framed yet.
  package var queuedOutputBytes: Int { state.pointee.queuedOutput }

  /// Streams that the end of the next `drain` will look at to reset them. For tests.
  package var dueResets: Int { state.pointee.dueResets.count }

  /// Bytes of memory that received fields take. Walks the open streams: for tests.
  package var fieldMemory: Int {
    var total = 0
    forEachOpenStream { total += $0.slot.pointee.fields.capacity }
    return total
  }

  /// Every open stream. `body` may submit, finish and reset.
  package func forEachOpenStream(_ body: (HTTP2StreamRef) -> Void) {
    // Slots leave the list only when `closed` events are handled, which `body` cannot bring about.
    var slot = state.pointee.open
    while let open = slot {
      slot = open.pointee.next
      body(HTTP2StreamRef(open))
    }
  }

  private func begin() {
    precondition(!isHandling, "an HTTP/2 session entered from its own events")
    isHandling = true
    state.pointee.events = context.takeEvents()
  }

  @inline(__always)
  private func finishHandling(_ handle: (HTTP2Event) -> Void) {
    // Nothing is appended any more: callbacks run inside nghttp2's two functions only.
    let events = state.pointee.events.unsafelyUnwrapped
    state.pointee.events = nil
    for index in 0..<events.count {
      let event = events.base + index
      handle(event.pointee)
      if event.pointee.kind == .closed, let slot = event.pointee.slotOrNil {
        state.pointee.connectionCredit += slot.pointee.unconsumed
        state.pointee.closeSlot(slot)
      }
    }
    context.giveEvents(events)
    isHandling = false
  }

  private func failure(_ status: CInt) -> HTTP2Failure {
    let floods = [NGHTTP2_ERR_FLOODED, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS]
    return HTTP2Failure(
      reason: nghttp2_strerror(status).map { String(cString: $0) } ?? "unknown",
      isBadPreface: status == NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue,
      untold: floods.contains { $0.rawValue == status } ? .enhanceYourCalm : nil)
  }

  // MARK: Streams

  /// Opens a stream. Its output is queued with `reserve` and ended with `finish`, before or after.
  ///
  /// - Returns: nil when the connection takes no more streams.
  package func submitRequest(_ fields: HTTP2FieldList, endsStream: Bool) -> HTTP2StreamRef? {
    // nghttp2 would take the request and fail it later, with an error that says nothing.
    guard nghttp2_session_check_request_allowed(raw) != 0 else { return nil }
    let slot = SessionState.openSlot(of: state)
    slot.pointee.outputEnded = endsStream
    var provider = dataProvider(slot)
    let (vectors, count) = fields.prepared
    let id =
      endsStream
      ? nghttp2_submit_request(raw, nil, vectors, count, nil, slot)
      : nghttp2_submit_request(raw, nil, vectors, count, &provider, slot)
    guard id > 0 else {
      state.pointee.closeSlot(slot)
      return nil
    }
    slot.pointee.id = id
    return HTTP2StreamRef(slot)
  }

  // The rest of what can be done to a stream is done through its `HTTP2StreamRef`. These say the same.

  package func submitResponse(
    _ stream: HTTP2StreamRef, _ fields: HTTP2FieldList, endsStream: Bool
  ) {
    stream.submitResponse(fields, endsStream: endsStream)
  }
  package func reserve(_ stream: HTTP2StreamRef, _ byteCount: Int) -> UnsafeMutableRawPointer? {
    stream.reserve(byteCount)
  }
  package func unreserve(_ stream: HTTP2StreamRef, _ byteCount: Int) {
    stream.unreserve(byteCount)
  }
  package func finish(_ stream: HTTP2StreamRef, trailers: HTTP2FieldList?) {
    stream.finish(trailers: trailers)
  }
  package func notifyWhenDrained(_ stream: HTTP2StreamRef) { stream.notifyWhenDrained() }
  package func reset(_ stream: HTTP2StreamRef, _ code: HTTP2ErrorCode) { stream.reset(code) }
  package func resetWhenEnded(_ stream: HTTP2StreamRef) { stream.resetWhenEnded() }
  package func consume(_ stream: HTTP2StreamRef, _ byteCount: Int) { stream.consume(byteCount) }

  // MARK: The connection

  package func submitPing(_ opaque: UInt64) {
    withUnsafeBytes(of: opaque) {
      _ = nghttp2_submit_ping(
        raw, UInt8(NGHTTP2_FLAG_NONE.rawValue),
        $0.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Tells a client that the end is near: it may finish what it has begun to send.
  package func submitShutdownNotice() { nghttp2_submit_shutdown_notice(raw) }

  /// Tells the peer the last stream that will be served; newer ones are ignored from now on.
  package func submitGoAway(_ code: HTTP2ErrorCode, debug: String = "") {
    var debug = debug
    debug.withUTF8 {
      _ = nghttp2_submit_goaway(
        raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), lastProcessedStreamID, code.rawValue,
        $0.baseAddress, $0.count)
    }
  }
}
