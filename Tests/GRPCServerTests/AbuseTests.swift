import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

/// An attacker at work, and a well-behaved client on another connection that must not notice.
@Suite("abuse")
struct AbuseTests {
  /// Runs `attack` over and over until the attacker is cut off, with a call of the good client
  /// answered after each.
  private func attack(
    _ reason: CutOff, _ options: ServerOptions = ServerOptions(),
    goAway: UInt32? = 11, _ attack: (RawBytes, _ round: Int) -> Void
  ) throws {
    var options = options
    options.cutOffLingerNanoseconds = 1_000_000
    let harness = try Harness(options: options)
    let client = try harness.connect()
    let attacker = RawBytes(try harness.open())
    attacker.greet()
    var round = 0
    while !attacker.hasEnded, round < 2_000 {
      attack(attacker, round)
      round += 1
      let call = client.unary("/test.Echo/Unary", [1])
      harness.run("an answer for others") { call.closed != nil }
      #expect(call.grpcStatus == "0")
      client.calls.removeAll()
    }
    #expect(attacker.hasEnded)
    #expect(attacker.goAway == goAway)
    #expect(harness.server.statistics.cutOff[reason] == 1)
    #expect(CutOff.allCases.map { harness.server.statistics.cutOff[$0] }.reduce(0, +) == 1)
    harness.finish([client])
  }

  @Test("a PING flood ends its own connection only")
  func pings() throws {
    try attack(.pings) { attacker, round in
      attacker.send(attacker.frame(6, [0, 0, 0, 0, 0, 0, 0, UInt8(round & 255)]))
    }
  }

  @Test("answers to pings that nobody sent are a flood too")
  func pongs() throws {
    try attack(.controlFrames) { attacker, _ in
      attacker.send(
        (0..<100).flatMap { _ in attacker.frame(6, flags: 1, [0, 0, 0, 0, 0, 0, 0, 1]) })
    }
  }

  @Test("a SETTINGS flood ends its own connection only")
  func settings() throws {
    try attack(.controlFrames) { attacker, _ in
      attacker.send((0..<100).flatMap { _ in attacker.frame(4) })
    }
  }

  @Test("more acknowledgements than the socket takes are a flood")
  func unreadAcknowledgements() throws {
    var options = ServerOptions()
    options.controlFrameBurst = 1_000_000
    options.http2.maxQueuedAcks = 100
    try attack(.flood, options) { attacker, _ in
      attacker.send((0..<200).flatMap { _ in attacker.frame(4) })
    }
  }

  @Test("data that follows the end of its stream is a broken rule, unless the server cut it short")
  func closedStreams() throws {
    let harness = try Harness()
    let honest = RawBytes(try harness.open())
    honest.greet()
    // Refused on their headers, with bodies that were on their way: twenty of them at once.
    for index in 0..<20 {
      let id = UInt32(2 * index + 1)
      honest.send(honest.frame(1, flags: 4, on: id, head("/test.Echo/None")))
    }
    harness.run("refusals") { honest.frames.filter { $0.kind == 3 }.count == 20 }
    for index in 0..<20 {
      honest.send(honest.frame(0, flags: 1, on: UInt32(2 * index + 1), [1, 2, 3]))
    }
    honest.send(honest.frame(6, [1, 2, 3, 4, 5, 6, 7, 8]))
    harness.run("a pong") { honest.frames.contains { $0.kind == 6 && $0.flags == 1 } }
    #expect(honest.goAway == nil)

    let liar = RawBytes(try harness.open())
    liar.greet()
    liar.send(liar.frame(1, flags: 4, on: 1, head()))
    liar.send(liar.frame(0, flags: 1, on: 1, [0, 0, 0, 0, 1, 7]))
    harness.run("the answer") { liar.frames.filter { $0.kind == 1 }.count == 2 }
    liar.send(liar.frame(0, flags: 1, on: 1, [1]))
    harness.run("the end") { liar.hasEnded }
    #expect(liar.goAway == 5)
    honest.stream.close()
    harness.finish()
  }

  @Test("a PRIORITY flood ends its own connection only")
  func priorities() throws {
    try attack(.ignoredFrames) { attacker, _ in
      attacker.send((0..<100).flatMap { _ in attacker.frame(2, on: 1, [0, 0, 0, 3, 16]) })
    }
  }

  @Test("frames of unknown types, of any length, are a flood")
  func unknownTypes() throws {
    try attack(.ignoredFrames) { attacker, round in
      let payload = [UInt8](repeating: 9, count: round % 20)
      attacker.send((0..<100).flatMap { _ in attacker.frame(0x77, payload) })
    }
  }

  @Test("frames that do nothing are counted among calls that are answered")
  func ignoredAmongCalls() throws {
    try attack(.ignoredFrames) { attacker, round in
      let id = UInt32(2 * round + 1)
      attacker.send(
        (0..<100).flatMap { _ in attacker.frame(2, on: 1, [0, 0, 0, 3, 16]) }
          + attacker.frame(1, flags: 4, on: id, head())
          + attacker.frame(0, flags: 1, on: id, [0, 0, 0, 0, 1, 7]))
    }
  }

