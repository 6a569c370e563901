import GRPCClient
import GRPCServer
import GRPCWire
import TLSEngine
import TestSupport
import Testing
import UVLoop

/// A server with certificates and a channel to it, on one loop.
final class SecurePair {
  let loop: EventLoop
  let server: GRPCServer
  let channel: GRPCChannel
  let address: String
  /// Of the last unary call, as the handler saw it.
  var identity: PeerIdentity? { seen.identity }
  private let seen: Seen
  private let trusted: String
  private var watchdog: LoopTimer?
  private var isLate = false

  init(
    options: ServerOptions = ServerOptions(), clientCA: String? = nil, trusting ca: String = "ca",
    certificate: String? = nil, serverName: String? = nil
  ) throws {
    loop = try EventLoop()
    trusted = ca
    let seen = Seen()
    self.seen = seen
    let services = SecurePair.services { seen.identity = $0 }
    server = GRPCServer(loop: loop, services: services, options: options)
    server.tls = try TLSContext(server: SecurePair.serverFiles("server", clientCA: clientCA))
    address = try server.listen(on: .tcp(host: "127.0.0.1", port: 0), isSecure: true)
    var files = SecurePair.clientFiles(trusting: ca, certificate: certificate)
    files.serverName = serverName
    channel = try GRPCChannel(loop: loop, target: address, tls: try TLSContext(client: files))
    watchdog = LoopTimer(on: loop) { [unowned self] in isLate = true }
  }

  private final class Seen { var identity: PeerIdentity? }

  private static func services(_ see: @escaping (PeerIdentity) -> Void) -> ServiceTable {
    let table = ServiceTable()
    table.unary("/test.Echo/Unary") { request, reply, call in
      see(call.identity)
      if let source = request.baseAddress {
        reply.message(byteCount: request.count)
          .copyMemory(from: source, byteCount: request.count)
      } else {
        _ = reply.message(byteCount: 0)
      }
      return .ok
    }
    table.streaming("/test.Echo/Stream", isClientStreaming: true) { responses, _ in
      EchoStream(responses)
    }
    return table
  }

  static func serverFiles(_ name: String, clientCA: String? = nil) -> TLSServerConfiguration {
    TLSServerConfiguration(
      certificatePath: TestCertificates.path("\(name).pem"),
      keyPath: TestCertificates.path("\(name).key"),
      clientCAPath: clientCA.map { TestCertificates.path("\($0).pem") })
  }

  static func clientFiles(trusting ca: String, certificate: String? = nil)
    -> TLSClientConfiguration
  {
    var files = TLSClientConfiguration()
    files.caPath = TestCertificates.path("\(ca).pem")
    files.certificatePath = certificate.map { TestCertificates.path("\($0).pem") }
    files.keyPath = certificate.map { TestCertificates.path("\($0).key") }
    return files
  }

  func makeChannel() throws -> GRPCChannel {
    try GRPCChannel(
      loop: loop, target: address,
      tls: try TLSContext(client: SecurePair.clientFiles(trusting: trusted)))
  }

  /// Runs the loop until `condition` holds; a test that waits for twenty seconds has failed.
  func run(until condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    isLate = false
    watchdog?.start(afterNanoseconds: 20_000_000_000)
    while !condition(), !isLate { loop.runOneTurn() }
    watchdog?.stop()
    #expect(!isLate, "the condition did not come true", sourceLocation: sourceLocation)
  }

  /// Makes one unary call and waits for its end.
  func unary(_ message: [UInt8], on other: GRPCChannel? = nil) -> (
    status: Status, message: [UInt8]
  ) {
    var outcome: (Status, [UInt8])?
    message.withUnsafeBytes {
      _ = (other ?? channel).unary(path: "/test.Echo/Unary", message: $0) {
        outcome = ($0, Array($1))
      }
    }
    run { outcome != nil }
    return outcome ?? (Status(.unknown, "no outcome"), [])
  }

  /// A connected stream to the server with nothing on it.
  func probe() throws -> Probe {
    var stream: ByteStream?
    try ByteStream.connect(to: try ListenAddress(parsing: address), on: loop) {
      if case .success(let connected) = $0 { stream = connected }
    }
    run { stream != nil }
    return Probe(try #require(stream))
  }

  /// Stops both and expects nothing to be left.
  func finish() {
    channel.close()
    run { server.statistics.connections == 0 }
    let left = server.statistics
    #expect(left.openStreams == 0 && left.activeCalls == 0 && left.budgetedBytes == 0)
    server.beginShutdown(graceNanoseconds: 1_000_000_000) {}
    watchdog = nil
    loop.run()
  }
}

/// A client that speaks TLS, or does not, and no HTTP/2.
final class Probe: ByteStreamHandler {
  let stream: ByteStream
  var tls: TLSSession?
  var progress = TLSSession.Progress.more
  /// Plaintext with TLS, otherwise what came.
  var received: [UInt8] = []
  var hasEnded = false

  init(_ stream: ByteStream) {
    self.stream = stream
    stream.handler = self
    stream.startReading()
  }

  func startTLS(_ context: TLSContext) {
    let tls = TLSSession(context, host: "localhost")
    self.tls = tls
    #expect(tls.start() == nil)
    send(tls.context.buffers)
  }

  private func send(_ buffers: TLSBuffers) {
    _ = stream.write(buffers.bytes(from: 0))
    buffers.truncate(to: 0)
  }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    guard let tls else {
      received += bytes
      return
    }
    let now = tls.receive(bytes) {
      received += $0
      return true
    }
    if progress == .more { progress = now }
    send(tls.context.buffers)
  }

  func streamDidEnd(_ error: UVError?) {
    hasEnded = true
    stream.close()
  }
  func streamDidDrain() {}
}

/// Sends each message back at once.
final class EchoStream: RequestStream {
  let responses: any ResponseStream
  init(_ responses: any ResponseStream) { self.responses = responses }

  func received(_ message: UnsafeRawBufferPointer) {
    responses.send(byteCount: message.count) {
      if let source = message.baseAddress {
        $0.copyMemory(from: source, byteCount: message.count)
      }
    }
  }
  func halfClosed() { responses.finish(.ok) }
  func cancelled(_ status: Status) {}
  func drained() {}
}
