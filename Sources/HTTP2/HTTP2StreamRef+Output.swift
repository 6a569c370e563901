internal import CNGHTTP2

/// What an owner does to its streams. All of it works on plain memory: a call costs no reference
/// counting. On a stream that has closed, each of these does nothing.
extension HTTP2StreamRef {
  /// Answers a request. Without `endsStream`, the queued output follows, now or later.
  public func submitResponse(_ fields: HTTP2FieldList, endsStream: Bool) {
    guard isOpen else { return }
    let raw = slot.pointee.session.unsafelyUnwrapped.pointee.raw
    let (vectors, count) = fields.prepared
    let status: CInt
    if endsStream {
      slot.pointee.outputEnded = true
      status = nghttp2_submit_response(raw, slot.pointee.id, vectors, count, nil)
    } else {
      var provider = dataProvider(slot)
      status = nghttp2_submit_response(raw, slot.pointee.id, vectors, count, &provider)
    }
    // What nghttp2 refuses here is our own malformed field; the peer must not wait for ever.
    if status != 0 { reset(.internalError) }
  }

  /// The peer's window of the stream, or of the connection, is closed.
  package var isHeldByWindow: Bool {
    guard isOpen else { return false }
    let raw = slot.pointee.session.unsafelyUnwrapped.pointee.raw
    return nghttp2_session_get_stream_remote_window_size(raw, slot.pointee.id) <= 0
      || nghttp2_session_get_remote_window_size(raw) <= 0
  }

  /// Room for `byteCount` more bytes of output, to be filled before anything else happens; nil when
  /// the stream is closed or its output has ended.
  @inline(__always)
  public func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    guard isOpen, !slot.pointee.outputEnded else { return nil }
    let place = slot.pointee.output.append(byteCount)
    slot.pointee.session.unsafelyUnwrapped.pointee.queuedOutput += byteCount
    if slot.pointee.isDeferred { resume() }
    return place
  }

  /// Takes back the last `byteCount` bytes reserved, as long as nothing was drained since.
  public func unreserve(_ byteCount: Int) {
    guard isOpen else { return }
    slot.pointee.output.dropLast(byteCount)
    // What was taken back may have been megabytes, and nobody counts memory that is empty.
    if slot.pointee.output.isEmpty { slot.pointee.output.removeAll(keeping: 0) }
    slot.pointee.session.unsafelyUnwrapped.pointee.queuedOutput -= byteCount
  }

  /// The last `byteCount` bytes that were reserved, as long as nothing was drained since; nil when the
  /// stream is closed.
  public func queuedEnd(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    guard isOpen, byteCount <= slot.pointee.output.count else { return nil }
    return slot.pointee.output.base.map { $0 + slot.pointee.output.tail - byteCount }
  }

  /// Ends our side after the queued output: with trailers, or with the last DATA.
  public func finish(trailers: HTTP2FieldList?) {
    guard isOpen, !slot.pointee.outputEnded else { return }
    slot.pointee.outputEnded = true
    if let trailers {
      // A retain is taken back by `dropTrailers`.
      slot.pointee.trailers =
        trailers.isConstant ? .passUnretained(trailers) : .passRetained(trailers)
    }
    if slot.pointee.isDeferred { resume() }
  }

  /// Asks for one `drained` event when the queued output has fallen to the low-water mark.
  public func notifyWhenDrained() {
    guard isOpen else { return }
    slot.pointee.wantsDrained = true
  }

  public func reset(_ code: HTTP2ErrorCode) {
    guard isOpen else { return }
    slot.pointee.wasReset = true
    // Fails for a stream that is closed already, which is what was wanted.
    nghttp2_submit_rst_stream(
      slot.pointee.session.unsafelyUnwrapped.pointee.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue),
      slot.pointee.id, code.rawValue)
  }

  /// Resets the stream with NO_ERROR once our end of it has been sent, unless the peer has ended too:
  /// it should stop sending what nobody will read.
  public func resetWhenEnded() {
    guard isOpen, !slot.pointee.peerEnded, !slot.pointee.awaitsReset else { return }
    slot.pointee.awaitsReset = true
    // Behind queued output the end will be seen when it is framed.
    if slot.pointee.outputEnded, slot.pointee.output.isEmpty {
      slot.pointee.session.unsafelyUnwrapped.pointee.dueResets.append(slot)
    }
  }

  /// Gives `byteCount` received bytes back to the peer's windows.
  public func consume(_ byteCount: Int) {
    guard isOpen else { return }
    precondition(byteCount <= slot.pointee.unconsumed, "consumed more than was received")
    slot.pointee.unconsumed -= byteCount
    let session = slot.pointee.session.unsafelyUnwrapped
    if slot.pointee.peerEnded {
      session.pointee.connectionCredit += byteCount  // The stream itself needs no more window.
    } else {
      // Fails only when the session is already lost, which mem_send reports.
      nghttp2_session_consume(session.pointee.raw, slot.pointee.id, byteCount)
    }
  }

  private func resume() {
    slot.pointee.isDeferred = false
    // Fails for a stream that is closed; its `closed` event is on its way.
    nghttp2_session_resume_data(
      slot.pointee.session.unsafelyUnwrapped.pointee.raw, slot.pointee.id)
  }
}

@inline(__always)
func dataProvider(_ slot: UnsafeMutablePointer<StreamSlot>) -> nghttp2_data_provider {
  nghttp2_data_provider(
    source: nghttp2_data_source(ptr: UnsafeMutableRawPointer(slot)),
    read_callback: { readOutput($0, $1, $2, $3, $4, $5, $6) })
}
