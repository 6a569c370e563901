import GRPCServer
import GRPCWire
import Glibc
import HTTP2
import TestSupport
import Testing
import UVLoop

@Suite("connections")
struct ConnectionTests {
  @Test("what is not HTTP/2 is cut off; others do not notice")
  func badPreface() throws {
    let harness = try Harness()
    let client = try harness.connect()
    for text in ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "\u{16}\u{3}\u{1}", "PRI * HTTP/3"] {
      let stranger = RawBytes(try harness.open())
      stranger.send(Array(text.utf8))
      if text.hasPrefix("PRI") { stranger.send([UInt8](repeating: 0, count: 20)) }
      harness.run("cut off") { stranger.hasEnded }
    }
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.messages == [[1]])
    harness.finish([client])
  }

  @Test("random bytes after the preface never trap", arguments: 1...30 as ClosedRange<UInt64>)
  func garbage(seed: UInt64) throws {
    let harness = try Harness()
    var random = SplitMix64(seed: seed)
    let stranger = RawBytes(try harness.open())
    var bytes = RawBytes.preface + [0, 0, 0, 4, 0, 0, 0, 0, 0]
    for _ in 0..<20 {
      let length = Int.random(in: 0...60, using: &random)
      bytes += [0, 0, UInt8(length), UInt8.random(in: 0...9, using: &random)]
      bytes += [UInt8.random(in: .min ... .max, using: &random), 0, 0, 0]
      bytes.append(UInt8.random(in: 0...5, using: &random))
      bytes += (0..<length).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    }
    stranger.send(bytes)
    for _ in 0..<20 { harness.loop.runOneTurn(waiting: false) }
    stranger.stream.close()
    harness.finish()
  }

  @Test("garbage in place of messages is refused or ignored", arguments: [1, 2, 3] as [UInt64])
  func garbageMessages(seed: UInt64) throws {
    let harness = try Harness()
    let client = try harness.connect()
    var random = SplitMix64(seed: seed)
    var calls: [RawClient.Call] = []
    for _ in 0..<100 {
      let path = ["/test.Echo/Unary", "/test.Echo/Bidi", "/test.Echo/Repeat"].randomElement(
        using: &random)!
      let call = client.begin(path)
      let count = Int.random(in: 0...30, using: &random)
      client.send(
        call, raw: (0..<count).map { _ in UInt8.random(in: 0...3, using: &random) }, ends: true)
      calls.append(call)
    }
    harness.run("answers") { calls.allSatisfy { $0.closed != nil } }
    #expect(calls.allSatisfy { $0.grpcStatus != nil })
    harness.finish([client])
  }

  @Test("connections that come and go in the middle of things leave nothing behind")
  func churn() throws {
    let harness = try Harness()
    for index in 0..<50 {
      let client = try harness.connect()
      let call = client.begin("/test.Echo/Bidi")
      client.send(call, raw: [0, 0, 0, 0, 9, 1])
      if index % 2 == 0 { _ = client.unary("/test.Echo/Unary", [1]) }
      if index % 3 == 0 { harness.loop.runOneTurn(waiting: false) }
      client.close()
    }
    harness.run("all seen") { harness.server.statistics.connectionsTotal == 50 }
    harness.finish()
  }

  @Test("connections above the limit are closed at once")
  func limit() throws {
    var options = ServerOptions()
    options.maxConnections = 2
    let harness = try Harness(options: options)
    let first = try harness.connect()
    let second = try harness.connect()
    let third = try harness.connect()
    harness.run("refusal") { third.hasEnded }
    #expect(harness.server.statistics.connectionsRefused == 1)
    harness.finish([first, second, third])
  }

  @Test("a client that never speaks is closed after the handshake time")
  func handshake() throws {
    var options = ServerOptions()
    options.handshakeNanoseconds = 20_000_000
    let harness = try Harness(options: options)
    let silent = RawBytes(try harness.open())
    let client = try harness.connect()
    harness.run("cut off") { silent.hasEnded }
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("a peer that does not read its answers is no longer read")
  func deafPeer() throws {
    let harness = try Harness()
    var wide = HTTP2Options()
    wide.streamWindowBytes = 1 << 30
    wide.connectionWindowBytes = 1 << 30
    let client = try harness.connect(wide)
    harness.run("settings") { harness.server.statistics.connections == 1 }
    client.stream.stopReading()
    let message = [UInt8](repeating: 1, count: 1_000_000)
    let calls = (0..<40).map { _ in client.unary("/test.Echo/Unary", message) }
    var seen = 0
    // Until the server makes no headway.
    var idleTurns = 0
    while idleTurns < 200 {
      harness.loop.runOneTurn(waiting: false)
      let now = harness.echo.unaryCalls
      idleTurns = now == seen ? idleTurns + 1 : 0
      seen = now
    }
    #expect(seen < 40)
    #expect(harness.server.statistics.bufferedBytes < 16 << 20)
    client.stream.startReading()
    harness.run("all") { calls.allSatisfy { $0.closed != nil } }
    #expect(calls.allSatisfy { $0.grpcStatus == "0" })
    harness.finish([client])
  }

  @Test("a storm of resets costs the connection it comes on; others do not notice")
  func resetStorm() throws {
    var options = ServerOptions()
    options.http2.resetBurst = 1_000
    options.http2.resetsPerSecond = 10
    let harness = try Harness(options: options)
    let client = try harness.connect()
    let storm = try harness.connect()
    var begun = 0
    while !storm.hasEnded, begun < 20_000 {
      // Fewer at a time than the streams a connection may have.
      for _ in 0..<100 where !storm.hasEnded {
        guard let call = storm.beginIfAllowed("/test.Echo/Silent") else { break }
        storm.send(call, [1])
        storm.reset(call)
        begun += 1
      }
      storm.calls.removeAll()
      harness.loop.runOneTurn(waiting: false)
    }
    #expect(storm.hasEnded && begun >= 1_000)
    #expect(harness.server.statistics.cutOff[.resets] == 1)
    #expect(harness.echo.silent.allSatisfy { $0.cancellation?.code == .cancelled })
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    harness.finish([client, storm])
  }

  @Test("a client that pings without need is told so and cut off")
  func pings() throws {
    let harness = try Harness()
    let client = try harness.connect()
    // The first is welcome, three are strikes.
    for count in 1...4 {
      #expect(!client.hasEnded)
      client.session.submitPing(UInt64(count))
      client.flush()
      harness.run("answer to \(count)") { client.pings == count || client.hasEnded }
    }
    harness.run("cut off") { client.hasEnded }
    #expect(client.goAways == [.enhanceYourCalm])
    harness.finish([client])
  }

  /// grpc-go and C-core measure the way with one for each DATA they get.
  @Test("pings between answers are welcome, however many")
  func pingsBetweenAnswers() throws {
    let harness = try Harness()
    let client = try harness.connect()
    for count in 1...2_000 {
      let call = client.unary("/test.Echo/Unary", [1])
      harness.run("answer") { call.closed != nil }
      client.calls.removeAll()
      client.session.submitPing(UInt64(count))
      client.flush()
      harness.run("pong") { client.pings == count }
    }
    #expect(!client.hasEnded && client.goAways.isEmpty)
    harness.finish([client])
  }

  @Test("serves a Unix socket, and knows which process came")
  func unix() throws {
    let path = "/tmp/grpc-\(EventLoop.clock).sock"
    let harness = try Harness()
    #expect(try harness.server.listen(on: .unix(path: path)) == "unix:\(path)")
    var stream: ByteStream?
    try ByteStream.connect(to: .unix(path: path), on: harness.loop) {
      stream = try? $0.get()  // nil fails below.
    }
    harness.run("connect") { stream != nil }
    let client = RawClient(try #require(stream), HTTP2Options())
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.messages == [[1]])
    let (pid, uid, gid) = (getpid(), getuid(), getgid())
    #expect(harness.echo.lastContext?.peer == "unix:pid=\(pid),uid=\(uid),gid=\(gid)")
    #expect(harness.echo.lastIdentity?.process == .init(pid: pid, uid: uid, gid: gid))
    #expect(harness.echo.lastIdentity?.certificate == nil)
    harness.finish([client])
  }
}

