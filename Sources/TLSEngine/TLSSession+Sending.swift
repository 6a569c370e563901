/// Ciphertext on its way out, the same for both ends of a connection. It never touches a socket.
extension TLSSession {
  /// Runs `body`, which calls methods of the session, and hands what they have to say to the peer to
  /// `write`: ciphertext that is gone when this returns.
  ///
  /// - Returns: What `body` does, and whether `write` could; true where there was nothing to say.
  package func sending<Result>(
    by write: (UnsafeRawBufferPointer) -> Bool, _ body: () -> Result
  ) -> (result: Result, isSent: Bool) {
    let buffers = context.buffers
    let mark = buffers.count
    let result = body()
    if buffers.count == mark { return (result, true) }
    defer { buffers.truncate(to: mark) }
    return (result, write(buffers.bytes(from: mark)))
  }
}
