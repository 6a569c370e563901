import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

/// A server of the echo methods on a loopback port, and clients on the same loop.
final class Harness {
  let loop: EventLoop
  let server: GRPCServer
  let echo = EchoService()
  let address: ListenAddress
  private var guardTimer: LoopTimer?
  private var isLate = false

  init(
    options: ServerOptions = ServerOptions(), register: (ServiceTable) -> Void = { _ in }
  ) throws {
    loop = try EventLoop()
    let table = ServiceTable()
    echo.register(table)
    register(table)
    server = GRPCServer(loop: loop, services: table, options: options)
    address = try ListenAddress(
      parsing: try server.listen(on: .tcp(host: "127.0.0.1", port: 0)))
    guardTimer = LoopTimer(on: loop) { [unowned self] in isLate = true }
    guardTimer?.start(afterNanoseconds: 20_000_000_000)
  }

  /// Turns the loop until `condition` holds. Fails the test when nothing brings it about.
  func run(_ what: Comment, until condition: () -> Bool) {
    while !condition() {
      if isLate {
        Issue.record("waited too long: \(what)")
        return
      }
      loop.runOneTurn()
    }
  }

  func connect(_ options: HTTP2Options = HTTP2Options()) throws -> RawClient {
    let client = RawClient(try open(), options)
    client.flush()
    return client
  }

  /// A connected stream with nothing on it.
  func open() throws -> ByteStream {
    var stream: ByteStream?
    try ByteStream.connect(to: address, on: loop) { stream = try? $0.get() }  // nil fails below.
    run("connect") { stream != nil }
    return try #require(stream)
  }

  /// Stops the server and expects nothing to be left.
  func finish(_ clients: [RawClient] = []) {
    for client in clients { client.close() }
    run("connections to go") { server.statistics.connections == 0 }
    let left = server.statistics
    #expect(left.openStreams == 0 && left.activeCalls == 0 && left.budgetedBytes == 0)
    var isStopped = false
    server.beginShutdown(graceNanoseconds: 1_000_000_000) { isStopped = true }
    run("shutdown") { isStopped }
    guardTimer = nil
  }
}

/// A client without gRPC in it: raw HTTP/2 streams.
final class RawClient: ByteStreamHandler {
  final class Call {
    let stream: HTTP2StreamRef
    var httpStatus = 0
    var headers: [String: String] = [:]
    var data: [UInt8] = []
    var trailers: [String: String] = [:]
    var closed: HTTP2ErrorCode?
    /// Blocks of fields: 1 = trailers-only.
    var blocks = 0

    init(_ stream: HTTP2StreamRef) { self.stream = stream }

    var grpcStatus: String? { trailers["grpc-status"] ?? headers["grpc-status"] }
    var grpcMessage: String? { trailers["grpc-message"] ?? headers["grpc-message"] }

    var messages: [[UInt8]] {
      var framer = MessageFramer(limitBytes: 64 << 20)
      var result: [[UInt8]] = []
      data.withUnsafeBytes {
        var rest = $0
        while case .message(let message) = framer.next(&rest) { result.append(Array(message)) }
      }
      return result
    }
  }

  let stream: ByteStream
  let session: HTTP2Session
  var calls: [Call] = []
  var hasEnded = false
  var goAways: [HTTP2ErrorCode] = []
  var pings = 0
  var serverPings = 0
  var failure: HTTP2Failure?
  /// False: received bytes are not given back to the windows.
  var consumes = true
  private var unconsumed: [(HTTP2StreamRef, Int)] = []

  init(_ stream: ByteStream, _ options: HTTP2Options) {
    self.stream = stream
    session = HTTP2Session(.client, context: HTTP2Context(options))
    stream.handler = self
    stream.startReading()
  }

  static let defaultFields = [
    ":method": "POST", ":scheme": "http", ":authority": "test",
    "content-type": "application/grpc", "te": "trailers",
  ]

  /// Begins a call; `fields` replace the usual ones, an empty value removes one.
  func begin(_ path: String, _ fields: [String: String] = [:], ends: Bool = false) -> Call {
    beginIfAllowed(path, fields, ends: ends)!
  }

  /// nil after a GOAWAY.
  func beginIfAllowed(
    _ path: String, _ fields: [String: String] = [:], ends: Bool = false
  ) -> Call? {
    let list = HTTP2FieldList()
    let all = RawClient.defaultFields.merging(fields) { $1 }
    list.append(":path", path)
    // Pseudo-headers come first.
    for (name, value) in all.sorted(by: { $0.key < $1.key }) where !value.isEmpty {
      list.append(name, value)
    }
    guard let stream = session.submitRequest(list, endsStream: ends) else { return nil }
    let call = Call(stream)
    calls.append(call)
    return call
  }

  func send(_ call: Call, raw bytes: [UInt8], ends: Bool = false) {
    if let place = session.reserve(call.stream, bytes.count) {
      bytes.withUnsafeBytes { source in
        if let base = source.baseAddress { place.copyMemory(from: base, byteCount: source.count) }
      }
    }
    if ends { session.finish(call.stream, trailers: nil) }
    flush()
  }

  func send(_ call: Call, _ message: [UInt8], flag: UInt8 = 0, ends: Bool = false) {
    let count = message.count
    let prefix = [flag, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255)]
    send(call, raw: prefix + [UInt8(count & 255)] + message, ends: ends)
  }

  func unary(
    _ path: String, _ message: [UInt8], _ fields: [String: String] = [:], flag: UInt8 = 0
  ) -> Call {
    let call = begin(path, fields)
    send(call, message, flag: flag, ends: true)
    return call
  }

  func end(_ call: Call) {
    session.finish(call.stream, trailers: nil)
    flush()
  }

  func reset(_ call: Call) {
    session.reset(call.stream, .cancel)
    flush()
  }

  func consumeAll() {
    consumes = true
    for (stream, count) in unconsumed { session.consume(stream, count) }
    unconsumed = []
    flush()
  }

  func flush() {
    if let failure = session.drain({ handle($0) }) { self.failure = failure }
    let output = session.context.output
    if !stream.write(output.bytes) { close() }
    output.removeAll()
  }

  func close() {
    hasEnded = true
    session.closeAll(.cancel) { handle($0) }
    stream.close()
  }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    if let failure = session.receive(bytes, { handle($0) }) { self.failure = failure }
    flush()
  }
  func streamDidEnd(_ error: UVError?) { close() }
  func streamDidDrain() {}

  private func handle(_ event: HTTP2Event) {
    if event.kind == .goAway { goAways.append(event.errorCode) }
    if event.kind == .ping { serverPings += 1 }
    if event.kind == .pingAcknowledged { pings += 1 }
    guard event.hasStream, let call = calls.first(where: { $0.stream == event.stream }) else {
      return
    }
    switch event.kind {
    case .headers:
      call.httpStatus = event.status
      call.headers = dictionary(event.fields)
      call.blocks += 1
    case .trailers:
      call.trailers = dictionary(event.fields)
      call.blocks += 1
    case .data:
      call.data.append(contentsOf: event.data)
      if consumes {
        session.consume(event.stream, event.data.count)
      } else {
        unconsumed.append((event.stream, event.data.count))
      }
    case .closed: call.closed = event.errorCode
    default: break
    }
  }

  private func dictionary(_ fields: HTTP2Fields) -> [String: String] {
    var result: [String: String] = [:]
    for (name, value) in fields {
      result[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
    }
    return result
  }
}
