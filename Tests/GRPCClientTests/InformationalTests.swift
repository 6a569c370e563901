import GRPCClient
import GRPCWire
import Testing
import UVLoop

/// Answers each request with bytes made by hand: HTTP/2 libraries of servers send no such things.
private final class HandmadeServer: ByteStreamHandler {
  private var listener: StreamListener?
  private var stream: ByteStream?
  private var received: [UInt8] = []
  private let answer: [UInt8]
  var target: String { listener?.address ?? "" }

  init(_ loop: EventLoop, answer: [UInt8]) throws {
    self.answer = answer
    listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) {
      [unowned self] stream in
      self.stream = stream
      stream.handler = self
      stream.startReading()
      send(HandmadeServer.frame(4))
    }
  }

  func stop() {
    stream?.close()
    listener?.close()
  }

  private func send(_ bytes: [UInt8]) { #expect(stream?.write(bytes) == true) }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    received.append(contentsOf: bytes)
    // The preface, and then frames; the first DATA with END_STREAM is the request's end.
    var rest = received.dropFirst(24)
    while rest.count >= 9 {
      let head = Array(rest.prefix(9))
      if head[3] == 0, head[4] & 1 == 1 { return send(answer) }
      rest = rest.dropFirst(9 + Int(head[0]) << 16 + Int(head[1]) << 8 + Int(head[2]))
    }
  }
  func streamDidEnd(_ error: UVError?) { stream?.close() }
  func streamDidDrain() {}

  static func frame(_ kind: UInt8, flags: UInt8 = 0, on stream: UInt8 = 0, _ payload: [UInt8] = [])
    -> [UInt8]
  {
    [0, 0, UInt8(payload.count), kind, flags, 0, 0, 0, stream] + payload
  }

  /// HEADERS on stream 1, each field a literal that is not indexed.
  static func headers(_ fields: [(String, String)], ends: Bool = false) -> [UInt8] {
    let block = fields.flatMap { name, value in
      [0, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
    }
    return frame(1, flags: ends ? 5 : 4, on: 1, block)
  }
}

extension ByteStream {
  fileprivate func write(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { write($0) } }
}

/// RFC 9113, 8.1: any number of header blocks with a status of 1xx may come before the response's.
@Suite("Informational responses")
struct InformationalTests {
  private func outcome(of answer: [UInt8]) throws -> (status: Status, message: [UInt8])? {
    let loop = try EventLoop()
    let server = try HandmadeServer(loop, answer: answer)
    let channel = try GRPCChannel(loop: loop, target: server.target)
    var outcome: (Status, [UInt8])?
    _ = channel.unary(
      path: "/test.Service/Method", message: UnsafeRawBufferPointer(start: nil, count: 0),
      timeoutNanoseconds: 10_000_000_000
    ) { outcome = ($0, Array($1)) }
    while outcome == nil, loop.runOneTurn() {}
    channel.close()
    server.stop()
    loop.runOneTurn(waiting: false)
    return outcome
  }

  private let final = HandmadeServer.headers([
    (":status", "200"), ("content-type", "application/grpc"),
  ])
  private let message = HandmadeServer.frame(0, on: 1, [0, 0, 0, 0, 2, 4, 2])
  private let trailers = HandmadeServer.headers([("grpc-status", "0")], ends: true)

  @Test("1xx header blocks before the response are skipped, whatever they say")
  func skipped() throws {
    let early = HandmadeServer.headers([(":status", "103"), ("link", "</a>")])
    let misleading = HandmadeServer.headers([
      (":status", "100"), ("content-type", "text/html"), ("grpc-status", "13"),
      ("grpc-encoding", "br"),
    ])
    let found = try outcome(of: early + misleading + early + final + message + trailers)
    #expect(found?.status == .ok && found?.message == [4, 2])
  }

  @Test("1xx header blocks before an error in the headers alone are skipped")
  func beforeTrailersOnly() throws {
    let early = HandmadeServer.headers([(":status", "103"), ("x-early", "1")])
    let refusal = HandmadeServer.headers(
      [
        (":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5"),
        ("x-late", "2"),
      ], ends: true)
    let found = try outcome(of: early + refusal)
    #expect(found?.status == Status(.notFound, "", trailers: [.init("x-late", "2")]))
  }
}
