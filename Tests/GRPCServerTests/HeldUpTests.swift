@testable import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

private let millisecond: UInt64 = 1_000_000

/// What looks like a client that does not move and is none. Each test waits until somebody who began
/// later, and really does not, is cut off.
@Suite("clients that are held up")
struct HeldUpTests {
  private func harness(_ change: (inout ServerOptions) -> Void) throws -> Harness {
    var options = ServerOptions()
    change(&options)
    return try Harness(options: options)
  }

  /// A client whose windows never close.
  private func wide(_ harness: Harness) throws -> RawClient {
    var options = HTTP2Options()
    options.streamWindowBytes = 1 << 30
    options.connectionWindowBytes = 1 << 30
    let client = try harness.connect(options)
    client.session.submitPing(1)
    client.flush()
    harness.run("settings") { client.pings == 1 }
    return client
  }

  private func halfHeaders(_ harness: Harness) throws -> RawBytes {
    let stranger = RawBytes(try harness.open())
    stranger.greet()
    stranger.send(stranger.frame(1, on: 1, head()))
    return stranger
  }

  private func send(_ byteCount: Int, _ stream: SilentStream) {
    stream.responses.send(byteCount: byteCount) {
      $0.initializeMemory(as: UInt8.self, repeating: 7, count: byteCount)
    }
  }

  /// Returns when the sockets take no more and a megabyte waits for them, so that the server does not read.
  private func fill(_ harness: Harness, _ stream: SilentStream) {
    let connection = harness.server.connections[0]
    var taken = -1
    var quietTurns = 0
    // Has the loop turn where nothing happens.
    let timer = LoopTimer(on: harness.loop) {}
    harness.run("full sockets") {
      timer.start(afterNanoseconds: millisecond)
      quietTurns = connection.stream.takenBytes == taken ? quietTurns + 1 : 0
      taken = connection.stream.takenBytes
      if quietTurns < 5 { return false }
      if connection.queuedSocketBytes >= 1 << 20, !connection.stream.isReading { return true }
      send(1_000_000, stream)
      return false
    }
  }

  /// Lets the client read that many bytes more, and then nothing.
  private func read(
    _ byteCount: Int, _ harness: Harness, _ stream: ByteStream, _ received: () -> Int
  ) {
    let goal = received() + byteCount
    stream.startReading()
    harness.run("\(goal) bytes") { received() >= goal }
    stream.stopReading()
  }

  /// The second at which the connection is cut off for its socket, or `isOver`. The test is its clock
  /// from here on and has it look at itself every 15 s, for ten minutes.
  private func firstEnd(
    _ connection: ServerConnection, or isOver: () -> Bool, _ between: () -> Void
  ) -> Int? {
    let server = connection.server
    server.deadlines.clear(connection.checkup)
    for seconds in stride(from: 0, through: 600, by: 15) {
      let now = UInt64(seconds + 1) * 1_000 * millisecond
      let delivered = connection.deliveredBytes
      if connection.socketIsStalled(delivered, now) { return seconds }
      let hasNews = connection.hasRead
      connection.hasRead = false
      #expect(connection.lookAtStreams(delivered, hasNews: hasNews, now))
      if isOver() { return seconds }
      between()
      server.deadlines.clear(connection.checkup)
    }
    return nil
  }

  @Test(
    "a socket that is read steadily, some thousand bytes a second, is not stalled",
    arguments: [true, false])
  func steadyReader(reads: Bool) throws {
    let harness = try harness { $0.responseStallNanoseconds = 60_000 * millisecond }
    let client = try wide(harness)
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("the call") { harness.echo.silent.map(\.received) == [1] }
    client.stream.stopReading()
    for _ in 0..<60 { send(1_000_000, harness.echo.silent[0]) }
    fill(harness, harness.echo.silent[0])
    // 120,000 bytes each 15 s are 8,000 a second, for ten minutes.
    let end = firstEnd(harness.server.connections[0], or: { false }) {
      if reads { read(120_000, harness, client.stream) { call.data.count } }
    }
    #expect(end == (reads ? nil : 75))
    harness.finish([client])
  }

