internal import CNGHTTP2
internal import Glibc

/// What nghttp2's callbacks see of a session: plain memory, no reference counts.
struct SessionState {
  /// nghttp2's session; set right after it was made.
  var raw: OpaquePointer?
  /// Window owed to the peer for streams that need none themselves.
  var connectionCredit = 0
  /// What the owner may want to judge the peer by.
  var conduct = HTTP2Conduct()
  /// Output bytes of all open streams that are not framed yet.
  var queuedOutput = 0
  /// Streams to be reset whose own end is on its way.
  var dueResets = DueResets()
  /// Where `drain` gathers frames, and how many bytes it wants there. Of the context, which the session keeps.
  let sink: Unmanaged<HTTP2Output>
  var sinkLimit = 0
  /// The payload of the DATA frame that nghttp2 is about to ask for, in its stream's output.
  var payload: UnsafeRawPointer?
  let isServer: Bool
  let expected: ExpectedFields
  var knownFields = KnownFields()
  let maxHeaderListBytes: Int
  let outputLowWaterBytes: Int
  let streams: UnsafeMutablePointer<StreamPool>
  var events: EventList?
  /// The stream of the latest callback; the next one is mostly for the same.
  var recent: UnsafeMutablePointer<StreamSlot>?
  /// The stream of the header block that is being received, or was last.
  var receiving: UnsafeMutablePointer<StreamSlot>?
  /// Open streams, most recent first.
  var open: UnsafeMutablePointer<StreamSlot>?
  var openCount = 0
  /// The last stream the peer will still take; nil = it has not sent GOAWAY.
  var goAwayLast: Int32?
  var closed = ClosedStreams()
  var frameCount: FrameCount

  static func openSlot(
    of state: UnsafeMutablePointer<SessionState>
  ) -> UnsafeMutablePointer<StreamSlot> {
    let slot = state.pointee.streams.pointee.take()
    slot.pointee.session = state
    slot.pointee.next = state.pointee.open
    state.pointee.open?.pointee.previous = slot
    state.pointee.open = slot
    state.pointee.openCount += 1
    return slot
  }

  mutating func closeSlot(_ slot: UnsafeMutablePointer<StreamSlot>) {
    if let previous = slot.pointee.previous {
      previous.pointee.next = slot.pointee.next
    } else {
      open = slot.pointee.next
    }
    slot.pointee.next?.pointee.previous = slot.pointee.previous
    if recent == slot { recent = nil }
    if receiving == slot { receiving = nil }
    openCount -= 1
    queuedOutput -= slot.pointee.output.count
    streams.pointee.give(slot)
  }

  @inline(__always)
  mutating func slot(_ session: OpaquePointer?, _ id: Int32) -> UnsafeMutablePointer<StreamSlot>? {
    if let recent, recent.pointee.id == id { return recent }
    guard let user = nghttp2_session_get_stream_user_data(session, id) else { return nil }
    let slot = user.assumingMemoryBound(to: StreamSlot.self)
    recent = slot
    return slot
  }

  /// Callbacks run inside `receive` and `drain` only, which provide the list.
  @inline(__always)
  mutating func emit(_ event: HTTP2Event) { events!.append(event) }
}

private typealias State = UnsafeMutablePointer<SessionState>

@inline(__always)
private func state(_ user: UnsafeMutableRawPointer?) -> State {
  user.unsafelyUnwrapped.assumingMemoryBound(to: SessionState.self)
}

@inline(__always)
private func header(_ frame: UnsafePointer<nghttp2_frame>?) -> UnsafePointer<nghttp2_frame_hd> {
  // A union whose every member begins with the frame header.
  UnsafeRawPointer(frame.unsafelyUnwrapped).assumingMemoryBound(to: nghttp2_frame_hd.self)
}

