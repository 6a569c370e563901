/// gRPC's client side. This module owns a client's connections and calls: it connects, frames,
/// enforces deadlines and reads statuses. It knows no message and no method, never retries a call,
/// and runs on one loop only.
package import GRPCWire
internal import HTTP2
package import TLSEngine
package import UVLoop

/// A server as its callers see it: one address, at most one HTTP/2 connection that takes new calls.
///
/// It connects with the first call or with `connect`, and again with the first call after a loss;
/// calls begun meanwhile wait. A call fails with its connection and is never repeated: UNAVAILABLE
/// says in words what happened. Completions and handlers run from the loop, never inside a method
/// called here. Dropping a channel without `close()` drops its calls unanswered.
package final class GRPCChannel {
  package let context: GRPCClientContext
  package let target: ListenAddress
  /// Sent as `:authority`: the target, or `localhost` for a Unix socket; the name that TLS expects
  /// instead of the target's, if there is one.
  package let authority: String
  /// nil = cleartext.
  let tls: TLSContext?

  private var current: ClientConnection?
  /// Connections that finish what they have begun.
  private var retired: [ClientConnection] = []
  private var methods: [String: GRPCMethod] = [:]
  private var readyHandlers: [(Status) -> Void] = []
  private var isClosed = false
  /// Attempts that failed since a connection was last up.
  private var failedAttempts = 0
  private var lastAttempt: UInt64 = 0

  /// - Parameter tls: A client's; nil = cleartext. Many channels of one loop may share it.
  package init(target: ListenAddress, context: GRPCClientContext, tls: TLSContext? = nil) {
    self.context = context
    self.target = target
    self.tls = tls
    switch target {
    case .tcp: authority = tls?.serverName ?? target.description
    case .unix, .abstract: authority = tls?.serverName ?? "localhost"
    }
  }

  /// - Parameter target: As for `ListenAddress`. A name is looked up when the channel connects, and
  ///   its addresses are tried in turn.
  package convenience init(
    loop: EventLoop, target: String, options: GRPCClientOptions = GRPCClientOptions(),
    tls: TLSContext? = nil
  ) throws(AddressError) {
    self.init(
      target: try ListenAddress(parsing: target),
      context: GRPCClientContext(loop: loop, options: options), tls: tls)
  }

  deinit {
    current?.abandon()
    for connection in retired { connection.abandon() }
  }

  /// Whether a connection is up and takes new calls.
  package var isReady: Bool { current?.phase == .ready }

  /// Streams that are open on all connections, those included that wait to be sent.
  package var openStreams: Int {
    retired.reduce(current?.session.openStreams ?? 0) { $0 + $1.session.openStreams }
  }

  /// Streams the server lets a connection have at once; calls beyond wait here. 100 until the
  /// server has said otherwise.
  package var serverMaxConcurrentStreams: UInt32 {
    current?.session.peerMaxConcurrentStreams ?? 100
  }

  /// Connects unless it is connected. `onReady` gets `.ok` once the server has sent its SETTINGS,
  /// or UNAVAILABLE and the reason.
  package func connect(onReady: @escaping (Status) -> Void) {
    if isClosed {
      context.later { onReady(GRPCChannel.closedStatus) }
    } else if isReady {
      context.later { onReady(.ok) }
    } else {
      readyHandlers.append(onReady)
      _ = connection()
    }
  }

  /// Ends all connections. Calls under way end with CANCELLED, and so does every later one.
  package func close() {
    if isClosed { return }
    isClosed = true
    current?.loseLater(GRPCChannel.closedStatus)
    for connection in retired { connection.loseLater(GRPCChannel.closedStatus) }
  }

  private static let closedStatus = Status(.cancelled, "the channel was closed")

  // MARK: Calls

  /// The method of a path (`/package.Service/Method`), to be kept and used for many calls.
  package func method(_ path: String) -> GRPCMethod {
    if let method = methods[path] { return method }
    let method = GRPCMethod(
      path: path, scheme: tls == nil ? "http" : "https", authority: authority, context: context)
    methods[path] = method
    return method
  }

  /// Starts a call of one request and one response.
  ///
  /// - Parameters:
  ///   - message: The request's bytes; copied before this returns.
  ///   - timeoutNanoseconds: From now, enforced here and told to the server; nil = none.
  ///   - encoding: Compresses the request, if that makes it smaller. Responses are read whatever
  ///     their encoding is.
  ///   - completion: Called once. The message is borrowed for the time of the call, and empty unless
  ///     the status is OK.
  @discardableResult
  package func unary(
    _ method: GRPCMethod, message: UnsafeRawBufferPointer, timeoutNanoseconds: UInt64? = nil,
    metadata: CallMetadata? = nil, encoding: MessageEncoding? = nil,
    completion: @escaping (Status, UnsafeRawBufferPointer) -> Void
  ) -> UnaryCall {
    let call = context.takeCall()
    call.prepare(completion: completion)
    if let connection = begin(call, method, timeoutNanoseconds, metadata, encoding),
      let stream = call.stream, context.queue(message, encoding, on: stream)
    {
      connection.session.finish(stream, trailers: nil)
      connection.scheduleFlush()
    }
    return UnaryCall(call: call, generation: call.generation, context: context)
  }

  /// The same by path, at the price of a dictionary look-up.
  @discardableResult
  package func unary(
    path: String, message: UnsafeRawBufferPointer, timeoutNanoseconds: UInt64? = nil,
    metadata: CallMetadata? = nil, encoding: MessageEncoding? = nil,
    completion: @escaping (Status, UnsafeRawBufferPointer) -> Void
  ) -> UnaryCall {
    unary(
      method(path), message: message, timeoutNanoseconds: timeoutNanoseconds, metadata: metadata,
      encoding: encoding, completion: completion)
  }

  /// Starts a call whose messages are sent with the returned object, and whose responses go to
  /// `handler`. Server-, client- and bidirectional streaming alike. With `encoding`, messages are
  /// compressed unless they are sent otherwise.
  package func startStream(
    _ method: GRPCMethod, timeoutNanoseconds: UInt64? = nil, metadata: CallMetadata? = nil,
    encoding: MessageEncoding? = nil, handler: any ResponseHandler
  ) -> StreamCall {
    let call = ClientCall(context)
    call.prepare(handler: handler)
    begin(call, method, timeoutNanoseconds, metadata, encoding)?.scheduleFlush()
    return StreamCall(call: call, encoding: encoding, context: context)
  }

  /// The same by path.
  package func startStream(
    path: String, timeoutNanoseconds: UInt64? = nil, metadata: CallMetadata? = nil,
    encoding: MessageEncoding? = nil, handler: any ResponseHandler
  ) -> StreamCall {
    startStream(
      method(path), timeoutNanoseconds: timeoutNanoseconds, metadata: metadata,
      encoding: encoding, handler: handler)
  }

  /// Opens the call's stream and sets its deadline. nil = the call ends, soon.
  private func begin(
    _ call: ClientCall, _ method: GRPCMethod, _ timeoutNanoseconds: UInt64?,
    _ metadata: CallMetadata?, _ encoding: MessageEncoding?
  ) -> ClientConnection? {
    precondition(method.context === context, "a method used with another context's channel")
    guard var connection = connection() else {
      call.abortLater(GRPCChannel.closedStatus, in: context)
      return nil
    }
    let limit = context.options.maxWaitingCalls
    if connection.phase != .ready, connection.session.openStreams >= limit {
      call.abortLater(
        Status(.unavailable, "\(limit) calls already wait for \(target)"), in: context)
      return nil
    }
    // Beyond this a deadline is none.
    let timeout = timeoutNanoseconds.map { $0 > UInt64(Int64.max) ? .max : $0 } ?? .max
    let fields = method.fields(
      timeoutNanoseconds: timeout, metadata: metadata, encoding: encoding)
    var stream = connection.session.submitRequest(fields, endsStream: false)
    if stream == nil {
      // A connection has stream numbers for 2^30 calls.
      connection.retire()
      if let fresh = self.connection() {
        connection = fresh
        stream = fresh.session.submitRequest(fields, endsStream: false)
      }
    }
    guard let stream else {
      call.abortLater(Status(.internal, "the HTTP/2 session takes no stream"), in: context)
      return nil
    }
    call.attach(stream, of: connection)
    if timeout != .max {
      // Not the turn's time: a tool may have waited for its user since the last turn.
      call.expire(at: EventLoop.clock &+ timeout, in: context.deadlines)
    }
    return connection
  }

  // MARK: Connections

  /// The connection for a new call; nil when the channel is closed.
  private func connection() -> ClientConnection? {
    if let current { return isClosed ? nil : current }
    if isClosed { return nil }
    let fresh = ClientConnection(of: self)
    current = fresh
    let now = EventLoop.clock
    var delay: UInt64 = 0
    if failedAttempts > 0 {
      let options = context.options
      let interval = min(
        options.maxReconnectDelayNanoseconds,
        options.reconnectDelayNanoseconds << UInt64(min(failedAttempts - 1, 16)))
      let earliest = lastAttempt &+ interval
      if earliest > now { delay = earliest - now }
    }
    lastAttempt = now &+ delay
    fresh.start(afterNanoseconds: delay)
    return fresh
  }

  func didBecomeReady(_ connection: ClientConnection) {
    failedAttempts = 0
    tellReady(.ok)
  }

  func didRetire(_ connection: ClientConnection) {
    if current === connection { current = nil }
    retired.append(connection)
  }

  func didLose(_ connection: ClientConnection, wasReady: Bool, _ reason: Status) {
    if current === connection { current = nil }
    retired.removeAll { $0 === connection }
    if !wasReady, !isClosed {
      failedAttempts += 1
      tellReady(reason)
    } else if isClosed {
      tellReady(reason)
    }
  }

  private func tellReady(_ status: Status) {
    let handlers = readyHandlers
    readyHandlers.removeAll()
    for handler in handlers { handler(status) }
  }
}
