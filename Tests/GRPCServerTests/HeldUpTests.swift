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

  @Test("a reset that cannot be sent is not taken for a half-sent header block")
  func unsentReset() throws {
    let harness = try harness {
      $0.requestStallNanoseconds = 60 * millisecond
      $0.responseStallNanoseconds = ServerOptions.never
    }
    let client = try wide(harness)
    let large = client.begin("/test.Echo/Silent")
    client.send(large, [1])
    let late = client.begin("/test.Echo/Silent", ["grpc-timeout": "500m"])
    client.send(late, [1])
    harness.run("the calls") { harness.echo.silent.map(\.received) == [1, 1] }
    // More than sockets take, and something of the other call's behind it.
    client.stream.stopReading()
    for _ in 0..<40 { send(1_000_000, harness.echo.silent[0]) }
    harness.run("full sockets") { harness.server.statistics.bufferedBytes < 40_000_000 }
    send(5_000_000, harness.echo.silent[1])
    harness.run("the deadline") { harness.echo.silent[1].cancellation != nil }
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
    let harness = try harness { $0.requestStallNanoseconds = 40 * millisecond }
    let busy = RawBytes(try harness.open())
    busy.greet()
    let block = head("/test.Echo/None")
    var id: UInt32 = 1
    busy.send(busy.frame(1, flags: 5, on: id, block).dropLast(10).map { $0 })
    for _ in 0..<3 {
      let stranger = try halfHeaders(harness)
      harness.run("the stranger's end") {
        // The end of one block and the beginning of the next.
        id += 2
        busy.send(block.suffix(10) + busy.frame(1, flags: 5, on: id, block).dropLast(10))
        return stranger.hasEnded || busy.hasEnded
      }
    }
    #expect(!busy.hasEnded && harness.server.statistics.cutOff[.slowHeaders] == 3)
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