/// The callbacks only note what happened. Nothing is decided and nothing is sent in here.
func installCallbacks(_ callbacks: OpaquePointer) {
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { session, frame, user in
    let isNew =
      frame.unsafelyUnwrapped.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
      && header(frame).pointee.type == UInt8(NGHTTP2_HEADERS.rawValue)
    return beginHeaders(session, header(frame).pointee.stream_id, isNew: isNew, state(user))
  }
  nghttp2_session_callbacks_set_on_header_callback2(callbacks) { _, _, name, value, _, user in
    receivedField(name.unsafelyUnwrapped, value.unsafelyUnwrapped, state(user))
  }
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
    session, _, id, base, count, user in
    let state = state(user)
    if let slot = state.pointee.slot(session, id) {
      slot.pointee.unconsumed += count
      state.pointee.emit(HTTP2Event(data: base.unsafelyUnwrapped, count, slot))
    }
    return 0
  }
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { session, frame, user in
    receivedFrame(session, frame, state(user))
  }
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, frame, code, user in
    let state = state(user)
    // What else is on its way on the stream was sent before the peer knew.
    state.pointee.closed.noteCutShort(header(frame).pointee.stream_id)
    if code == NGHTTP2_ERR_REFUSED_STREAM.rawValue {
      state.pointee.conduct.refusedStream()
    } else {
      state.pointee.conduct.uselessFrame()
    }
    return 0
  }
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { session, id, code, user in
    let state = state(user)
    guard let slot = state.pointee.slot(session, id) else { return 0 }
    if !slot.pointee.peerEnded { state.pointee.closed.noteCutShort(id) }
    var event = HTTP2Event(.closed, slot)
    // A request the peer's GOAWAY kept from being sent closes with an error of nghttp2's choice.
    let isRefused = state.pointee.goAwayLast.map { !state.pointee.isServer && id > $0 } ?? false
    event.errorCode = isRefused ? .refusedStream : HTTP2ErrorCode(rawValue: code)
    state.pointee.emit(event)
    state.pointee.recent = nil
    return 0
  }
  nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, header, count, _, user in
    putFrame(header.unsafelyUnwrapped, count, state(user))
  }
}

private func beginHeaders(
  _ session: OpaquePointer?, _ id: Int32, isNew: Bool, _ state: State
) -> CInt {
  if !isNew, let slot = state.pointee.slot(session, id) {
    state.pointee.receiving = slot
    slot.pointee.fieldBlockStart = slot.pointee.fields.count
    slot.pointee.status = 0
    slot.pointee.keepsNoFields = state.pointee.isServer
    return 0
  }
  // A client knows its streams; fields of any other belong to nobody.
  state.pointee.recent = nil
  state.pointee.receiving = nil
  if !state.pointee.isServer { return 0 }
  let slot = SessionState.openSlot(of: state)
  slot.pointee.id = id
  state.pointee.closed.lastOpened = id
  nghttp2_session_set_stream_user_data(session, id, slot)
  state.pointee.recent = slot
  state.pointee.receiving = slot
  return 0
}

/// Header blocks are not interleaved, so the field belongs to the stream of `beginHeaders`, whatever
/// other streams end between two reads of one block.
@inline(__always)
private func receivedField(
  _ name: OpaquePointer, _ value: OpaquePointer, _ state: State
) -> CInt {
  guard let slot = state.pointee.receiving else { return 0 }
  if let known = state.pointee.knownFields.find(name, value) {
    let listBytes = slot.pointee.headerListBytes &+ Int(known.pointee.listBytes)
    if listBytes <= state.pointee.maxHeaderListBytes {
      slot.pointee.headerListBytes = listBytes
      slot.pointee.expected |= known.pointee.bit
      return 0
    }
  }
  return keepField(name, value, slot, state)
}

