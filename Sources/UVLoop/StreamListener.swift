internal import CUV
internal import Glibc

/// Accepts TCP or Unix connections and hands them over as `ByteStream`s that do not read yet.
///
/// Out of descriptors, libuv gives up a spare one to accept and drop what waits, so that the loop
/// does not spin; such failures are counted. Closing a Unix listener removes its path.
package final class StreamListener {
  /// Where it really listens, with the port the system chose.
  package private(set) var address: String
  package private(set) var failedAccepts = 0

  private let loop: EventLoop
  private let memory: UnsafeMutableRawPointer
  private let isTCP: Bool
  private var isClosed = false
  /// A Unix socket's path and the file that was made there.
  private var file: (path: String, identity: FileIdentity)?
  private let onAccept: (ByteStream) -> Void

  private var raw: UnsafeMutablePointer<uv_stream_t> {
    memory.assumingMemoryBound(to: uv_stream_t.self)
  }

  /// Listens from now on.
  ///
  /// A Unix path that exists is taken over only if it is a socket to which nobody answers.
  /// - Parameter unixMode: A Unix path's permissions; to connect is to write. Nobody who may not
  ///   connect could have done so before they were set.
  package init(
    on loop: EventLoop, at wanted: ListenAddress, backlog: Int32 = 511, unixMode: UInt32 = 0o600,
    onAccept: @escaping (ByteStream) -> Void
  ) throws(UVError) {
    self.loop = loop
    self.onAccept = onAccept
    address = wanted.description
    memory = .allocate(
      byteCount: max(MemoryLayout<uv_tcp_t>.size, MemoryLayout<uv_pipe_t>.size), alignment: 16)
    let tcp = memory.assumingMemoryBound(to: uv_tcp_t.self)
    let pipe = memory.assumingMemoryBound(to: uv_pipe_t.self)
    // From here on a throw runs deinit, which closes the handle.
    switch wanted {
    case .tcp(let host, let port):
      isTCP = true
      uv_tcp_init(loop.raw, tcp)
      let target = try SocketAddress.resolve(host: host, port: port)
      try UVError.check(
        SocketAddress.withPointer(target) { uv_tcp_bind(tcp, $0, 0) }, "bind \(wanted)")
    case .unix(let path):
      isTCP = false
      uv_pipe_init(loop.raw, pipe, 0)
      let descriptor = try StreamListener.open(pipe)
      file = (path, try UnixSocket.bind(descriptor, path: path, mode: unixMode))
    case .abstract:
      isTCP = false
      uv_pipe_init(loop.raw, pipe, 0)
      let descriptor = try StreamListener.open(pipe)
      try UVError.check(UnixSocket.bind(descriptor, wanted), "bind \(wanted)")
    }
    raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    try UVError.check(
      uv_listen(raw, backlog) { server, status in
        Unmanaged<StreamListener>.fromOpaque(server!.pointee.data).takeUnretainedValue()
          .didConnect(status)
      }, "listen on \(wanted)")
    if isTCP {
      var storage = sockaddr_storage()
      var length = CInt(MemoryLayout<sockaddr_storage>.size)
      let status = withUnsafeMutablePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          uv_tcp_getsockname(tcp, $0, &length)
        }
      }
      try UVError.check(status, "read back the address of \(wanted)")
      address = SocketAddress.text(of: storage)
    }
  }

  /// A socket of the pipe's own, closed with it.
  private static func open(_ pipe: UnsafeMutablePointer<uv_pipe_t>) throws(UVError) -> CInt {
    let descriptor = try UnixSocket.make()
    let status = uv_pipe_open(pipe, descriptor)
    if status < 0 {
      Glibc.close(descriptor)
      throw UVError("make a Unix socket", code: status)
    }
    return descriptor
  }

  deinit { close() }

  /// Stops accepting. Connections that were accepted live on.
  package func close() {
    if isClosed { return }
    isClosed = true
    // Unless a successor has put its own there.
    if let file, FileIdentity(ofSocket: file.path) == file.identity { unlink(file.path) }
    uv_close(handlePointer(raw)) { UnsafeMutableRawPointer($0!).deallocate() }
  }

  private func didConnect(_ status: CInt) {
    if isClosed { return }
    if status < 0 {
      failedAccepts += 1
      return
    }
    let stream = ByteStream(on: loop, isTCP: isTCP)
    if uv_accept(raw, stream.raw) < 0 {
      failedAccepts += 1
      stream.close()
      return
    }
    stream.disableNagle()
    onAccept(stream)
  }
}
