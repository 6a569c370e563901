internal import CNGHTTP2

/// The streams of a session that are to be reset and whose own end is about to be sent. Those whose end
/// waits for window are not here: they are many when a client wants them to be, and are not looked at
/// before they move.
struct DueResets {
  /// Of `HTTP2StreamRef`: a stream can close meanwhile.
  private var refs = RawBuffer()
  private static let refBytes = MemoryLayout<HTTP2StreamRef>.stride

  var count: Int { refs.count / DueResets.refBytes }

  mutating func append(_ slot: UnsafeMutablePointer<StreamSlot>) {
    refs.append(DueResets.refBytes).storeBytes(of: HTTP2StreamRef(slot), as: HTTP2StreamRef.self)
  }

  /// To be called when there is nothing left that can be sent. Resets those whose end has been; one
  /// whose end was held up after all is put here again when that is framed.
  ///
  /// - Returns: Whether there were some.
  @inline(__always)
  mutating func submit(to session: OpaquePointer?) -> Bool {
    refs.isEmpty ? false : submitAll(to: session)
  }

  @inline(never)
  private mutating func submitAll(to session: OpaquePointer?) -> Bool {
    var didSubmit = false
    while !refs.isEmpty {
      let ref = refs.bytes.load(as: HTTP2StreamRef.self)
      refs.dropFirst(DueResets.refBytes)
      guard ref.isOpen, ref.slot.pointee.awaitsReset,
        nghttp2_session_get_stream_local_close(session, ref.slot.pointee.id) == 1
      else { continue }
      ref.slot.pointee.awaitsReset = false
      didSubmit = true
      nghttp2_submit_rst_stream(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), ref.slot.pointee.id,
        HTTP2ErrorCode.noError.rawValue)
    }
    refs.removeAll(keeping: 256)
    return didSubmit
  }

  mutating func deallocate() { refs.free() }
}