  @Test(
    "a client that stuffs its socket with one stream does not hold another's response, or request, for ever",
    arguments: [false, true])
  func stuffedSocket(talks: Bool) throws {
    let harness = try harness {
      $0.responseStallNanoseconds = 60_000 * millisecond
      $0.requestStallNanoseconds = 60_000 * millisecond
    }
    let client = RawBytes(try harness.open())
    func window(_ stream: UInt32) -> [UInt8] { client.frame(8, on: stream, [0x40, 0, 0, 0]) }
    // Streams have no window but what they are given; the connection has all of it.
    client.send(RawBytes.preface + client.frame(4, [0, 4, 0, 0, 0, 0]) + client.frame(4, flags: 1))
    let message: [UInt8] = [0, 0, 0, 0, 3, 1, 2, 3]
    client.send(window(0) + client.frame(1, flags: 4, on: 1, head("/test.Echo/Bidi")))
    client.send(client.frame(0, on: 1, message))
    client.send(client.frame(1, flags: 4, on: 3, head("/test.Echo/Silent")))
    client.send(client.frame(0, on: 3, message) + window(3))
    // And half a message.
    client.send(client.frame(1, flags: 4, on: 5, head("/test.Echo/Silent")))
    client.send(client.frame(0, on: 5, Array(message.dropLast())))
    harness.run("the calls") { harness.echo.silent.map(\.received) == [3, 0] }
    client.stream.stopReading()
    for _ in 0..<60 { send(1_000_000, harness.echo.silent[0]) }
    fill(harness, harness.echo.silent[0])
    let connection = harness.server.connections[0]
    let cutOff = { harness.server.statistics.cutOff }
    let isOver = { cutOff()[.unreadResponses] > 0 && (talks || cutOff()[.slowRequest] > 0) }
    let end = firstEnd(connection, or: isOver) {
      // Something that waits to be read, for as long as the server does not read.
      if talks { client.send(client.frame(0xFA)) }
      read(1_000_000, harness, client.stream) { client.received.count }
      while connection.bufferedBytes < 40_000_000 { send(1_000_000, harness.echo.silent[0]) }
    }
    #expect(end.map { $0 <= 300 } == true, "after \(end ?? 0) s")
    #expect(cutOff()[.unreadResponses] == 1)
    #expect(harness.echo.silent[0].cancellation == nil)
    client.stream.close()
    harness.finish()
  }

  @Test("a reset that cannot be sent is not taken for a half-sent header block")
  func unsentReset() throws {
    let harness = try harness {
      $0.requestStallNanoseconds = 60 * millisecond
      $0.responseStallNanoseconds = ServerOptions.never
    }
    let client = try wide(harness)
    let large = client.begin("/test.Echo/Silent")
    client.send(large, [1])
    let late = client.begin("/test.Echo/Silent")
    client.send(late, [1])
    harness.run("the calls") { harness.echo.silent.map(\.received) == [1, 1] }
    // More than sockets take, and something of the other call's behind it.
    client.stream.stopReading()
    for _ in 0..<40 { send(1_000_000, harness.echo.silent[0]) }
    fill(harness, harness.echo.silent[0])
    send(5_000_000, harness.echo.silent[1])
    // More than may wait on a connection: the stream is reset.
    send(60_000_000, harness.echo.silent[1])
    #expect(harness.echo.silent[1].cancellation != nil)
    #expect(harness.server.statistics.openStreams == 2)
    for _ in 0..<2 {
      let stranger = try halfHeaders(harness)
      harness.run("the stranger's end") { stranger.hasEnded }
    }
    #expect(harness.server.statistics.cutOff[.slowHeaders] == 2)
    #expect(!client.hasEnded)
    client.stream.startReading()
    harness.run("all that was said") { late.closed != nil && large.data.count > 40_000_000 }
    #expect(client.goAways.isEmpty && large.closed == nil)
    #expect(late.closed == .cancel, "\(late.trailers)")
    harness.finish([client])
  }

  @Test("header blocks that are each cut by a look are not one that does not end")
  func busyHeaders() throws {
    // Looks that are later than half of it, on a machine that is busy, begin the stranger's time anew.
    let harness = try harness { $0.requestStallNanoseconds = 200 * millisecond }
    let busy = RawBytes(try harness.open())
    busy.greet()
    let block = head("/test.Echo/None")
    var id: UInt32 = 1
    busy.send(busy.frame(1, flags: 5, on: id, block).dropLast(10).map { $0 })
    for _ in 0..<2 {
      let stranger = try halfHeaders(harness)
      harness.run("the stranger's end") {
        // The end of one block and the beginning of the next.
        id += 2
        busy.send(block.suffix(10) + busy.frame(1, flags: 5, on: id, block).dropLast(10))
        return stranger.hasEnded || busy.hasEnded
      }
    }
    #expect(!busy.hasEnded && harness.server.statistics.cutOff[.slowHeaders] == 2)
    busy.stream.close()
    harness.finish()
  }

