/// gRPC over HTTP/2, the server's side. This module owns listeners, connections and calls: it takes
/// whole messages to the handlers of a `ServiceTable` and their answers back. It knows nothing of
/// what the messages mean, and it never blocks.
package import GRPCWire
import HTTP2
import MessageCompression
package import TLSEngine
package import UVLoop

/// Serves the methods of one table on any number of addresses, all on one loop.
///
/// Ends by `beginShutdown`. The table must not change after the server was made.
package final class GRPCServer {
  package let loop: EventLoop
  package let options: ServerOptions

  /// Kept for services that look into their own table.
  private let services: ServiceTable
  let context: HTTP2Context
  private let dispatchTable: DispatchTable
  /// The same, for the path of every call.
  let dispatch: Unmanaged<DispatchTable>
  let deadlines: DeadlineQueue
  /// `:status: 200`, `content-type: application/grpc`.
  let responseFields: HTTP2FieldList
  /// The same with `grpc-accept-encoding`.
  let announcingFields: HTTP2FieldList
  /// `grpc-status: 0`.
  let okTrailers: HTTP2FieldList
  /// For answers that are copied as soon as they are written.
  let scratchFields = HTTP2FieldList()
  /// Of all calls: a message is packed or unpacked in one step.
  private(set) lazy var compressor = MessageCompressor()
  private(set) lazy var decompressor = MessageDecompressor()

  /// The certificates that new connections get; a new context leaves the others as they are.
  package var tls: TLSContext?
  /// Told what happens to connections. Costs nothing per call, and nothing while it is nil.
  package var onConnection: ((ConnectionNotice) -> Void)?
  /// Told when TLS ends a connection, in its handshake or later: why, and the client's address.
  package var onTLSFailure: ((_ reason: String, _ peer: String) -> Void)?

  /// Times calls while there is one. Unmanaged for the path of every call; `meterKeeper` keeps it.
  private(set) var meter: Unmanaged<CallMeter>?
  private var meterKeeper: CallMeter?

  private var listeners: [StreamListener] = []
  private(set) var connections: [ServerConnection] = []
  var counts = ServerStatistics()
  /// Every call object there is; the free ones are linked.
  private var calls: [ServerCall] = []
  private var freeCall: Unmanaged<ServerCall>?

  private var onShutdown: (() -> Void)?
  private var shutdownTimers: [LoopTimer] = []
  private(set) var isShuttingDown = false

  /// Told when a connection, or the first of its calls, is cut off: why, and the client's address, which
  /// is empty for a connection that was not even taken.
  package var onCutOff: ((_ reason: CutOff, _ peer: String) -> Void)?
  /// Output that waits for clients, and bytes of half-sent requests, of all connections.
  var bufferedBytes = 0
  /// Of all connections that are too young for one of their own.
  var newcomersUnpacking = UnpackBudget()
  private(set) lazy var lingering = LingeringStreams(deadlines)
  private(set) lazy var handshakes = HandshakeGate(self)
  /// Reads of connections that are past their handshake.
  var readsServed: UInt64 = 0
  let checkupInterval: UInt64
  private var ageRandom: AgeRandom

  package init(
    loop: EventLoop, services: ServiceTable, options: ServerOptions = ServerOptions()
  ) {
    self.loop = loop
    self.options = options
    self.services = services
    var http2 = options.http2
    http2.expectedFields = RequestHead.expected
    context = HTTP2Context(http2)
    dispatchTable = DispatchTable(services)
    dispatch = .passUnretained(dispatchTable)
    deadlines = DeadlineQueue(on: loop)
    checkupInterval = GRPCServer.checkupInterval(options)
    ageRandom = AgeRandom(seed: options.ageSeed)
    responseFields = context.constantFields([
      (":status", "200"), ("content-type", "application/grpc"),
    ])
    announcingFields = context.constantFields([
      (":status", "200"), ("content-type", "application/grpc"),
      ("grpc-accept-encoding", MessageEncoding.accepted),
    ])
    okTrailers = context.constantFields([("grpc-status", "0")])
  }

  deinit {
    precondition(connections.isEmpty, "a server was dropped while it had connections")
  }

  /// Accepts connections at `address` from now on.
  ///
  /// - Parameters:
  ///   - isSecure: Speak TLS there, with `tls`, which is then to be set.
  ///   - unixMode: A Unix socket's permissions.
  /// - Returns: The address in use: with the port that the system chose for port 0.
  package func listen(
    on address: ListenAddress, isSecure: Bool = false, unixMode: UInt32 = 0o600
  ) throws(UVError) -> String {
    precondition(!isShuttingDown, "listening after the shutdown began")
    precondition(tls != nil || !isSecure, "TLS without certificates")
    let listener = try StreamListener(on: loop, at: address, unixMode: unixMode) {
      [unowned self] in accept($0, isSecure: isSecure)
    }
    listeners.append(listener)
    return listener.address
  }

  /// Times every call from now on, which costs each a look at the clock.
  package func meterCalls() -> CallMeter {
    let meter = meterKeeper ?? CallMeter(dispatchTable)
    meterKeeper = meter
    self.meter = .passUnretained(meter)
    return meter
  }

  package var statistics: ServerStatistics {
    var now = counts
    now.connections = connections.count
    now.openStreams = context.openStreams
    now.budgetedBytes = bufferedBytes
    for connection in connections {
      now.bufferedBytes += connection.bufferedBytes
      now.heldRequestBytes += connection.heldBytes
    }
    for listener in listeners { now.failedAccepts += listener.failedAccepts }
    return now
  }

  // MARK: Connections

  private func accept(_ stream: ByteStream, isSecure: Bool) {
    guard connections.count < options.maxConnections, !isShuttingDown else {
      counts.connectionsRefused += 1
      if !isShuttingDown { count(.connectionLimit, on: nil) }
      stream.close()
      return
    }
    counts.connectionsTotal += 1
    let connection = ServerConnection(
      server: self, stream: stream, tls: isSecure ? tls.map { TLSSession($0) } : nil)
    connection.index = connections.count
    connections.append(connection)
    onConnection?(.accepted(peer: connection.peer))
    connection.start()
  }

  func countFailedHandshake() { counts.handshakesFailed += 1 }

  var connectionCount: Int { connections.count }

  /// When a connection that began at `time` has reached its age.
  func endOfLife(from time: UInt64) -> UInt64 {
    ageRandom.end(from: time, after: options.maxAgeNanoseconds)
  }

  func remove(_ connection: ServerConnection) {
    let last = connections.removeLast()
    if last !== connection {
      connections[connection.index] = last
      last.index = connection.index
    }
    if isShuttingDown, connections.isEmpty { finishShutdown() }
  }

  // MARK: Calls

  /// The server keeps all call objects; nobody else needs to retain one.
  /// Inlined, as is `giveCall`: their callers know the server without owning it, and would retain it for
  /// the time of a call.
  @inline(__always)
  func takeCall() -> Unmanaged<ServerCall> {
    counts.activeCalls += 1
    counts.callsTotal += 1
    if let call = freeCall {
      freeCall = call._withUnsafeGuaranteedRef { $0.nextFree }
      return call
    }
    return makeCall()
  }

  @inline(never)
  private func makeCall() -> Unmanaged<ServerCall> {
    let call = ServerCall(server: self)
    calls.append(call)
    return .passUnretained(call)
  }

  @inline(__always)
  func giveCall(_ call: ServerCall) {
    counts.activeCalls -= 1
    call.nextFree = freeCall
    freeCall = .passUnretained(call)
  }

  // MARK: Shutdown

  /// Ends gracefully: takes no new connections, tells clients to begin no new calls, lets running
  /// ones finish, and cancels with UNAVAILABLE what still runs after `graceNanoseconds`.
  ///
  /// - Parameter completion: Called once when the last connection has closed; at once when there is
  ///   none.
  package func beginShutdown(
    graceNanoseconds: UInt64, completion: @escaping () -> Void
  ) {
    precondition(!isShuttingDown, "a server is shut down once")
    isShuttingDown = true
    onShutdown = completion
    for listener in listeners { listener.close() }
    listeners = []
    lingering.closeAll()
    if connections.isEmpty {
      finishShutdown()
      return
    }
    for connection in connections { connection.beginEnding() }
    // Those that were still shaking hands have closed; perhaps there were no others.
    if onShutdown == nil { return }
    let goAway = LoopTimer(on: loop) { [unowned self] in
      for connection in connections { connection.sendGoAway() }
    }
    let grace = LoopTimer(on: loop) { [unowned self] in
      for connection in connections { connection.cancelAndClose() }
    }
    shutdownTimers = [goAway, grace]
    goAway.start(afterNanoseconds: min(options.goAwayDelayNanoseconds, graceNanoseconds))
    grace.start(afterNanoseconds: graceNanoseconds)
  }

  private func finishShutdown() {
    guard let completion = onShutdown else { return }
    onShutdown = nil
    for timer in shutdownTimers { timer.stop() }
    completion()
  }
}
