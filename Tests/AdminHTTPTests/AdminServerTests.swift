import AdminHTTP
import Testing
import UVLoop

@Suite("The admin port's server")
struct AdminServerTests {
  /// A server whose answers name the request, and a client on the same loop.
  private final class Bench {
    let loop: EventLoop
    private var made: AdminServer?
    var server: AdminServer {
      guard let made else { preconditionFailure("used before it was made") }
      return made
    }
    var streams: [ServerSentStream] = []

    init(_ options: AdminOptions = AdminOptions()) throws {
      loop = try EventLoop()
      made = try AdminServer(on: loop, host: "127.0.0.1", port: 0, options: options) {
        [unowned self] request in
        if request.path == "/events" { return .events { self.streams.append($0) } }
        let pool = request.parameter("pool") ?? "none"
        return .response(.text(200, "\(request.path) \(pool)"))
      }
    }

    func connect() throws -> Peer {
      let peer = Peer()
      try ByteStream.connect(to: ListenAddress(parsing: server.address), on: loop) {
        guard case .success(let stream) = $0 else { return }
        peer.stream = stream
        stream.handler = peer
        stream.startReading()
      }
      run { peer.stream != nil }
      return peer
    }

    /// Until it holds; a watchdog makes the test fail instead of hanging it.
    func run(until isDone: () -> Bool) {
      var isLate = false
      let watchdog = LoopTimer(on: loop) { isLate = true }
      watchdog.start(afterNanoseconds: 10_000_000_000)
      while !isDone() && !isLate { loop.runOneTurn() }
      #expect(!isLate, "nothing happened")
    }
  }

  private final class Peer: ByteStreamHandler {
    var stream: ByteStream?
    var text = ""
    var hasEnded = false

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
      text += String(decoding: bytes, as: UTF8.self)
    }
    func streamDidEnd(_ error: UVError?) { hasEnded = true }
    func streamDidDrain() {}
    func send(_ text: String) {
      var text = text
      text.withUTF8 { _ = stream?.write(UnsafeRawBufferPointer($0)) }
    }
    deinit { stream?.close() }
  }

  @Test("two requests on one connection are answered, queries decoded")
  func keepsAlive() throws {
    let bench = try Bench()
    let peer = try bench.connect()
    peer.send("GET /api?pool=a%20b HTTP/1.1\r\nHost: localhost\r\n\r\n")
    bench.run { peer.text.contains("/api a b\n") }
    #expect(peer.text.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(!peer.text.contains("Connection: close"))
    peer.send("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n")
    bench.run { peer.text.contains("/other none\n") }
    #expect(bench.server.requests == 2)
    #expect(bench.server.refusals == 0)
    bench.server.close()
  }

  @Test("HEAD is answered without a body")
  func head() throws {
    let bench = try Bench()
    let peer = try bench.connect()
    peer.send("HEAD /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    bench.run { peer.hasEnded }
    #expect(peer.text.contains("Content-Length: 8\r\n"))
    #expect(peer.text.hasSuffix("\r\n\r\n"))
    bench.server.close()
  }

  @Test(
    "other methods, bodies and foreign hosts are refused and their connection ends",
    arguments: [
      ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", "405"),
      ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
      ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", "400"),
      ("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
      ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403"),
      ("no request\r\n\r\n", "400"),
    ])
  func refuses(_ request: String, _ status: String) throws {
    let bench = try Bench()
    let peer = try bench.connect()
    peer.send(request)
    bench.run { peer.hasEnded }
    #expect(
      peer.text.hasPrefix("HTTP/1.1 \(status) ") || peer.text.hasPrefix("HTTP/1.0 \(status) "))
    #expect(!peer.text.contains("/ none"))
    bench.server.close()
  }

  @Test("a request head over the limit is refused, not kept")
  func longHead() throws {
    var options = AdminOptions()
    options.maxRequestBytes = 4_096
    let bench = try Bench(options)
    let peer = try bench.connect()
    peer.send(
      "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + String(repeating: "x", count: 8_192) + "\r\n\r\n"
    )
    bench.run { peer.hasEnded }
    #expect(peer.text.isEmpty || peer.text.contains(" 431 ") || peer.text.contains(" 413 "))
    bench.server.close()
  }

  @Test("events reach their reader one by one, until the stream is finished")
  func events() throws {
    let bench = try Bench()
    let peer = try bench.connect()
    peer.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    bench.run { peer.text.contains("\r\n\r\n") && bench.streams.count == 1 }
    #expect(peer.text.contains("Content-Type: text/event-stream\r\n"))
    #expect(bench.streams[0].send(event: "tick", data: "{\"a\":1}"))
    bench.run { peer.text.contains("event: tick\ndata: {\"a\":1}\n\n") }
    // The library sleeps in between.
    #expect(bench.streams[0].send(event: "tick", data: "2"))
    bench.run { peer.text.contains("event: tick\ndata: 2\n\n") }
    bench.streams[0].finish()
    bench.run { peer.text.hasSuffix("0\r\n\r\n") }
    bench.run { bench.streams[0].isOver }
    #expect(bench.server.openStreams == 0)
    bench.server.close()
  }

  @Test("streams beyond the limit get 503, and there is room again when one has gone")
  func streamLimit() throws {
    var options = AdminOptions()
    options.maxStreams = 1
    let bench = try Bench(options)
    let first = try bench.connect()
    first.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    bench.run { bench.streams.count == 1 }
    let second = try bench.connect()
    second.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    bench.run { second.text.hasPrefix("HTTP/1.1 503 ") }
    var isTold = false
    bench.streams[0].onEnd = { isTold = true }
    first.stream?.close()
    // Whoever has gone is noticed when there is something to say.
    bench.run {
      bench.streams[0].send(event: "tick", data: "1")
      return isTold
    }
    second.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    bench.run { bench.streams.count == 2 }
    bench.server.close()
    #expect(bench.streams[1].isOver)
  }

  @Test("what a reader leaves unread is bounded: further events are left out")
  func unread() throws {
    var options = AdminOptions()
    options.maxUnreadStreamBytes = 100_000
    let bench = try Bench(options)
    let peer = try bench.connect()
    peer.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    bench.run { bench.streams.count == 1 }
    // Before the loop turns again nothing can leave.
    let data = String(repeating: "x", count: 9_980)
    var sent = 0
    for _ in 0..<100 where bench.streams[0].send(event: "t", data: data) { sent += 1 }
    // 10,000 bytes each; the one that goes past the limit is the last.
    #expect(sent == 11)
    #expect(bench.streams[0].leftOut == 89)
    bench.server.close()
  }

  @Test("closing ends streams that wait, and their owners are told")
  func closing() throws {
    let bench = try Bench()
    let peer = try bench.connect()
    peer.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    bench.run { bench.streams.count == 1 && peer.text.contains("\r\n\r\n") }
    var isTold = false
    bench.streams[0].onEnd = { isTold = true }
    bench.server.close()
    #expect(isTold)
    bench.run { peer.hasEnded }
  }
}