@Suite("graceful stop")
struct ShutdownTests {
  @Test("running calls finish, new ones are not begun, then all is closed")
  func graceful() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let idle = try harness.connect()
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("message") { harness.echo.silent.first?.received == 1 }
    var isStopped = false
    harness.server.beginShutdown(graceNanoseconds: 10_000_000_000) { isStopped = true }
    harness.run("goaway") { client.goAways.count == 2 && idle.hasEnded }
    #expect(client.goAways == [.noError, .noError])
    #expect(!isStopped && call.closed == nil)
    harness.echo.silent[0].responses.finish(.ok)
    harness.run("end") { isStopped }
    #expect(call.grpcStatus == "0")
    #expect(harness.server.statistics.connections == 0)
  }

  @Test("what outlives the grace time is cancelled with UNAVAILABLE")
  func grace() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("message") { harness.echo.silent.first?.received == 1 }
    var isStopped = false
    harness.server.beginShutdown(graceNanoseconds: 30_000_000) { isStopped = true }
    harness.run("end") { isStopped && client.hasEnded }
    #expect(harness.echo.silent[0].cancellation?.code == .unavailable)
    #expect(call.grpcStatus == "14")
  }

  @Test("a server without connections stops at once")
  func idle() throws {
    let harness = try Harness()
    var isStopped = false
    harness.server.beginShutdown(graceNanoseconds: 10_000_000_000) { isStopped = true }
    #expect(isStopped)
  }
}
