internal import CUV

extension ByteStream {
  /// Connects to `address` and hands over the stream, or the reason why not, from the loop.
  ///
  /// The stream does not read yet: set its handler, then call `startReading()`.
  /// - Returns: The stream to be. Closing it ends the attempt: `completion` then gets ECANCELED.
  /// - Throws: What is known at once, e.g. a name that does not resolve.
  @discardableResult
  package static func connect(
    to address: ListenAddress, on loop: EventLoop,
    completion: @escaping (Result<ByteStream, UVError>) -> Void
  ) throws(UVError) -> ByteStream {
    let attempt = ConnectAttempt("connect to \(address)", completion)
    let stream: ByteStream
    switch address {
    case .tcp(let host, let port):
      let target = try SocketAddress.resolve(host: host, port: port)
      stream = ByteStream(on: loop, isTCP: true)
      attempt.stream = stream
      let status = SocketAddress.withPointer(target) {
        uv_tcp_connect(
          attempt.begin(),
          UnsafeMutableRawPointer(stream.raw).assumingMemoryBound(to: uv_tcp_t.self),
          $0, ConnectAttempt.callback)
      }
      if status < 0 {
        attempt.abandon()
        throw UVError(attempt.operation, code: status)
      }
    case .unix(let path):
      stream = ByteStream(on: loop, isTCP: false)
      attempt.stream = stream
      // This call reports every failure to the callback.
      uv_pipe_connect(
        attempt.begin(),
        UnsafeMutableRawPointer(stream.raw).assumingMemoryBound(to: uv_pipe_t.self),
        path, ConnectAttempt.callback)
    }
    return stream
  }
}

/// Lives from `begin()` to libuv's callback, which holds the only reference.
private final class ConnectAttempt {
  let operation: String
  var stream: ByteStream?
  private let completion: (Result<ByteStream, UVError>) -> Void
  private let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)

  init(_ operation: String, _ completion: @escaping (Result<ByteStream, UVError>) -> Void) {
    self.operation = operation
    self.completion = completion
  }

  deinit { request.deallocate() }

  func begin() -> UnsafeMutablePointer<uv_connect_t> {
    request.pointee.data = Unmanaged.passRetained(self).toOpaque()  // Taken by the callback.
    return request
  }

  /// libuv refused the request: its callback will not run.
  func abandon() {
    Unmanaged.passUnretained(self).release()
    stream?.close()
  }

  static let callback: @convention(c) (UnsafeMutablePointer<uv_connect_t>?, CInt) -> Void = {
    request, status in
    let attempt = Unmanaged<ConnectAttempt>.fromOpaque(request!.pointee.data).takeRetainedValue()
    attempt.finish(status)
  }

  private func finish(_ status: CInt) {
    guard let stream else { return }
    if status < 0 {
      stream.close()
      completion(.failure(UVError(operation, code: status)))
    } else {
      stream.disableNagle()
      completion(.success(stream))
    }
  }
}