  @Test("WINDOW_UPDATE frames for a stream that is over are a flood")
  func lateWindowUpdates() throws {
    try attack(.ignoredFrames) { attacker, round in
      if round == 0 {
        attacker.send(
          attacker.frame(1, flags: 4, on: 1, head())
            + attacker.frame(0, flags: 1, on: 1, [0, 0, 0, 0, 1, 7]))
      } else {
        attacker.send((0..<100).flatMap { _ in attacker.frame(8, on: 1, [0, 0, 0, 1]) })
      }
    }
  }

  @Test("more streams than are allowed, before their client knows, are refused and no flood")
  func refusedStreams() throws {
    var options = ServerOptions()
    options.maxStreams = 10
    let harness = try Harness(options: options)
    let hasty = RawBytes(try harness.open())
    hasty.send(RawBytes.preface + hasty.frame(4))
    for index in 0..<3_000 {
      let id = UInt32(2 * index + 1)
      hasty.send(
        hasty.frame(1, flags: 4, on: id, head("/test.Echo/Silent"))
          + hasty.frame(0, on: id, [0, 0, 0, 0, 1]) + hasty.frame(0, flags: 1, on: id, [7]))
    }
    hasty.send(hasty.frame(6, [1, 2, 3, 4, 5, 6, 7, 8]))
    harness.run("a pong") { hasty.hasEnded || hasty.frames.contains { $0.kind == 6 } }
    #expect(!hasty.hasEnded && hasty.goAway == nil)
    #expect(hasty.frames.filter { $0.kind == 3 }.count == 2_990)
    #expect(harness.echo.silent.count == 10)
    hasty.stream.close()
    harness.finish()
  }

  @Test("the rest of an upload in small messages, whose call has failed, is no flood")
  func lateUpload() throws {
    let harness = try Harness()
    let honest = RawBytes(try harness.open())
    honest.greet()
    honest.send(honest.frame(1, flags: 4, on: 1, head("/test.Echo/None")))
    harness.run("the refusal") { honest.frames.contains { $0.kind == 3 } }
    honest.send((0..<5_000).flatMap { _ in honest.frame(0, on: 1, [0, 0, 0, 0, 1, 7]) })
    honest.send(honest.frame(6, [1, 2, 3, 4, 5, 6, 7, 8]))
    harness.run("a pong") { honest.hasEnded || honest.frames.contains { $0.kind == 6 } }
    #expect(!honest.hasEnded && honest.goAway == nil)
    honest.stream.close()
    harness.finish()
  }

  @Test("a PRIORITY frame with every call, and thousands beside, are nothing to object to")
  func honestPriorities() throws {
    let harness = try Harness()
    let honest = RawBytes(try harness.open())
    honest.greet()
    honest.send((0..<9_000).flatMap { _ in honest.frame(0x77, [1, 2, 3]) })
    for index in 0..<2_000 {
      let id = UInt32(2 * index + 1)
      honest.send(
        honest.frame(1, flags: 4, on: id, head()) + honest.frame(2, on: id, [0, 0, 0, 0, 16])
          + honest.frame(0, flags: 1, on: id, [0, 0, 0, 0, 1, 7]))
      if index % 100 == 99 {
        harness.run("answers") { harness.server.statistics.callsTotal == UInt64(index) + 1 }
      }
    }
    #expect(!honest.hasEnded)
    honest.stream.close()
    harness.finish()
  }

  @Test("WINDOW_UPDATE frames that give back nothing are a flood")
  func windowUpdates() throws {
    try attack(.controlFrames) { attacker, _ in
      attacker.send((0..<100).flatMap { _ in attacker.frame(8, [0, 0, 0, 1]) })
    }
  }

  @Test("SETTINGS with more entries than allowed end the connection")
  func settingsEntries() throws {
    try attack(.flood) { attacker, _ in
      let entry: [UInt8] = [0, 4, 0, 1, 0, 0]
      attacker.send(attacker.frame(4, (0..<33).flatMap { _ in entry }))
    }
  }

  @Test("a CONTINUATION flood ends its own connection only")
  func continuations() throws {
    try attack(.flood) { attacker, round in
      if round == 0 {
        attacker.send(attacker.frame(1, on: 1, head()))
      } else {
        attacker.send(attacker.frame(9, on: 1, [0, 1, 0x61, 1, 0x62]))
      }
    }
  }

  @Test(
    "empty DATA frames, and those of padding only, end their own connection only",
    arguments: [(0, []), (8, [0]), (8, [3, 0, 0, 0])] as [(flags: UInt8, payload: [UInt8])])
  func emptyData(of frame: (flags: UInt8, payload: [UInt8])) throws {
    try attack(.flood) { attacker, round in
      if round == 0 { attacker.send(attacker.frame(1, flags: 4, on: 1, head("/test.Echo/Silent"))) }
      attacker.send(
        (0..<100).flatMap { _ in attacker.frame(0, flags: frame.flags, on: 1, frame.payload) })
    }
  }

