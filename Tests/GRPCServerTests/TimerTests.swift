@testable import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

private let millisecond: UInt64 = 1_000_000

/// What is waited for in vain. The times are options, and short here; no test sleeps.
@Suite("slow clients")
struct SlowClientTests {
  /// Waits until the server cuts `stranger` off, while others are served.
  private func expectEnd(
    of stranger: RawBytes, _ reason: CutOff, in harness: Harness, goAway: UInt32?
  ) throws {
    let client = try harness.connect()
    harness.run("the end") { stranger.hasEnded }
    #expect(stranger.goAway == goAway)
    #expect(harness.server.statistics.cutOff[reason] == 1)
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    harness.finish([client])
  }

  private func harness(_ change: (inout ServerOptions) -> Void) throws -> Harness {
    var options = ServerOptions()
    change(&options)
    return try Harness(options: options)
  }

  @Test("half a preface is waited for no longer than the handshake may take")
  func halfPreface() throws {
    let harness = try harness { $0.handshakeNanoseconds = 40 * millisecond }
    let stranger = RawBytes(try harness.open())
    stranger.send(Array(RawBytes.preface.prefix(10)))
    try expectEnd(of: stranger, .handshake, in: harness, goAway: 4)
  }

  @Test("SETTINGS that are not acknowledged end the connection with SETTINGS_TIMEOUT")
  func unacknowledgedSettings() throws {
    let harness = try harness { $0.handshakeNanoseconds = 40 * millisecond }
    let stranger = RawBytes(try harness.open())
    stranger.send(RawBytes.preface + stranger.frame(4))
    try expectEnd(of: stranger, .handshake, in: harness, goAway: 4)
  }

  @Test("a header block that does not end is cut off")
  func halfHeaders() throws {
    let harness = try harness { $0.requestStallNanoseconds = 40 * millisecond }
    let stranger = RawBytes(try harness.open())
    stranger.greet()
    stranger.send(stranger.frame(1, on: 1, head()))
    try expectEnd(of: stranger, .slowHeaders, in: harness, goAway: 11)
  }