@inline(never)
private func keepField(
  _ name: OpaquePointer, _ value: OpaquePointer, _ slot: UnsafeMutablePointer<StreamSlot>,
  _ state: State
) -> CInt {
  let nameBytes = nghttp2_rcbuf_get_buf(name)
  let valueBytes = nghttp2_rcbuf_get_buf(value)
  let (nameBase, valueBase) = (nameBytes.base.unsafelyUnwrapped, valueBytes.base.unsafelyUnwrapped)
  let (nameCount, valueCount) = (nameBytes.len, valueBytes.len)
  slot.pointee.headerListBytes &+= nameCount &+ valueCount &+ 32
  if slot.pointee.headerListBytes > state.pointee.maxHeaderListBytes {
    slot.pointee.fieldsTooLarge = true
    // A small block can unpack to megabytes: beyond four times the limit nghttp2 resets the stream
    // and decodes the rest without telling us.
    if slot.pointee.headerListBytes <= 4 &* state.pointee.maxHeaderListBytes { return 0 }
    state.pointee.conduct.controlFrames &+= HTTP2Conduct.framesOfBomb
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
  }
  if state.pointee.isServer {
    let bit = state.pointee.expected.bit(nameBase, nameCount, valueBase, valueCount)
    if bit != 0 {
      slot.pointee.expected |= bit
      // What is remembered is retained, and in nobody's budget.
      if bit & state.pointee.expected.steady != 0, nameCount + valueCount <= KnownFields.longest {
        state.pointee.knownFields.remember(
          name, value, bit: bit, listBytes: nameCount + valueCount + 32)
      }
      return 0
    }
  } else if nameCount == 7, nameBase[0] == 0x3A {  // ":status"
    slot.pointee.status = UnsafeBufferPointer(start: valueBase, count: valueCount).reduce(0) {
      $0 &* 10 &+ Int($1 & 15)
    }
  }
  if slot.pointee.keepsNoFields { return 0 }
  // ":path" is the only pseudo-header of this length.
  if nameCount == 5, nameBase[0] == 0x3A { slot.pointee.pathStart = slot.pointee.fields.count }
  let place = slot.pointee.fields.append(8 &+ nameCount &+ valueCount)
  place.storeBytes(of: UInt32(truncatingIfNeeded: nameCount), as: UInt32.self)
  place.storeBytes(of: UInt32(truncatingIfNeeded: valueCount), toByteOffset: 4, as: UInt32.self)
  memcpy(place + 8, nameBase, nameCount)
  memcpy(place + 8 + nameCount, valueBase, valueCount)
  return 0
}

private func receivedFrame(
  _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ state: State
) -> CInt {
  let header = header(frame)
  let ends = header.pointee.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
  state.pointee.conduct.ignoredFrames &-= 1
  switch UInt32(header.pointee.type) {
  case NGHTTP2_DATA.rawValue:
    guard let slot = state.pointee.slot(session, header.pointee.stream_id) else { return 0 }
    if ends {
      slot.pointee.peerEnded = true
      state.pointee.events!.endStream(of: slot)
    } else if header.pointee.length == frame.unsafelyUnwrapped.pointee.data.padlen {
      // Empty, or padding and nothing else.
      state.pointee.conduct.uselessFrames &+= 1  // One less to be ignored, above.
    }
  case NGHTTP2_HEADERS.rawValue:
    guard let slot = state.pointee.slot(session, header.pointee.stream_id) else { return 0 }
    if ends { slot.pointee.peerEnded = true }
    let start = slot.pointee.fieldBlockStart
    if (100..<200).contains(slot.pointee.status) {
      slot.pointee.fields.dropLast(slot.pointee.fields.count - start)
      return 0
    }
    let isFirst =
      state.pointee.isServer
      ? frame.unsafelyUnwrapped.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
      : slot.pointee.status != 0
    var event = HTTP2Event(
      isFirst ? .headers : .trailers, slot, fieldsFrom: start, to: slot.pointee.fields.count)
    event.endsStream = ends
    event.fieldsTooLarge = slot.pointee.fieldsTooLarge
    event.value = UInt64(state.pointee.isServer ? Int(slot.pointee.expected) : slot.pointee.status)
    state.pointee.emit(event)
  case NGHTTP2_SETTINGS.rawValue:
    let isAck = header.pointee.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0
    if !isAck { state.pointee.conduct.controlFrames &+= 1 }
    state.pointee.emit(HTTP2Event(isAck ? .settingsAcknowledged : .settings, nil))
  case NGHTTP2_PING.rawValue:
    let isAck = header.pointee.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0
    if isAck {
      state.pointee.conduct.controlFrames &+= 1
    } else {
      state.pointee.conduct.pings &+= 1
    }
    var event = HTTP2Event(isAck ? .pingAcknowledged : .ping, nil)
    event.value = withUnsafeBytes(of: frame.unsafelyUnwrapped.pointee.ping.opaque_data) {
      $0.loadUnaligned(as: UInt64.self)
    }
    state.pointee.emit(event)
  case NGHTTP2_GOAWAY.rawValue:
    state.pointee.conduct.controlFrames &+= 1
    let goAway = frame.unsafelyUnwrapped.pointee.goaway
    state.pointee.goAwayLast = goAway.last_stream_id
    var event = HTTP2Event(.goAway, nil)
    event.errorCode = HTTP2ErrorCode(rawValue: goAway.error_code)
    event.value = UInt64(goAway.last_stream_id)
    state.pointee.emit(event)
  case NGHTTP2_WINDOW_UPDATE.rawValue: state.pointee.conduct.windowUpdates &+= 1
  case NGHTTP2_RST_STREAM.rawValue:
    // nghttp2 counts these itself. The peer has no more to say.
    state.pointee.closed.hasSeenReset = true
    state.pointee.slot(session, header.pointee.stream_id)?.pointee.peerEnded = true
  default: state.pointee.conduct.controlFrames &+= 1
  }
  return 0
}

