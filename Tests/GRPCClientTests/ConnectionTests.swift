import GRPCClient
import GRPCWire
import HTTP2
import Testing
import UVLoop

@Suite("Connections")
struct ConnectionTests {
  private static let path = "/test.Service/Method"
  private static var nothing: UnsafeRawBufferPointer { .init(start: nil, count: 0) }

  @Test("a refused connection fails every waiting call in the system's words")
  func refused() throws {
    let fixture = try ClientFixture()
    let target = fixture.server.target
    fixture.server.stop()
    fixture.loop.runOneTurn(waiting: false)
    var statuses: [Status] = []
    for _ in 0..<3 {
      fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in
        statuses.append(status)
      }
    }
    let recorder = Recorder()
    let stream = fixture.channel.startStream(path: Self.path, handler: recorder)
    #expect(stream.send(bytes: [1]), "it waits like a call")
    fixture.run { statuses.count == 3 && recorder.status != nil }
    let expected = Status(
      .unavailable, "connect to \(target): connection refused (ECONNREFUSED)")
    #expect(statuses == [expected, expected, expected])
    #expect(recorder.status == expected)
  }

  @Test("after a failed attempt the next call waits a little, then connects again")
  func reconnectsAfterRefusal() throws {
    var options = GRPCClientOptions()
    options.reconnectDelayNanoseconds = 50_000_000
    let path = "/tmp/quire-client-\(EventLoop.clock).sock"
    let fixture = try ClientFixture(at: .unix(path: path), options: options)
    fixture.server.stop()
    #expect(fixture.unary().status.code == .unavailable)
    let failedAt = EventLoop.clock
    let revived = try ScriptedServer(loop: fixture.loop, at: .unix(path: path))
    revived.echo()
    #expect(fixture.unary([9]).message == [9])
    // The delay counts from the start of the failed attempt, which took far less than 30 ms.
    #expect(EventLoop.clock - failedAt >= 20_000_000)
    revived.stop()
  }

  @Test("a name that does not resolve is UNAVAILABLE and named")
  func unknownHost() throws {
    let loop = try EventLoop()
    let channel = try GRPCChannel(loop: loop, target: "no-such-host.invalid:1")
    var outcome: Status?
    channel.unary(path: Self.path, message: Self.nothing) { status, _ in outcome = status }
    while outcome == nil, loop.runOneTurn() {}
    #expect(outcome?.code == .unavailable)
    #expect(outcome?.message.contains("no-such-host.invalid") == true)
  }

  @Test("a server that dies takes its calls with it; the next call finds the next server")
  func killedMidCall() throws {
    let fixture = try ClientFixture()
    var started = 0
    fixture.server.onStart = { _ in started += 1 }
    var statuses: [Status] = []
    fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in
      statuses.append(status)
    }
    let recorder = Recorder()
    let stream = fixture.channel.startStream(path: Self.path, handler: recorder)
    fixture.run { started == 2 }
    fixture.server.kill()
    fixture.run { statuses.count == 1 && recorder.status != nil }
    #expect(statuses[0].code == .unavailable)
    #expect(recorder.status?.code == .unavailable)
    #expect(!stream.send(bytes: [1]))

    fixture.server.onStart = { _ in }
    fixture.server.echo()
    #expect(fixture.unary([5]).message == [5])
    #expect(fixture.server.acceptedCount == 2)
  }

  @Test("GOAWAY fails the calls it names as never started, and lets the others end")
  func goAway() throws {
    let fixture = try ClientFixture()
    var calls: [ServerCall] = []
    fixture.server.onStart = { calls.append($0) }
    var first: Status?
    fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in first = status }
    fixture.run { calls.count == 1 }
    let connection = try #require(fixture.server.connections.first)
    // The client's second call is on its way when the server decides.
    var second: Status?
    connection.session.submitGoAway(.noError)
    connection.scheduleFlush()
    fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in second = status }
    fixture.run { second != nil }
    #expect(second?.code == .unavailable && second?.wasNeverStarted == true)
    #expect(second?.message == "the server is going away (NO_ERROR); the call was not started")
    #expect(first == nil)

    // New calls go to a new connection while the old one finishes.
    fixture.server.echo()
    fixture.server.onStart = { _ in }
    #expect(fixture.unary([7]).message == [7])
    #expect(fixture.server.acceptedCount == 2)
    #expect(first == nil)
    calls[0].respond()
    calls[0].send([1])
    calls[0].finish([("grpc-status", "0")])
    fixture.run { first != nil }
    #expect(first == .ok)
    // With its last call the old connection is closed by the client.
    fixture.run { connection.stream.isClosed }
  }

  @Test("a peer that speaks no HTTP/2 is UNAVAILABLE")
  func notHTTP2() throws {
    let loop = try EventLoop()
    var streams: [ByteStream] = []
    let listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) { stream in
      _ = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8).withUnsafeBytes { stream.write($0) }
      streams.append(stream)
    }
    let channel = try GRPCChannel(loop: loop, target: listener.address)
    var ready: Status?
    var outcome: Status?
    channel.connect { ready = $0 }
    channel.unary(path: Self.path, message: Self.nothing) { status, _ in outcome = status }
    while outcome == nil || ready == nil, loop.runOneTurn() {}
    #expect(outcome?.code == .unavailable)
    #expect(ready?.code == .unavailable)
    listener.close()
    for stream in streams { stream.close() }
    loop.run()
  }

  @Test("a server that accepts and says nothing is given up after the connect timeout")
  func silentServer() throws {
    let loop = try EventLoop()
    var streams: [ByteStream] = []
    let listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) {
      streams.append($0)
    }
    var options = GRPCClientOptions()
    options.connectTimeoutNanoseconds = 30_000_000
    let channel = try GRPCChannel(loop: loop, target: listener.address, options: options)
    var ready: Status?
    channel.connect { ready = $0 }
    while ready == nil, loop.runOneTurn() {}
    #expect(
      ready == Status(.unavailable, "connect to \(listener.address): no answer within 30 ms"))
    listener.close()
    for stream in streams { stream.close() }
    loop.run()
  }

  @Test("connect tells when the server is there, once, and again at once later")
  func connect() throws {
    let fixture = try ClientFixture()
    var ready: [Status] = []
    fixture.channel.connect { ready.append($0) }
    #expect(!fixture.channel.isReady)
    fixture.run { ready.count == 1 }
    #expect(fixture.channel.isReady)
    fixture.channel.connect { ready.append($0) }
    fixture.run { ready.count == 2 }
    #expect(ready == [.ok, .ok])
    #expect(fixture.server.acceptedCount == 1)
  }

  @Test("calls beyond the waiting limit are refused, those within it go on")
  func waitingLimit() throws {
    var options = GRPCClientOptions()
    options.maxWaitingCalls = 2
    let fixture = try ClientFixture(options: options)
    fixture.server.echo()
    var codes: [StatusCode] = []
    for _ in 0..<3 {
      fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in
        codes.append(status.code)
      }
    }
    fixture.run { codes.count == 3 }
    #expect(codes.filter { $0 == .ok }.count == 2)
    #expect(codes.filter { $0 == .unavailable }.count == 1)
  }

  @Test("more calls than the server allows at once wait for their turn")
  func serverLimit() throws {
    var serverOptions = HTTP2Options()
    serverOptions.maxConcurrentStreams = 3
    let fixture = try ClientFixture(serverOptions: serverOptions)
    fixture.server.echo()
    var ready = false
    fixture.channel.connect { _ in ready = true }
    fixture.run { ready }
    #expect(fixture.channel.serverMaxConcurrentStreams == 3)
    var answered = 0
    for _ in 0..<50 {
      fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in
        #expect(status == .ok)
        answered += 1
      }
    }
    fixture.run { answered == 50 }
  }

  @Test("a waiting call can be cancelled before the connection is up")
  func cancelWhileWaiting() throws {
    let fixture = try ClientFixture()
    fixture.server.echo()
    var outcome: Status?
    let call = fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in
      outcome = status
    }
    call.cancel()
    fixture.run { outcome != nil }
    #expect(outcome?.code == .cancelled)
    #expect(fixture.unary([3]).message == [3])
  }

  @Test("closing ends all calls with CANCELLED, later ones too, and stops the loop")
  func close() throws {
    let fixture = try ClientFixture()
    var started = 0
    fixture.server.onStart = { _ in started += 1 }
    var codes: [StatusCode] = []
    fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in
      codes.append(status.code)
      // From within a completion, while the channel is being torn down.
      fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in
        codes.append(status.code)
      }
    }
    fixture.run { started == 1 }
    fixture.channel.close()
    fixture.channel.close()
    #expect(codes.isEmpty)
    fixture.run { codes.count == 2 }
    #expect(codes == [.cancelled, .cancelled])
    fixture.server.stop()
    fixture.loop.run()  // Returns: nothing is left open.
  }

  @Test("a channel may be closed from a completion")
  func closeFromCompletion() throws {
    let fixture = try ClientFixture()
    fixture.server.echo()
    var done = false
    fixture.channel.unary(path: Self.path, message: Self.nothing) { status, _ in
      #expect(status == .ok)
      fixture.channel.close()
      done = true
    }
    fixture.run { done }
    fixture.server.stop()
    fixture.loop.run()
  }

  @Test("a channel dropped in mid-call closes its socket")
  func dropped() throws {
    let loop = try EventLoop()
    let server = try ScriptedServer(loop: loop)
    var started = false
    server.onStart = { _ in started = true }
    var channel: GRPCChannel? = try GRPCChannel(loop: loop, target: server.target)
    channel?.unary(path: Self.path, message: Self.nothing) { _, _ in
      Issue.record("a dropped channel drops its calls unanswered")
    }
    while !started, loop.runOneTurn() {}
    channel = nil
    var closed = 0
    server.onClose = { _, _ in closed += 1 }
    while closed == 0, loop.runOneTurn() {}
    #expect(closed == 1)
    server.stop()
    loop.run()
  }

  @Test("a channel may be dropped by a completion while other answers are at hand")
  func droppedByCompletion() throws {
    let loop = try EventLoop()
    let server = try ScriptedServer(loop: loop)
    server.echo()
    var channel: GRPCChannel? = try GRPCChannel(loop: loop, target: server.target)
    var answers = 0
    for _ in 0..<20 {
      channel?.unary(path: Self.path, message: Self.nothing) { _, _ in
        answers += 1
        channel = nil
      }
    }
    while server.connections.first?.stream.isClosed != true, loop.runOneTurn() {}
    #expect(answers == 1)
    server.stop()
    loop.run()
  }
}
