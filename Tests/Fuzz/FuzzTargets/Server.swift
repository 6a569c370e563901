internal import GRPCClient
internal import GRPCServer
internal import GRPCWire
internal import HTTP2
internal import UVLoop

/// A byte of choices, then a `FrameScript` or bytes as they are: what one client sends to a server.
///
/// The whole server over a Unix socket. Whatever the client does, what it is answered is HTTP/2,
/// another client beside it is served, and when it has gone nothing is left of it. With the highest bit,
/// what it is answered does not depend on where its bytes were cut (`fuzzCuts`).
func fuzzServer(_ input: UnsafeRawBufferPointer) {
  var reader = InputReader(input)
  let choices = reader.byte()
  if choices & 128 != 0 { return fuzzCuts(reader, isScript: choices & 2 == 0) }
  let options = serverOptions(choices)
  let slices =
    choices & 2 == 0
    ? FrameScript(reader, isServer: false, paths: FuzzedServer.paths).slices
    : [Array(reader.rest.prefix(2_000)), Array(reader.rest.dropFirst(2_000))]

  let fuzzed = FuzzedServer(options)
  let peer = fuzzed.connect(readsNothing: choices & 4 != 0)
  for slice in slices where !peer.hasEnded {
    peer.send(slice)
    fuzzed.settle()
  }
  // Where calls are few or connections short, the honest client is refused too; its calls still end.
  fuzzed.checkOther(isServed: choices & 48 == 0)
  if choices & 8 != 0 { fuzzed.beginShutdown() }
  fuzzed.settle()
  peer.close()
  fuzzed.finish()
  if choices & 4 == 0 { _ = ServerAnswers(checking: peer.received) }
}

/// Limits that short inputs reach, by the bits of `choices`.
func serverOptions(_ choices: UInt8) -> ServerOptions {
  var options = ServerOptions()
  options.maxMessageBytes = 8_192
  options.responseHighWaterBytes = 2_048
  options.maxUnreadResponseBytes = 65_536
  options.minCompressedReplyBytes = 8
  options.http2.maxHeaderListBytes = 4_096
  options.http2.outputLowWaterBytes = 512
  if choices & 1 != 0 {
    options.http2.maxConcurrentStreams = 3
    options.http2.streamWindowBytes = 100
  }
  if choices & 16 != 0 {
    options.maxCalls = 3
    options.reservedCalls = 1
    options.maxHeldRequestBytes = 600
    options.maxBufferedBytes = 4_096
  }
  if choices & 32 != 0 {
    // All that time brings about comes at once.
    options.keepaliveNanoseconds = 1
    options.requestStallNanoseconds = 1
    options.responseStallNanoseconds = 1
    options.maxIdleNanoseconds = 1
    options.maxAgeNanoseconds = 100_000
    options.ageGraceNanoseconds = 1
    options.ageSeed = 1
  }
  if choices & 64 != 0 {
    options.controlFrameBurst = 20
    options.resetBurst = 3
    options.maxContinuations = 2
    options.maxSettingsEntries = 6  // As many as our own client sends.
    options.maxPingStrikes = 0
  }
  return options
}

/// A server of methods of every kind, an honest client of it, and the loop they run on.
final class FuzzedServer {
  static let paths = [
    "/f/Unary", "/f/Bidi", "/f/Hold", "/f/Burst", "/f/Refuse", "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.health.v1.Health/Check",
  ]
  /// More turns than any input needs: without an end to them a server that spins would look busy.
  private static let mostTurns = 20_000

  let loop: EventLoop
  private let server: GRPCServer
  private let address: ListenAddress
  private let honest: GRPCChannel
  private let counts = CallCounts()
  private var isStopped = false
  private var isStopping = false
  private var peers: [FuzzPeer] = []

  init(_ options: ServerOptions) {
    let path = uniqueSocketPath()
    do {
      loop = try EventLoop()
      let table = ServiceTable()
      registerMethods(in: table, counts)
      HealthService(table).setServing("", true)
      _ = ReflectionService(table, descriptorSet: UnsafeRawBufferPointer(start: nil, count: 0))
      server = GRPCServer(loop: loop, services: table, options: options)
      address = .unix(path: path)
      _ = try server.listen(on: address)
      honest = GRPCChannel(target: address, context: GRPCClientContext(loop: loop))
    } catch {
      fatalError("\(error)")
    }
  }

  func connect(readsNothing: Bool) -> FuzzPeer {
    var peer: FuzzPeer?
    do {
      try ByteStream.connect(to: address, on: loop) {
        if case .success(let stream) = $0 {
          peer = FuzzPeer(stream, readsNothing: readsNothing)
        }
      }
    } catch {
      fatalError("\(error)")
    }
    turn("a connection") { peer != nil }
    peers.append(peer!)
    return peer!
  }

  func turn(_ what: String, until condition: () -> Bool) {
    var turns = 0
    while !condition() {
      loop.runOneTurn(waiting: false)
      turns += 1
      demand(turns < FuzzedServer.mostTurns, "waited for \(what)")
    }
  }

