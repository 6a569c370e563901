import GRPCWire
import HTTP2
import UVLoop

/// An HTTP/2 server on the client's own loop that does what the test says, also what no gRPC server
/// should do.
final class ScriptedServer {
  let loop: EventLoop
  let context: HTTP2Context
  var listener: StreamListener?
  var connections: [ServerConnection] = []
  /// A request's headers are here.
  var onStart: (ServerCall) -> Void = { _ in }
  /// Bytes of a request's body are here.
  var onData: (ServerCall, [UInt8]) -> Void = { _, _ in }
  /// A whole message is here.
  var onMessage: (ServerCall, [UInt8]) -> Void = { _, _ in }
  /// The client has half-closed.
  var onHalfClose: (ServerCall) -> Void = { _ in }
  /// The stream is closed, with this HTTP/2 error code.
  var onClose: (ServerCall, HTTP2ErrorCode) -> Void = { _, _ in }
  private(set) var acceptedCount = 0

  init(
    loop: EventLoop, at address: ListenAddress = .tcp(host: "127.0.0.1", port: 0),
    options: HTTP2Options = HTTP2Options()
  ) throws {
    self.loop = loop
    context = HTTP2Context(options)
    listener = try StreamListener(on: loop, at: address) { [unowned self] stream in
      acceptedCount += 1
      connections.append(ServerConnection(self, stream))
    }
  }

  var target: String { listener?.address ?? "" }

  /// Answers every unary call with its own request.
  func echo() {
    onMessage = { call, message in
      call.respond()
      call.send(message)
    }
    onHalfClose = { $0.finish([("grpc-status", "0")]) }
  }

  /// Drops every connection on the floor.
  func kill() {
    for connection in connections { connection.close() }
    connections.removeAll()
  }

  func stop() {
    listener?.close()
    listener = nil
    kill()
  }
}

final class ServerConnection: ByteStreamHandler {
  unowned let server: ScriptedServer
  let stream: ByteStream
  let session: HTTP2Session
  private var hook: EndOfTurnHook?

  init(_ server: ScriptedServer, _ stream: ByteStream) {
    self.server = server
    self.stream = stream
    session = HTTP2Session(.server, context: server.context)
    hook = EndOfTurnHook { [weak self] in self?.flush() }
    stream.handler = self
    stream.startReading()
    scheduleFlush()
  }

  func scheduleFlush() { if let hook { stream.loop.atEndOfTurn(hook) } }

  private func flush() {
    if stream.isClosed { return }
    let output = server.context.output
    _ = session.drain { handle($0) }
    _ = stream.write(output.bytes)
    output.removeAll()
  }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    _ = session.receive(bytes) { handle($0) }
    scheduleFlush()
  }

  func streamDidEnd(_ error: UVError?) { close() }

  func close() {
    if stream.isClosed { return }
    stream.close()
    session.closeAll(.cancel) { handle($0) }
  }

  func streamDidDrain() {}

  private func handle(_ event: borrowing HTTP2Event) {
    guard event.hasStream else { return }
    if event.kind == .headers {
      let call = ServerCall(self, event.stream, Array(event.fields))
      event.stream.user = Unmanaged.passRetained(call).toOpaque()  // Taken by `closed`.
      server.onStart(call)
    }
    guard let user = event.stream.user else { return }
    let call = Unmanaged<ServerCall>.fromOpaque(user).takeUnretainedValue()
    if event.kind == .data {
      session.consume(event.stream, event.data.count)
      server.onData(call, Array(event.data))
      call.received(event.data)
    }
    if event.endsStream { server.onHalfClose(call) }
    if event.kind == .closed {
      event.stream.user = nil
      server.onClose(call, event.errorCode)
      Unmanaged<ServerCall>.fromOpaque(user).release()
    }
  }
}

final class ServerCall {
  let connection: ServerConnection
  let stream: HTTP2StreamRef
  /// The request's headers, in order.
  let fields: [(String, String)]
  private var framer = MessageFramer()
  private(set) var didRespond = false

  init(
    _ connection: ServerConnection, _ stream: HTTP2StreamRef,
    _ fields: [(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)]
  ) {
    self.connection = connection
    self.stream = stream
    self.fields = fields.map {
      (String(decoding: $0.name, as: UTF8.self), String(decoding: $0.value, as: UTF8.self))
    }
  }

  func field(_ name: String) -> String? { fields.first { $0.0 == name }?.1 }

  func received(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while case .message(let message) = framer.next(&rest) {
      connection.server.onMessage(self, Array(message))
    }
  }

  func respond(
    _ fields: [(String, String)] = [(":status", "200"), ("content-type", "application/grpc")],
    endsStream: Bool = false
  ) {
    didRespond = true
    connection.session.submitResponse(stream, list(fields), endsStream: endsStream)
    connection.scheduleFlush()
  }

  func send(_ message: [UInt8]) {
    let frame =
      [0] + withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
    sendRaw(frame)
  }

  func sendRaw(_ bytes: [UInt8]) {
    if let place = connection.session.reserve(stream, bytes.count), !bytes.isEmpty {
      bytes.withUnsafeBytes { place.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    }
    connection.scheduleFlush()
  }

  /// nil = END_STREAM on the last DATA, without trailers.
  func finish(_ trailers: [(String, String)]?) {
    connection.session.finish(stream, trailers: trailers.map(list))
    connection.scheduleFlush()
  }

  func reset(_ code: HTTP2ErrorCode) {
    connection.session.reset(stream, code)
    connection.scheduleFlush()
  }

  private func list(_ fields: [(String, String)]) -> HTTP2FieldList {
    let list = HTTP2FieldList()
    for (name, value) in fields { list.append(name, value) }
    return list
  }
}
