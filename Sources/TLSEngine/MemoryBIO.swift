internal import COpenSSL

/// Where one session's ciphertext comes from and goes to: the caller's bytes, borrowed for the time of
/// one call, and the buffers that all sessions share. OpenSSL's own memory BIOs would copy both ways
/// once more and keep their memory while a connection is idle.
struct MemoryBIO {
  /// What of the present read OpenSSL has not taken.
  var source: UnsafeRawPointer?
  var remaining = 0
  let output: Unmanaged<TLSBuffers>
  /// Handshake messages of the peer's since the handshake ended: key updates, tickets, attempts to
  /// renegotiate.
  var lateMessages = 0
  /// How many of these are too many. Beyond it no more is read.
  var lateMessagesLimit = Int.max

  init(output: TLSBuffers) { self.output = .passUnretained(output) }

  /// The functions of every session's BIO. To be freed once no session uses it.
  static func makeMethod() -> OpaquePointer {
    let method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "quire")
    precondition(method != nil, "out of memory")
    BIO_meth_set_read(method) { bio, place, size in
      let state = MemoryBIO.state(of: bio)
      copenssl_bio_clear_retry(bio)
      let count = min(Int(size), state.pointee.remaining)
      if count <= 0 {
        // Not the end of the file: more may come.
        copenssl_bio_retry_read(bio)
        return -1
      }
      let source = state.pointee.source.unsafelyUnwrapped
      UnsafeMutableRawPointer(place.unsafelyUnwrapped).copyMemory(from: source, byteCount: count)
      state.pointee.source = source + count
      state.pointee.remaining -= count
      return CInt(count)
    }
    BIO_meth_set_write(method) { bio, bytes, size in
      copenssl_bio_clear_retry(bio)
      if size > 0 {
        MemoryBIO.state(of: bio).pointee.output._withUnsafeGuaranteedRef {
          $0.append(UnsafeRawPointer(bytes.unsafelyUnwrapped), Int(size))
        }
      }
      return size
    }
    // Everything but a flush, which has nothing to do, is refused.
    BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    return method!
  }

  private static func state(of bio: OpaquePointer?) -> UnsafeMutablePointer<MemoryBIO> {
    BIO_get_data(bio).assumingMemoryBound(to: MemoryBIO.self)
  }

  /// Has `ssl` read from and write to `state`, and counts its late handshake messages there. The BIO
  /// goes with `ssl`.
  static func attach(
    _ state: UnsafeMutablePointer<MemoryBIO>, to ssl: OpaquePointer, _ method: OpaquePointer
  ) {
    let bio = BIO_new(method)
    precondition(bio != nil, "out of memory")
    BIO_set_data(bio, state)
    BIO_set_init(bio, 1)
    SSL_set_bio(ssl, bio, bio)  // One reference serves for both directions.
    _ = copenssl_watch_messages(
      ssl,
      { isSent, _, kind, _, _, _, owner in
        guard isSent == 0, kind == SSL3_RT_HANDSHAKE, let owner else { return }
        let state = owner.assumingMemoryBound(to: MemoryBIO.self)
        guard state.pointee.lateMessagesLimit != .max else { return }
        state.pointee.lateMessages += 1
        // OpenSSL would go on to the end of what was read: a record of 27 bytes costs it a
        // derivation of keys.
        if state.pointee.lateMessages > state.pointee.lateMessagesLimit {
          state.pointee.remaining = 0
        }
      }, state)
  }
}