  @Test("padded DATA frames with a byte each are none of them empty")
  func paddedData() throws {
    let harness = try Harness()
    let client = RawBytes(try harness.open())
    client.greet()
    client.send(client.frame(1, flags: 4, on: 1, head("/test.Echo/Collect")))
    // 1,500 would be too many of the others at once: 300 messages of no bytes, a byte at a time.
    for _ in 0..<1_500 { client.send(client.frame(0, flags: 8, on: 1, [2, 0, 0, 0])) }
    client.send(client.frame(0, flags: 1, on: 1))
    harness.run("the answer") { client.hasEnded || client.frames.contains { $0.kind == 0 } }
    #expect(client.goAway == nil && !client.hasEnded)
    client.stream.close()
    harness.finish()
  }

  @Test("resets that the client makes the server send count as its own")
  func inducedResets() throws {
    var options = ServerOptions()
    options.http2.resetBurst = 500
    options.http2.resetsPerSecond = 1
    try attack(.inducedResets, options) { attacker, round in
      // The handler runs; then a window that grows past 2^31 - 1 is an error of the stream's.
      for index in 0..<20 {
        let stream = UInt32(2 * (20 * round + index) + 1)
        attacker.send(attacker.frame(1, flags: 4, on: stream, head("/test.Echo/Silent")))
        attacker.send(attacker.frame(8, on: stream, [0x7F, 0xFF, 0xFF, 0xFF]))
      }
    }
  }

  @Test("a call whose stream the server had to reset is over at once")
  func inducedResetFreesTheCall() throws {
    let harness = try Harness()
    let attacker = RawBytes(try harness.open())
    attacker.greet()
    attacker.send(attacker.frame(1, flags: 4, on: 1, head("/test.Echo/Silent")))
    harness.run("the call") { harness.echo.silent.count == 1 }
    #expect(harness.server.statistics.activeCalls == 1)
    attacker.send(attacker.frame(8, on: 1, [0x7F, 0xFF, 0xFF, 0xFF]))
    harness.run("the end") { harness.echo.silent[0].cancellation != nil }
    #expect(harness.server.statistics.activeCalls == 0)
    attacker.stream.close()
    harness.finish()
  }

  @Test("honest deadlines may reset a thousand streams together")
  func honestResets() throws {
    let harness = try Harness()
    let client = try harness.connect()
    for _ in 0..<5 {
      let calls = (0..<500).map { _ in client.begin("/test.Echo/Silent") }
      for call in calls { client.send(call, [1]) }
      harness.run("messages") { harness.echo.silent.allSatisfy { $0.received == 1 } }
      for call in calls { client.reset(call) }
      client.calls.removeAll()
      harness.run("ends") { harness.server.statistics.activeCalls == 0 }
    }
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0" && client.goAways.isEmpty)
    harness.finish([client])
  }

  @Test("a small header block that unpacks to much is refused alone")
  func headerBomb() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let attacker = RawBytes(try harness.open())
    attacker.greet()
    // One field of 4,000 bytes goes into the table, and is then named 4,000 times, a byte each.
    let big = [0x40, 1, 0x61, 0x7F, 0xA1, 0x1E] + [UInt8](repeating: 0x62, count: 4_000)
    attacker.send(
      attacker.frame(
        1, flags: 4, on: 1, head() + big + [UInt8](repeating: 0xBE, count: 4_000)))
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    #expect(!attacker.hasEnded)
    attacker.stream.close()
    harness.finish([client])
  }

  @Test("an HTTP/1 request is told in its own words what this port speaks")
  func http1() throws {
    let harness = try Harness()
    let stranger = RawBytes(try harness.open())
    stranger.send(Array("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
    harness.run("the end") { stranger.hasEnded }
    #expect(stranger.text.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
    #expect(
      stranger.text.hasSuffix(
        "\r\n\r\nThis port speaks gRPC, over HTTP/2 without an upgrade from HTTP/1.\n"))
    #expect(harness.server.statistics.cutOff[.notHTTP2] == 1)
    harness.finish()
  }

  @Test("what is cut off is reported once, with its address")
  func report() throws {
    let harness = try Harness()
    var reports: [(CutOff, String)] = []
    harness.server.onCutOff = { reports.append(($0, $1)) }
    let stranger = RawBytes(try harness.open())
    stranger.send([0x16, 3, 1, 0, 0])
    harness.run("the end") { stranger.hasEnded }
    #expect(reports.map(\.0) == [.notHTTP2])
    #expect(reports[0].1.hasPrefix("127.0.0.1:"))
    #expect(stranger.received.isEmpty)
    harness.server.onCutOff = nil
    harness.finish()
  }
}

/// A request's fields by name and value, none of them indexed.
func head(_ path: String = "/test.Echo/Unary") -> [UInt8] {
  let fields = [
    (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"),
    ("content-type", "application/grpc"), ("te", "trailers"),
  ]
  return fields.flatMap { name, value in
    [0, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
  }
}