  /// Turns the loop until nothing moves any more.
  func settle() {
    var still = 0
    var turns = 0
    while still < 3 {
      let before = peers.map(\.progress)
      loop.runOneTurn(waiting: false)
      still = peers.map(\.progress) == before ? still + 1 : 0
      turns += 1
      demand(turns < FuzzedServer.mostTurns, "it never comes to rest")
    }
  }

  /// The honest client is served, whatever the other one did: by call objects that served it.
  func checkOther(isServed: Bool) {
    var outcome: (Status, [UInt8])?
    let message: [UInt8] = [1, 2, 3]
    message.withUnsafeBytes {
      _ = honest.unary(path: "/f/Unary", message: $0) { outcome = ($0, Array($1)) }
    }
    turn("the honest client's answer") { outcome != nil }
    demand(
      !isServed || outcome?.0 == .ok && outcome?.1 == message, "the honest client got \(outcome!)")

    let echoed = Echoed()
    let call = honest.startStream(path: "/f/Bidi", handler: echoed)
    message.withUnsafeBytes { _ = call.send($0) }
    call.halfClose()
    turn("the honest client's stream") { echoed.status != nil }
    demand(
      !isServed || echoed.status == .ok && echoed.messages == [message],
      "the honest client's stream got \(echoed.messages), \(echoed.status!)")
  }

  private final class Echoed: ResponseHandler {
    private(set) var messages: [[UInt8]] = []
    private(set) var status: Status?
    func received(_ message: UnsafeRawBufferPointer) { messages.append(Array(message)) }
    func finished(_ status: Status) { self.status = status }
  }

  func beginShutdown() {
    isStopping = true
    server.beginShutdown(graceNanoseconds: 0) { [unowned self] in isStopped = true }
  }

  func finish() {
    honest.close()
    turn("the connections to go") { server.statistics.connections == 0 }
    let left = server.statistics
    demand(left.openStreams == 0, "\(left.openStreams) streams left")
    demand(left.activeCalls == 0, "\(left.activeCalls) calls left")
    demand(left.budgetedBytes == 0, "\(left.budgetedBytes) bytes left")
    demand(counts.open == 0, "\(counts.open) handlers were never told of their call's end")
    if !isStopping { beginShutdown() }
    turn("the shutdown") { isStopped }
    // What was closed lives until the loop has let go of it.
    settle()
  }
}

// MARK: Methods

private final class CallCounts {
  /// Streaming handlers that neither ended their call nor heard of its end.
  var open = 0
}

private func registerMethods(in table: ServiceTable, _ counts: CallCounts) {
  table.unary("/f/Unary") { request, reply, call in
    demand(call.path == "/f/Unary", "the path is \(call.path)")
    _ = call.metadata("a-bin")
    _ = call.deadlineNanoseconds
    let place = reply.message(byteCount: request.count)
    if let source = request.baseAddress {
      place.copyMemory(from: source, byteCount: request.count)
    }
    return .ok
  }
  table.unary("/f/Refuse") { _, reply, _ in
    // Room that is asked for and not used, and asked for again.
    _ = reply.message(byteCount: 100)
    _ = reply.message(byteCount: 7)
    return Status(
      .failedPrecondition, "é\u{1}% \(String(repeating: "x", count: 50))", details: [1, 2, 3],
      trailers: [.init("why", "b\r\nc")])
  }
  for (path, kind) in [
    ("/f/Bidi", FuzzHandler.Kind.echo), ("/f/Hold", .hold), ("/f/Burst", .burst),
  ] {
    table.streaming(path, isClientStreaming: kind != .burst) { responses, _ in
      FuzzHandler(kind, responses, counts)
    }
  }
}

private final class FuzzHandler: RequestStream {
  enum Kind {
    case echo
    /// Never says anything.
    case hold
    /// Answers with more than flow control lets through.
    case burst
  }

  private let kind: Kind
  private let responses: any ResponseStream
  private let counts: CallCounts
  private var isOver = false

  init(_ kind: Kind, _ responses: any ResponseStream, _ counts: CallCounts) {
    self.kind = kind
    self.responses = responses
    self.counts = counts
    counts.open += 1
  }

  private func over() {
    demand(!isOver, "the end of a call was told twice")
    isOver = true
    counts.open -= 1
  }

  private func send(_ bytes: UnsafeRawBufferPointer) {
    responses.send(byteCount: bytes.count) { place in
      if let source = bytes.baseAddress { place.copyMemory(from: source, byteCount: bytes.count) }
    }
  }

  func received(_ message: UnsafeRawBufferPointer) {
    demand(!isOver, "a message after the end")
    switch kind {
    case .hold: break
    case .echo:
      send(message)
      if !isOver, message.first == 0xFF {
        responses.finish(Status(.aborted, "as asked"))
        over()
      }
    case .burst:
      for _ in 0..<20 where !isOver {
        responses.send(byteCount: 4_000) {
          $0.initializeMemory(as: UInt8.self, repeating: 1, count: 4_000)
        }
      }
    }
  }

  func halfClosed() {
    demand(!isOver, "an end after the end")
    if kind == .hold { return }
    responses.finish(.ok)
    over()
  }

  func cancelled(_ status: Status) { over() }
  func drained() { demand(!isOver, "drained after the end") }
}
