internal import CUV
internal import Glibc

/// Receives what happens on a `ByteStream`. The stream keeps it alive until `close()`.
package protocol ByteStreamHandler: AnyObject {
  /// Bytes arrived. They lie in the loop's read buffer and are gone when this returns.
  func streamDidRead(_ bytes: UnsafeRawBufferPointer)
  /// The peer will send no more (nil), or reading or writing failed. The stream is still to be closed.
  func streamDidEnd(_ error: UVError?)
  /// The write queue is empty after having held something.
  func streamDidDrain()
}

/// One connected TCP or Unix stream.
///
/// Closing is explicit. `close()` keeps the object alive until libuv has let go of the handle.
package final class ByteStream {
  package let loop: EventLoop
  package var handler: (any ByteStreamHandler)?
  package private(set) var isClosed = false

  private let memory: UnsafeMutableRawPointer
  /// What comes is handed over, now or at the end of the turn.
  package private(set) var isReading = false
  /// Not read until its turn comes, though `isReading`.
  private var isPaused = false
  /// Set by the first read that filled the buffer.
  private var turn: BulkReading.Turn?
  /// The next read is one that was waited for.
  private var isBulk = false
  private var readBegan: UInt64 = 0
  private let isTCP: Bool

  var raw: UnsafeMutablePointer<uv_stream_t> {
    memory.assumingMemoryBound(to: uv_stream_t.self)
  }
  var pipe: UnsafeMutablePointer<uv_pipe_t> { memory.assumingMemoryBound(to: uv_pipe_t.self) }

  init(on loop: EventLoop, isTCP: Bool) {
    self.loop = loop
    self.isTCP = isTCP
    memory = .allocate(
      byteCount: max(MemoryLayout<uv_tcp_t>.size, MemoryLayout<uv_pipe_t>.size), alignment: 16)
    if isTCP {
      uv_tcp_init(loop.raw, memory.assumingMemoryBound(to: uv_tcp_t.self))
    } else {
      uv_pipe_init(loop.raw, memory.assumingMemoryBound(to: uv_pipe_t.self), 0)
    }
    raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
  }

  deinit {
    turn?.resume = nil
    if !isClosed {
      raw.pointee.data = nil  // Nobody is left for the close callback to release.
      ByteStream.beginClose(raw)
    }
  }

  /// Closes at once; queued bytes that the kernel has not taken are dropped. No callback follows.
  package func close() {
    if isClosed { return }
    isClosed = true
    handler = nil
    turn?.resume = nil
    _ = Unmanaged.passRetained(self)  // Released by the close callback.
    ByteStream.beginClose(raw)
  }

  private static func beginClose(_ raw: UnsafeMutablePointer<uv_stream_t>) {
    uv_close(handlePointer(raw)) { handle in
      let owner = handle!.pointee.data
      UnsafeMutableRawPointer(handle!).deallocate()
      if let owner { Unmanaged<ByteStream>.fromOpaque(owner).release() }
    }
  }

  /// Sends what is written at once instead of waiting to fill a segment. Nothing on Unix sockets.
  func disableNagle() {
    if isTCP { uv_tcp_nodelay(memory.assumingMemoryBound(to: uv_tcp_t.self), 1) }
  }

  /// The process that connected to a Unix socket, or that listens there; nil over TCP.
  package var peerCredentials: PeerCredentials? {
    isTCP ? nil : descriptor.map { PeerCredentials(of: $0) } ?? nil
  }

  /// The peer's address; for a Unix socket `unix:pid=17,uid=1000,gid=1000`.
  package var peerAddress: String {
    if isClosed { return "unknown" }
    if !isTCP { return peerCredentials.map { "unix:\($0)" } ?? "unix:" }
    var storage = sockaddr_storage()
    var length = CInt(MemoryLayout<sockaddr_storage>.size)
    let status = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        uv_tcp_getpeername(memory.assumingMemoryBound(to: uv_tcp_t.self), $0, &length)
      }
    }
    return status == 0 ? SocketAddress.text(of: storage) : "unknown"
  }

  // MARK: Reading

  package func startReading() {
    if isReading || isClosed { return }
    isReading = true
    if !isPaused { beginReading() }
  }

  private func beginReading() {
    let status = uv_read_start(
      raw,
      { handle, _, buffer in
        let shared = EventLoop.owner(of: handle!.pointee.loop).readBuffer
        Unmanaged<ByteStream>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef {
          if $0.isBulk { $0.readBegan = EventLoop.clock }
        }
        buffer!.pointee = uv_buf_t(
          base: shared.baseAddress!.assumingMemoryBound(to: CChar.self), len: shared.count)
      },
      { stream, count, buffer in
        Unmanaged<ByteStream>.fromOpaque(stream!.pointee.data)._withUnsafeGuaranteedRef {
          $0.didRead(count, buffer!.pointee.base)
        }
      })
    if status < 0 { handler?.streamDidEnd(UVError("read", code: status)) }
  }

  package func stopReading() {
    if !isReading || isClosed { return }
    isReading = false
    uv_read_stop(raw)
  }

  /// Lets the other streams have their turn: libuv would go on to read 32 times from one that always
  /// has more.
  @inline(never)
  private func pause() {
    uv_read_stop(raw)
    isPaused = true
    // Emptied by `close` and `deinit`.
    let turn = turn ?? BulkReading.Turn { [unowned self] in resume() }
    self.turn = turn
    loop.waitForTurn(turn)
  }

  private func resume() {
    isPaused = false
    isBulk = true
    if isReading { beginReading() }
  }

  private func didRead(_ count: Int, _ base: UnsafeMutablePointer<CChar>?) {
    if count > 0 {
      let wasBulk = isBulk
      isBulk = false
      // Before the handler, which may stop or close.
      if count == EventLoop.readBytes { pause() }
      handler?.streamDidRead(UnsafeRawBufferPointer(start: base, count: count))
      if wasBulk {
        loop.bulk.took(EventLoop.clock &- readBegan)
      } else if count < EventLoop.readBytes {
        loop.bulk.othersDidRead()
      }
    } else if count < 0 {
      stopReading()
      let isEnd = count == Int(UV_EOF.rawValue)
      handler?.streamDidEnd(isEnd ? nil : UVError("read", code: CInt(count)))
    }
  }

  // MARK: Writing

  /// Bytes that `write` accepted in all. Wraps around, as the next two do.
  package private(set) var writtenBytes = 0
  /// Those that the kernel has taken.
  package var takenBytes: Int { writtenBytes &- writeQueueSize }
  /// Those that have arrived: over TCP those that the other side has acknowledged, over a Unix socket,
  /// somewhat fewer while it has any to read, those that were read. A system call.
  package var deliveredBytes: Int {
    guard let descriptor else { return takenBytes }
    return takenBytes &- Int(cuv_unsent_bytes(descriptor))
  }

  /// Something has come that was not read. A system call.
  package var hasUnread: Bool { descriptor.map { cuv_unread_bytes($0) > 0 } ?? false }

  private var descriptor: uv_os_fd_t? {
    var found: uv_os_fd_t = -1
    return isClosed || uv_fileno(handlePointer(raw), &found) < 0 ? nil : found
  }

  /// Bytes accepted by `write` and not yet by the kernel.
  package var writeQueueSize: Int { isClosed ? 0 : raw.pointee.write_queue_size }

  /// Sends `bytes` in order after all that was written before. What the kernel does not take at once
  /// is copied and queued.
  ///
  /// - Returns: False when the stream is dead; the owner should close it. `streamDidEnd` is not
  ///   called from in here.
  package func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if isClosed { return false }
    var rest = bytes
    if rest.isEmpty { return true }
    writtenBytes &+= rest.count
    if raw.pointee.write_queue_size == 0 {
      var buffer = uv_buf_t(
        base: UnsafeMutablePointer(mutating: rest.baseAddress!.assumingMemoryBound(to: CChar.self)),
        len: rest.count)
      let written = uv_try_write(raw, &buffer, 1)
      if written == CInt(rest.count) { return true }
      if written >= 0 {
        rest = UnsafeRawBufferPointer(rebasing: rest[Int(written)...])
      } else if written != UV_EAGAIN.rawValue {
        return false
      }
    }
    return queue(rest)
  }

  private func queue(_ bytes: UnsafeRawBufferPointer) -> Bool {
    // One allocation holds the request and, behind it, the bytes it owns until its callback.
    let offset = (MemoryLayout<uv_write_t>.size + 15) & ~15
    let block = UnsafeMutableRawPointer.allocate(byteCount: offset + bytes.count, alignment: 16)
    let payload = block + offset
    payload.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    let request = block.bindMemory(to: uv_write_t.self, capacity: 1)
    request.pointee.data = Unmanaged.passRetained(self).toOpaque()  // Taken back by the callback.
    var buffer = uv_buf_t(base: payload.assumingMemoryBound(to: CChar.self), len: bytes.count)
    let status = uv_write(request, raw, &buffer, 1) { request, status in
      let stream = Unmanaged<ByteStream>.fromOpaque(request!.pointee.data).takeRetainedValue()
      UnsafeMutableRawPointer(request!).deallocate()
      stream.didWrite(status)
    }
    if status < 0 {
      Unmanaged.passUnretained(self).release()  // The callback will not run.
      block.deallocate()
      return false
    }
    return true
  }

  private func didWrite(_ status: CInt) {
    if isClosed { return }
    if status < 0 {
      handler?.streamDidEnd(UVError("write", code: status))
    } else if raw.pointee.write_queue_size == 0 {
      handler?.streamDidDrain()
    }
  }
}