extension EventList {
  /// Marks the last event as the stream's end when it is its data, and says so by itself otherwise.
  @inline(__always)
  fileprivate mutating func endStream(of slot: UnsafeMutablePointer<StreamSlot>) {
    if count > 0, base[count - 1].kind == .data, base[count - 1].slotOrNil == slot {
      base[count - 1].endsStream = true
    } else {
      var event = HTTP2Event(.ended, slot)
      event.endsStream = true
      append(event)
    }
  }
}

/// DATA of so many bytes goes to the sink without a stay in nghttp2's memory: of fewer, a copy costs about as much
/// as the callback that it saves.
private let leastUncopied = 1_024

extension SessionState {
  /// After a frame that it did not copy nghttp2 does not return but takes the next one. So behind the limit frames
  /// are copied, which makes it return.
  @inline(__always)
  fileprivate var sinkHasRoom: Bool {
    sink._withUnsafeGuaranteedRef { $0.buffer.count } < sinkLimit
  }
}

/// Puts a DATA frame that nghttp2 did not copy into the sink.
private func putFrame(_ header: UnsafePointer<UInt8>, _ count: Int, _ state: State) -> CInt {
  guard let payload = state.pointee.payload else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  state.pointee.payload = nil
  state.pointee.conduct.payloadFrames &+= 1
  let place = state.pointee.sink._withUnsafeGuaranteedRef {
    $0.buffer.append(frameHeaderBytes + count)
  }
  place.copyMemory(from: header, byteCount: frameHeaderBytes)
  (place + frameHeaderBytes).copyMemory(from: payload, byteCount: count)
  return 0
}

private let frameHeaderBytes = 9

/// Fills a DATA frame from the stream's queued output. Trailers follow the last byte.
func readOutput(
  _ session: OpaquePointer?, _ id: Int32, _ place: UnsafeMutablePointer<UInt8>?, _ room: Int,
  _ flags: UnsafeMutablePointer<UInt32>?, _ source: UnsafeMutablePointer<nghttp2_data_source>?,
  _ user: UnsafeMutableRawPointer?
) -> Int {
  let slot = source.unsafelyUnwrapped.pointee.ptr.unsafelyUnwrapped
    .assumingMemoryBound(to: StreamSlot.self)
  guard slot.pointee.id == id else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
  let count = min(room, slot.pointee.output.count)
  if count > 0 {
    let state = state(user)
    state.pointee.payload = nil
    let bytes = UnsafeRawPointer(slot.pointee.output.bytes.baseAddress.unsafelyUnwrapped)
    if count >= leastUncopied, state.pointee.sinkHasRoom {
      // They stay where they are until something is added to the output, and `putFrame` is called before.
      state.pointee.payload = bytes
      flags.unsafelyUnwrapped.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_COPY.rawValue)
    } else {
      UnsafeMutableRawPointer(place.unsafelyUnwrapped).copyMemory(from: bytes, byteCount: count)
    }
    slot.pointee.output.dropFirst(count)
    slot.pointee.framedBytes &+= count
    state.pointee.queuedOutput -= count
    if slot.pointee.wantsDrained,
      slot.pointee.output.count <= state.pointee.outputLowWaterBytes
    {
      slot.pointee.wantsDrained = false
      state.pointee.emit(HTTP2Event(.drained, slot))
    }
  }
  if !slot.pointee.output.isEmpty { return count }
  guard slot.pointee.outputEnded else {
    if count > 0 { return count }
    slot.pointee.isDeferred = true
    return Int(NGHTTP2_ERR_DEFERRED.rawValue)
  }
  flags.unsafelyUnwrapped.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
  if slot.pointee.awaitsReset { state(user).pointee.dueResets.append(slot) }
  guard let trailers = slot.pointee.trailers else { return count }
  flags.unsafelyUnwrapped.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue)
  let status = trailers._withUnsafeGuaranteedRef { list in
    let (vectors, vectorCount) = list.prepared
    return nghttp2_submit_trailer(session, id, vectors, vectorCount)
  }
  slot.pointee.dropTrailers()
  return status == 0 ? count : Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
}
