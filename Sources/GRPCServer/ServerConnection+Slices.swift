import HTTP2

/// Long reads in parts. What is too much of something `PeerConduct` says, not this.
extension ServerConnection {
  /// Calls of ordinary sizes, a hundred at once, lie in a read that is shorter.
  static let sliceBytes = 8 << 10

  /// A long read, judged as it goes: a flood is cut off after its first few KiB, and what follows them
  /// is not even looked at.
  ///
  /// - Returns: As the session's `receive` does.
  @inline(never)
  func receiveInSlices(_ bytes: UnsafeRawBufferPointer) -> HTTP2Failure? {
    var rest = bytes
    while !rest.isEmpty, !isClosed, !closeAfterFlush {
      let slice = UnsafeRawBufferPointer(rebasing: rest.prefix(ServerConnection.sliceBytes))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(slice.count))
      if let failure = session.receive(slice, { handle($0) }) { return failure }
      if session.hasConduct { judgeConduct() }
    }
    return nil
  }
}