  @Test("a header block that comes long after another slow one has its own time")
  func laterHeaders() throws {
    let harness = try harness { $0.requestStallNanoseconds = 200 * millisecond }
    let client = RawBytes(try harness.open())
    client.greet()
    let block = head("/test.Echo/None")
    let first = client.frame(1, flags: 5, on: 1, block)
    client.send(Array(first.dropLast(10)))
    harness.run("the block's beginning") { harness.server.statistics.openStreams == 1 }
    let began = EventLoop.clock
    harness.run("most of its time") { EventLoop.clock &- began > 160 * millisecond }
    client.send(Array(first.suffix(10)))
    harness.run("the answer") { client.frames.contains { $0.kind == 1 } }
    let stranger = try halfHeaders(harness)
    harness.run("the stranger's end") { stranger.hasEnded }
    let second = client.frame(1, flags: 5, on: 3, block)
    client.send(Array(second.dropLast(10)))
    let secondBegan = EventLoop.clock
    harness.run("two looks") { EventLoop.clock &- secondBegan > 120 * millisecond }
    #expect(!client.hasEnded)
    client.send(Array(second.suffix(10)))
    harness.run("another answer") { client.frames.filter { $0.kind == 1 }.count == 2 }
    client.stream.close()
    harness.finish()
  }

  @Test("a client that reads slowly but steadily outlives any number of keepalive pings")
  func keepaliveOfSlowReader() throws {
    let harness = try harness {
      $0.keepaliveNanoseconds = 20 * millisecond
      $0.keepaliveTimeoutNanoseconds = 100 * millisecond
      $0.responseStallNanoseconds = ServerOptions.never
    }
    let client = try wide(harness)
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("the call") { harness.echo.silent.map(\.received) == [1] }
    client.stream.stopReading()
    // From now on it says nothing of itself.
    for _ in 0..<60 { send(1_000_000, harness.echo.silent[0]) }
    for _ in 0..<3 {
      let dead = RawBytes(try harness.open())
      dead.greet()
      var lastRead: UInt64 = 0
      harness.run("the silent one's end") {
        // A read of 64 KiB now and then.
        client.stream.stopReading()
        if EventLoop.clock &- lastRead > 2 * millisecond {
          lastRead = EventLoop.clock
          client.stream.startReading()
        }
        return dead.hasEnded || client.hasEnded
      }
    }
    #expect(!client.hasEnded && harness.server.statistics.cutOff[.keepalive] == 3)
    // Once it stops reading, it is gone as well.
    client.stream.stopReading()
    harness.run("its end") { harness.server.statistics.cutOff[.keepalive] == 4 }
    harness.finish([client])
  }

  @Test("a pause of the server's own is not held against a request, a header block or a preface")
  func pause() throws {
    let limit = 200 * millisecond
    let harness = try harness {
      $0.requestStallNanoseconds = limit
      $0.handshakeNanoseconds = limit
    }
    let caller = RawBytes(try harness.open())
    caller.greet()
    let request = caller.frame(1, flags: 4, on: 1, head())
    let body = caller.frame(0, flags: 1, on: 1, [0, 0, 0, 0, 2, 7, 7])
    caller.send(request + body.dropLast(1))
    let opener = RawBytes(try harness.open())
    opener.greet()
    opener.send(Array(request.dropLast(10)))
    let greeter = RawBytes(try harness.open())
    greeter.send(Array(RawBytes.preface.prefix(10)))
    harness.run("the beginnings") { harness.server.statistics.openStreams == 2 }
    let began = EventLoop.clock
    harness.run("three looks") { EventLoop.clock &- began > limit / 5 * 4 }
    caller.send([7])
    opener.send(Array(request.suffix(10)) + body)
    greeter.send(
      Array(RawBytes.preface[10...]) + greeter.frame(4) + greeter.frame(4, flags: 1) + request
        + body)
    // The loop stands still, as in a long command.
    let stopped = EventLoop.clock
    while EventLoop.clock &- stopped < 2 * limit {}
    for client in [caller, opener, greeter] {
      harness.run("answer") { client.hasEnded || client.frames.filter { $0.kind == 1 }.count == 2 }
      #expect(!client.hasEnded && client.goAway == nil)
    }
    #expect(CutOff.allCases.allSatisfy { harness.server.statistics.cutOff[$0] == 0 })
    for client in [caller, opener, greeter] { client.stream.close() }
    harness.finish()
  }
}