  @Test(
    "a request that does not arrive ends its call only",
    arguments: [[], [0, 0, 0], [0, 0, 0, 0, 9, 1, 2], [0, 0, 0, 0, 1, 7]] as [[UInt8]])
  func halfRequest(sent: [UInt8]) throws {
    let harness = try harness { $0.requestStallNanoseconds = 40 * millisecond }
    let client = try harness.connect()
    let slow = client.begin("/test.Echo/Unary")
    client.send(slow, raw: sent)
    harness.run("the end") { slow.closed != nil }
    #expect(slow.grpcStatus == "4" && slow.grpcMessage == "the request does not arrive")
    #expect(harness.server.statistics.cutOff[.slowRequest] == 1)
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("a stream may stay silent between its messages for as long as it likes, not within one")
  func silentStream() throws {
    let harness = try harness { $0.requestStallNanoseconds = 20 * millisecond }
    let client = try harness.connect()
    let quiet = client.begin("/test.Echo/Silent")
    client.send(quiet, [1])
    let torn = client.begin("/test.Echo/Silent")
    client.send(torn, raw: [0, 0, 0, 0, 9, 1])
    harness.run("the end") { torn.closed != nil }
    #expect(torn.grpcStatus == "4")
    #expect(quiet.closed == nil)
    harness.finish([client])
  }

  @Test("a client that closes its window loses the call it does not read, and no other")
  func closedWindow() throws {
    let harness = try harness { $0.responseStallNanoseconds = 40 * millisecond }
    var closed = HTTP2Options()
    closed.streamWindowBytes = 0
    let client = try harness.connect(closed)
    client.session.submitPing(1)
    client.flush()
    harness.run("settings") { client.pings == 1 }
    let unread = client.unary("/test.Echo/Unary", [1])
    let stream = client.begin("/test.Echo/Bidi")
    client.send(stream, [1, 2])
    harness.run("the ends") { unread.closed != nil && stream.closed != nil }
    #expect(unread.closed == .cancel && stream.closed == .cancel)
    #expect(harness.server.statistics.cutOff[.unreadResponses] == 2)
    // No window is needed for this answer.
    let failed = client.unary("/test.Echo/Fail", [1])
    harness.run("answer") { failed.closed != nil }
    #expect(failed.grpcStatus == "9")
    harness.finish([client])
  }

  @Test("a connection window that is never opened again costs the calls that wait for it")
  func closedConnectionWindow() throws {
    let harness = try harness { $0.responseStallNanoseconds = 40 * millisecond }
    let client = try harness.connect()
    client.consumes = false
    let calls = (0..<20).map { _ in client.begin("/test.Echo/Bidi") }
    for call in calls { client.send(call, [UInt8](repeating: 1, count: 1_000_000)) }
    // 16 MiB is the window: what is left of twenty megabytes is that of four calls at least.
    harness.run("the ends") { calls.filter { $0.closed == .cancel }.count >= 4 }
    #expect(calls.contains { $0.closed == nil && $0.messages.count == 1 })
    client.consumeAll()
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("a socket that is not read is closed")
  func unreadSocket() throws {
    let harness = try harness { $0.responseStallNanoseconds = 40 * millisecond }
    var wide = HTTP2Options()
    wide.streamWindowBytes = 1 << 30
    wide.connectionWindowBytes = 1 << 30
    let deaf = try harness.connect(wide)
    let other = try harness.connect()
    deaf.session.submitPing(1)
    deaf.flush()
    harness.run("settings") { deaf.pings == 1 }
    let message = [UInt8](repeating: 1, count: 1_000_000)
    for _ in 0..<40 { _ = deaf.unary("/test.Echo/Unary", message) }
    deaf.stream.stopReading()
    harness.run("the end") { harness.server.statistics.cutOff[.unreadSocket] == 1 }
    let call = other.unary("/test.Echo/Unary", message)
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    harness.finish([deaf, other])
  }

  @Test("a client that reads slowly, but reads, keeps its call until it stops")
  func slowReader() throws {
    let limit = 40 * millisecond
    let harness = try harness { $0.responseStallNanoseconds = limit }
    var narrow = HTTP2Options()
    narrow.streamWindowBytes = 2_000
    let client = try harness.connect(narrow)
    client.consumes = false
    let call = client.unary("/test.Echo/Unary", [UInt8](repeating: 1, count: 2_000_000))
    // 2,000 bytes each 5 ms, for six times the limit.
    let began = EventLoop.clock
    var lastRead = began
    harness.run("a long time") {
      if EventLoop.clock &- lastRead > 5 * millisecond {
        lastRead = EventLoop.clock
        client.consumeAll()
        client.consumes = false
      }
      return EventLoop.clock &- began > 6 * limit || call.closed != nil
    }
    #expect(call.closed == nil && call.data.count > 10_000 && call.data.count < 1_000_000)
    harness.run("the end") { call.closed != nil }
    #expect(call.closed == .cancel)
    #expect(harness.server.statistics.cutOff[.unreadResponses] == 1)
    harness.finish([client])
  }
}

@Suite("keepalive, idleness and age")
struct LifetimeTests {
  private func harness(_ change: (inout ServerOptions) -> Void) throws -> Harness {
    var options = ServerOptions()
    change(&options)
    return try Harness(options: options)
  }

  @Test("a silent client is pinged, and stays while it answers")
  func keepalive() throws {
    let harness = try harness {
      $0.keepaliveNanoseconds = 5 * millisecond
      $0.keepaliveTimeoutNanoseconds = 10_000 * millisecond
    }
    let client = try harness.connect()
    harness.run("three pings") { client.serverPings >= 3 }
    #expect(!client.hasEnded && harness.server.statistics.connections == 1)
    harness.finish([client])
  }

  @Test("a silent client that does not answer is gone")
  func keepaliveTimeout() throws {
    let harness = try harness {
      $0.keepaliveNanoseconds = 5 * millisecond
      $0.keepaliveTimeoutNanoseconds = 20 * millisecond
    }
    let dead = RawBytes(try harness.open())
    dead.greet()
    harness.run("the end") { dead.hasEnded }
    #expect(harness.server.statistics.cutOff[.keepalive] == 1)
    harness.finish()
  }

  @Test("times that have passed before the greeting do not keep the loop from its work")
  func pastTimes() throws {
    let harness = try harness {
      $0.keepaliveNanoseconds = 1
      $0.maxIdleNanoseconds = ServerOptions.never
    }
    let silent = RawBytes(try harness.open())
    let client = try harness.connect()
    for _ in 0..<20 {
      let call = client.unary("/test.Echo/Unary", [1])
      harness.run("answer") { call.closed != nil }
      #expect(call.grpcStatus == "0")
    }
    #expect(!silent.hasEnded)
    silent.stream.close()
    harness.finish([client])
  }

  @Test("a connection without calls for long enough is ended gracefully")
  func idle() throws {
    let harness = try harness { $0.maxIdleNanoseconds = 30 * millisecond }
    let client = RawBytes(try harness.open())
    client.greet()
    let busy = try harness.connect()
    let open = busy.begin("/test.Echo/Silent")
    busy.send(open, [1])
    client.send(client.frame(1, flags: 4, on: 1, head()))
    client.send(client.frame(0, flags: 1, on: 1, [0, 0, 0, 0, 1, 7]))
    harness.run("the notice") { !client.goAways.isEmpty }
    // The notice is followed by a ping, and the last word by nothing.
    let ping = try #require(client.frames.last)
    #expect(ping.kind == 6 && client.goAways[0] == (0x7FFF_FFFF, 0))
    #expect(!client.hasEnded)
    client.send(client.frame(6, flags: 1, ping.payload))
    harness.run("the end") { client.hasEnded }
    #expect(client.goAways.count == 2 && client.goAways[1] == (1, 0))
    #expect(!busy.hasEnded && open.closed == nil)
    #expect(harness.server.statistics.cutOff[.idle] == 1)
    harness.finish([busy])
  }

  @Test("an old connection takes no new calls, and those it has finish")
  func age() throws {
    let harness = try harness {
      $0.maxAgeNanoseconds = 40 * millisecond
      $0.ageSeed = 1
    }
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("both GOAWAYs") { client.goAways.count == 2 }
    #expect(client.goAways == [.noError, .noError] && call.closed == nil)
    #expect(client.beginIfAllowed("/test.Echo/Unary") == nil)
    harness.echo.silent[0].responses.finish(.ok)
    harness.run("the end") { client.hasEnded }
    #expect(call.grpcStatus == "0")
    #expect(harness.server.statistics.cutOff[.age] == 1)
    harness.finish()
  }

  @Test("calls that outlive the grace of an old connection are cancelled")
  func ageGrace() throws {
    let harness = try harness {
      $0.maxAgeNanoseconds = 10 * millisecond
      $0.ageGraceNanoseconds = 20 * millisecond
    }
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("the end") { client.hasEnded }
    #expect(call.grpcStatus == "14")
    #expect(call.grpcMessage == "the connection has reached its age limit")
    harness.finish()
  }

  @Test("ages lie within a tenth of the limit and differ")
  func jitter() throws {
    let harness = try harness {
      $0.maxAgeNanoseconds = 1_000_000
      $0.ageSeed = 42
    }
    let ends = (0..<1_000).map { _ in harness.server.endOfLife(from: 5_000_000) }
    #expect(ends.allSatisfy { (5_900_000...6_100_000).contains($0) })
    #expect(Set(ends).count > 900)
    #expect(ends.contains { $0 < 5_920_000 } && ends.contains { $0 > 6_080_000 })
    harness.finish()
  }

  @Test("without a call open, a client has to wait longer between its pings")
  func pingsWithoutCalls() throws {
    let harness = try harness {
      // Any two are far enough apart while a call is open.
      $0.minPingIntervalNanoseconds = 0
      $0.maxPingStrikes = 0
    }
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    for count in 1...5 {
      client.session.submitPing(UInt64(count))
      client.flush()
      harness.run("answer to \(count)") { client.pings == count }
    }
    client.reset(call)
    harness.run("reset") { harness.server.statistics.activeCalls == 0 }
    client.session.submitPing(6)
    client.flush()
    harness.run("cut off") { client.hasEnded }
    #expect(client.goAways == [.enhanceYourCalm])
    harness.finish([client])
  }

  @Test("a stop does not wait for streams with nothing under way")
  func idleStreamAtStop() throws {
    let harness = try harness { $0.idleCallGraceNanoseconds = 20 * millisecond }
    let client = try harness.connect()
    let idle = client.begin("/test.Echo/Polite")
    client.send(idle, [1])
    harness.run("answer") { idle.messages == [[1]] }
    var isStopped = false
    harness.server.beginShutdown(graceNanoseconds: 3_600_000 * millisecond) { isStopped = true }
    harness.run("the end") { isStopped }
    #expect(idle.grpcStatus == "14" && idle.grpcMessage == "the server is shutting down")
  }

  @Test("a stop waits for a stream in the middle of a message")
  func busyStreamAtStop() throws {
    let harness = try harness { $0.idleCallGraceNanoseconds = 1 * millisecond }
    let client = try harness.connect()
    let busy = client.begin("/test.Echo/Polite")
    client.send(busy, raw: [0, 0, 0, 0, 2, 1])
    let idle = client.begin("/test.Echo/Polite")
    client.send(idle, [1])
    harness.run("answer") { idle.messages == [[1]] }
    var isStopped = false
    harness.server.beginShutdown(graceNanoseconds: 3_600_000 * millisecond) { isStopped = true }
    harness.run("the idle one's end") { idle.closed != nil }
    #expect(busy.closed == nil)
    client.send(busy, raw: [2], ends: true)
    harness.run("the end") { isStopped && busy.closed != nil }
    #expect(busy.messages == [[1, 2]] && busy.grpcStatus == "0")
  }
}
