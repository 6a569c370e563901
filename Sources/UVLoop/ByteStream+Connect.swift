internal import CUV
internal import Glibc

extension ByteStream {
  /// Connects to `address` and hands over the stream, or the reason why not, from the loop.
  ///
  /// A name is looked up on one of libuv's threads, so the loop goes on meanwhile; its addresses are
  /// tried in the order in which the system gives them, until one answers. The stream does not read
  /// yet: set its handler, then call `startReading()`.
  /// - Returns: The attempt, which can be cancelled. It need not be kept.
  /// - Throws: What is known at once.
  @discardableResult
  package static func connect(
    to address: ListenAddress, on loop: EventLoop,
    completion: @escaping (Result<ByteStream, UVError>) -> Void
  ) throws(UVError) -> ConnectAttempt {
    let attempt = ConnectAttempt(on: loop, "connect to \(address)", completion)
    switch address {
    case .tcp(let host, let port):
      if let numeric = SocketAddress.numeric(host: host, port: port) {
        try attempt.start(with: [numeric])
      } else {
        try attempt.start(with: host, port: port)
      }
    case .unix(let path): attempt.start(withPath: path)
    case .abstract(let name): try attempt.start(withAbstract: name)
    }
    return attempt
  }
}

/// One attempt to connect, from the look-up of the name to the stream. libuv's pending request holds
/// the only reference that is needed.
package final class ConnectAttempt {
  private let loop: EventLoop
  private let operation: String
  private let completion: (Result<ByteStream, UVError>) -> Void
  private var isCancelled = false

  private var lookup: UnsafeMutablePointer<uv_getaddrinfo_t>?
  /// Not tried yet; the next is the last.
  private var addresses: [sockaddr_storage] = []
  /// Its socket is not connected yet.
  private var stream: ByteStream?
  private var timer: LoopTimer?
  private let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)

  /// A name's address that does not answer gets this long while there are others to try: a network
  /// without IPv6 may drop its packets.
  private static let patienceNanoseconds: UInt64 = 3_000_000_000
  /// More addresses of a name are not tried.
  private static let addressesLimit = 16

  init(
    on loop: EventLoop, _ operation: String,
    _ completion: @escaping (Result<ByteStream, UVError>) -> Void
  ) {
    self.loop = loop
    self.operation = operation
    self.completion = completion
  }

  deinit { request.deallocate() }

  /// Ends the attempt; unless it has ended, its completion gets ECANCELED, from the loop.
  package func cancel() {
    isCancelled = true
    stream?.close()
    if let lookup {
      // Fails when a thread is at work on it; its result is then dropped.
      _ = uv_cancel(
        UnsafeMutableRawPointer(lookup).assumingMemoryBound(to: uv_req_t.self))
    }
  }

  private func fail(_ code: CInt, _ operation: String? = nil) {
    let code = isCancelled ? UV_ECANCELED.rawValue : code
    completion(.failure(UVError(operation ?? self.operation, code: code)))
  }

  // MARK: Names

  func start(with host: String, port: UInt16) throws(UVError) {
    let lookup = UnsafeMutablePointer<uv_getaddrinfo_t>.allocate(capacity: 1)
    lookup.pointee.data = Unmanaged.passRetained(self).toOpaque()  // Taken by the callback.
    var hints = addrinfo()
    hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
    let status = uv_getaddrinfo(
      loop.raw, lookup,
      { request, status, list in
        let attempt = Unmanaged<ConnectAttempt>.fromOpaque(request!.pointee.data)
          .takeRetainedValue()
        request!.deallocate()
        attempt.didLookUp(status, list)
      }, host, "\(port)", &hints)
    if status < 0 {
      Unmanaged.passUnretained(self).release()
      lookup.deallocate()
      throw UVError("resolve host '\(host)'", code: status)
    }
    self.lookup = lookup
  }

  private func didLookUp(_ status: CInt, _ list: UnsafeMutablePointer<addrinfo>?) {
    lookup = nil
    defer { uv_freeaddrinfo(list) }
    if status < 0 || isCancelled { return fail(status, "\(operation): look up the name") }
    addresses = SocketAddress.all(in: list, limit: ConnectAttempt.addressesLimit).reversed()
    do throws(UVError) {
      try connectToNext(after: UV_EAI_NONAME.rawValue)
    } catch {
      completion(.failure(error))
    }
  }

  // MARK: Addresses

  func start(with addresses: [sockaddr_storage]) throws(UVError) {
    self.addresses = addresses.reversed()
    try connectToNext(after: UV_EINVAL.rawValue)
  }

  /// - Parameter status: Why there has to be a next one.
  /// - Throws: When there is none.
  private func connectToNext(after status: CInt) throws(UVError) {
    var status = status
    while let address = addresses.popLast() {
      let stream = ByteStream(on: loop, isTCP: true)
      self.stream = stream
      status = SocketAddress.withPointer(address) {
        uv_tcp_connect(
          begin(), UnsafeMutableRawPointer(stream.raw).assumingMemoryBound(to: uv_tcp_t.self),
          $0, ConnectAttempt.callback)
      }
      if status >= 0 {
        if !addresses.isEmpty { limitTime() }
        return
      }
      Unmanaged.passUnretained(self).release()  // The callback will not run.
      stream.close()
      self.stream = nil
    }
    throw UVError(operation, code: status)
  }

  private func limitTime() {
    timer = timer ?? LoopTimer(on: loop) { [unowned self] in stream?.close() }
    timer?.start(afterNanoseconds: ConnectAttempt.patienceNanoseconds)
  }

  private func begin() -> UnsafeMutablePointer<uv_connect_t> {
    request.pointee.data = Unmanaged.passRetained(self).toOpaque()  // Taken by the callback.
    return request
  }

  private static let callback: @convention(c) (UnsafeMutablePointer<uv_connect_t>?, CInt) -> Void =
    { request, status in
      Unmanaged<ConnectAttempt>.fromOpaque(request!.pointee.data).takeRetainedValue()
        .didConnect(status)
    }

  private func didConnect(_ status: CInt) {
    timer?.stop()
    guard let stream else { return }
    self.stream = nil
    if status >= 0, !isCancelled { return succeed(stream) }
    stream.close()
    if isCancelled { return fail(status) }
    do throws(UVError) {
      try connectToNext(after: status)
    } catch {
      completion(.failure(error))
    }
  }

  private func succeed(_ stream: ByteStream) {
    stream.disableNagle()
    completion(.success(stream))
  }

  // MARK: Unix sockets

  func start(withPath path: String) {
    let stream = ByteStream(on: loop, isTCP: false)
    self.stream = stream
    // This call reports every failure to the callback.
    uv_pipe_connect(
      begin(), UnsafeMutableRawPointer(stream.raw).assumingMemoryBound(to: uv_pipe_t.self),
      path, ConnectAttempt.callback)
  }

  /// libuv takes paths only, so the socket is connected here; that never waits.
  func start(withAbstract name: String) throws(UVError) {
    let descriptor = try UnixSocket.make()
    let stream = ByteStream(on: loop, isTCP: false)
    var status = UnixSocket.connect(descriptor, .abstract(name: name))
    if status == 0 { status = uv_pipe_open(stream.pipe, descriptor) }
    if status < 0 {
      Glibc.close(descriptor)
      stream.close()
      throw UVError(operation, code: status)
    }
    self.stream = stream
    // From the loop, as promised. The timer keeps the attempt until then.
    timer = LoopTimer(on: loop) { [self] in
      didConnect(0)
      timer = nil
    }
    timer?.start(afterNanoseconds: 0)
  }
}
