// This module owns HTTP/1.1 for browsers, for Prometheus and for health probes. It knows nothing of
// what it serves, and it has no thread: libmicrohttpd's epoll descriptor is polled by the loop.
internal import CMicroHTTPD
package import UVLoop

/// Serves one address over plain HTTP/1.1: GET and HEAD, answered by one handler on the loop thread.
///
/// Requests with a body, other methods and hosts that `HostRule` does not know never reach the handler.
package final class AdminServer {
  package typealias Handler = (AdminRequest) -> AdminAnswer

  /// Where it really listens.
  package let address: String
  private let options: AdminOptions
  private let hosts: HostRule
  private let handler: Handler
  private let daemon: OpaquePointer
  private var watcher: DescriptorWatcher?
  /// For the library's timeouts.
  private var timer: LoopTimer?
  private let loop: EventLoop
  private var hook: EndOfTurnHook?
  private var streams: [ObjectIdentifier: ServerSentStream] = [:]
  private var isClosed = false

  /// Requests that were answered, and those of them that were refused here: for their method, their
  /// host or their body.
  package private(set) var requests: UInt64 = 0
  package private(set) var refusals: UInt64 = 0

  /// Listens from now on, until `close()`. `handler` must not keep the loop for long.
  package init(
    on loop: EventLoop, host: String, port: UInt16, options: AdminOptions = AdminOptions(),
    handler: @escaping Handler
  ) throws(UVError) {
    let socket = try ListeningSocket(host: host, port: port)
    address = socket.address
    self.loop = loop
    self.options = options
    self.handler = handler
    hosts = HostRule(names: options.hostNames)
    // Its context is set once there is a self.
    let box = DaemonContext()
    guard
      let daemon = cmhd_start(
        socket.descriptor, options.maxConnections, options.maxRequestBytes, options.timeoutSeconds,
        AdminServer.handle, AdminServer.completed, Unmanaged.passUnretained(box).toOpaque())
    else {
      socket.close()
      throw UVError("start HTTP on \(socket.address)", code: -12)
    }
    self.daemon = daemon
    context = box
    box.server = self
    // From here on a throw runs deinit, which stops the daemon.
    watcher = try DescriptorWatcher(on: loop, descriptor: cmhd_epoll_descriptor(daemon)) {
      [unowned self] in turn()
    }
    watcher?.keepsLoopRunning(false)
    timer = LoopTimer(on: loop) { [unowned self] in turn() }
    timer?.keepsLoopRunning(false)
    hook = EndOfTurnHook { [unowned self] in turn() }
  }

  private let context: DaemonContext

  deinit { close() }

  /// Ends all connections at once.
  package func close() {
    if isClosed { return }
    isClosed = true
    watcher = nil
    timer = nil
    hook?.cancel()
    hook = nil
    // The library must have no sleeping connection when it stops.
    for stream in streams.values { stream.finish() }
    MHD_run(daemon)
    MHD_stop_daemon(daemon)
    streams = [:]
  }

  package var connections: Int { Int(cmhd_connections(daemon)) }
  package var openStreams: Int { streams.count }

  /// Lets the library do what its descriptors have for it.
  private func turn() {
    if isClosed { return }
    MHD_run(daemon)
    var milliseconds: UInt64 = 0
    if MHD_get_timeout(daemon, &milliseconds) == .YES {
      timer?.start(afterNanoseconds: min(milliseconds, 3_600_000) * 1_000_000)
    } else {
      timer?.stop()
    }
  }

  // MARK: Requests

  /// What the library carries for us to its callbacks.
  private final class DaemonContext {
    unowned(unsafe) var server: AdminServer?
  }

  /// What it carries with each request.
  private final class Exchange {
    var stream: ServerSentStream?
    /// For its head; what comes behind it nobody wants.
    var isRefused = false
  }

  /// Called when the head of a request has come, and again when there is nothing behind it. To answer the
  /// first time would end the connection.
  private static let handle: MHD_AccessHandlerCallback = {
    context, connection, url, method, _, _, _, exchange in
    let box = Unmanaged<DaemonContext>.fromOpaque(context!)
    guard let connection, let url, let method, let exchange else { return .NO }
    if let known = exchange.pointee {
      let state = Unmanaged<Exchange>.fromOpaque(known).takeUnretainedValue()
      if state.isRefused { return .NO }
      return box._withUnsafeGuaranteedRef {
        $0.server?.answer(connection, method, url, state) ?? .NO
      }
    }
    let state = Exchange()
    exchange.pointee = Unmanaged.passRetained(state).toOpaque()  // Taken by `completed`.
    return box._withUnsafeGuaranteedRef { $0.server?.refuse(connection, method, state) ?? .NO }
  }

  private static let completed: MHD_RequestCompletedCallback = { context, _, exchange, _ in
    guard let raw = exchange?.pointee else { return }
    exchange?.pointee = nil
    let state = Unmanaged<Exchange>.fromOpaque(raw).takeRetainedValue()
    guard let stream = state.stream else { return }
    Unmanaged<DaemonContext>.fromOpaque(context!)._withUnsafeGuaranteedRef {
      $0.server?.streams[ObjectIdentifier(stream)] = nil
    }
    stream.end()
  }

  /// Answers what no handler is asked about; the others are heard of again.
  private func refuse(
    _ connection: OpaquePointer, _ method: UnsafePointer<CChar>, _ exchange: Exchange
  ) -> MHD_Result {
    requests += 1
    guard let refusal = refusal(connection, String(cString: method)) else { return .YES }
    refusals += 1
    exchange.isRefused = true
    return send(refusal, on: connection, closes: true)
  }

  private func answer(
    _ connection: OpaquePointer, _ method: UnsafePointer<CChar>, _ url: UnsafePointer<CChar>,
    _ exchange: Exchange
  ) -> MHD_Result {
    switch handler(AdminRequest(connection, path: url)) {
    case .response(let response): return send(response, on: connection)
    case .events(let begin):
      if String(cString: method) == "HEAD" {
        return send(AdminResponse("text/event-stream", []), on: connection)
      }
      if streams.count >= options.maxStreams {
        return send(
          .text(503, "there are \(streams.count) event streams, the limit"), on: connection)
      }
      let stream = ServerSentStream(connection, mostUnread: options.maxUnreadStreamBytes) {
        [unowned self] in if let hook { loop.atEndOfTurn(hook) }
      }
      exchange.stream = stream
      streams[ObjectIdentifier(stream)] = stream
      begin(stream)
      return send(stream, on: connection)
    }
  }

  private func refusal(_ connection: OpaquePointer, _ method: String) -> AdminResponse? {
    guard method == "GET" || method == "HEAD" else {
      return .text(405, "only GET and HEAD are served here")
    }
    let host = AdminRequest.header("Host", connection)
    guard hosts.allows(host) else {
      return .text(403, "not a host of this server: start it with --admin-host NAME")
    }
    let length = AdminRequest.header("Content-Length", connection) ?? "0"
    if length != "0" || AdminRequest.header("Transfer-Encoding", connection) != nil {
      return .text(400, "a request here has no body")
    }
    return nil
  }

  // MARK: Responses

  private func send(
    _ response: AdminResponse, on connection: OpaquePointer, closes: Bool = false
  ) -> MHD_Result {
    var body = response.body
    let raw = body.withUnsafeMutableBytes {
      MHD_create_response_from_buffer($0.count, $0.baseAddress, .RESPMEM_MUST_COPY)
    }
    guard let raw else { return .NO }
    defer { MHD_destroy_response(raw) }
    addHeaders(raw, response.contentType)
    if response.status == 405 { MHD_add_response_header(raw, "Allow", "GET, HEAD") }
    if closes { MHD_add_response_header(raw, "Connection", "close") }
    return MHD_queue_response(connection, response.status, raw)
  }

  private func send(_ stream: ServerSentStream, on connection: OpaquePointer) -> MHD_Result {
    let response = MHD_create_response_from_callback(
      .max, 65_536,
      { stream, _, place, room in
        guard let stream, let place else { return -2 }
        return Unmanaged<ServerSentStream>.fromOpaque(stream)._withUnsafeGuaranteedRef {
          $0.fill(place, room: room)
        }
      }, Unmanaged.passRetained(stream).toOpaque(),
      { stream in if let stream { Unmanaged<ServerSentStream>.fromOpaque(stream).release() } })
    guard let response else { return .NO }
    defer { MHD_destroy_response(response) }
    addHeaders(response, "text/event-stream")
    return MHD_queue_response(connection, 200, response)
  }

  /// Nothing that a page of ours does not need: no script, style or address of anybody else's, no frame
  /// around it, and no guess at what a file is.
  private func addHeaders(_ response: OpaquePointer, _ contentType: String) {
    for (name, value) in [
      ("Content-Type", contentType),
      ("Cache-Control", "no-store"),
      (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
          + "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      ),
      ("Cross-Origin-Resource-Policy", "same-origin"),
      ("Referrer-Policy", "no-referrer"),
      ("X-Content-Type-Options", "nosniff"),
      ("X-Frame-Options", "DENY"),
    ] { MHD_add_response_header(response, name, value) }
  }
}
