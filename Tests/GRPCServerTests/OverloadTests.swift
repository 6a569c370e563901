import GRPCWire
import HTTP2
import Testing
import UVLoop

@testable import GRPCServer

/// Past a budget the answer is UNAVAILABLE, at once, with the time to stay away; what others do is not
/// touched.
@Suite("overload")
struct OverloadTests {
  private func harness(_ change: (inout ServerOptions) -> Void) throws -> Harness {
    var options = ServerOptions()
    change(&options)
    return try Harness(options: options)
  }

  private func expectRefusal(_ call: RawClient.Call) {
    #expect(call.blocks == 1, "trailers only: clients retry nothing else")
    #expect(call.grpcStatus == "14")
    #expect(call.headers["grpc-retry-pushback-ms"] == "250")
  }

  @Test("a call more than the server takes is refused at once, and taken when there is room")
  func calls() throws {
    let harness = try harness {
      $0.maxCalls = 3
      $0.reservedCalls = 0
      $0.retryPushbackNanoseconds = 250_000_000
    }
    let one = try harness.connect()
    let other = try harness.connect()
    let open = (0..<3).map { index in (index == 0 ? one : other).begin("/test.Echo/Silent") }
    one.send(open[0], [1])
    other.send(open[1], [1])
    other.send(open[2], [1])
    harness.run("three calls") { harness.server.statistics.activeCalls == 3 }
    let refused = one.unary("/test.Echo/Unary", [1])
    harness.run("refusal") { refused.closed != nil }
    expectRefusal(refused)
    #expect(refused.grpcMessage == "the server has too many calls")
    #expect(harness.server.statistics.cutOff[.overload] == 1)
    other.reset(open[2])
    harness.run("room") { harness.server.statistics.activeCalls == 2 }
    let taken = one.unary("/test.Echo/Unary", [1])
    harness.run("answer") { taken.closed != nil }
    #expect(taken.grpcStatus == "0")
    harness.finish([one, other])
  }

  /// Names and numbers: a hundred calls for all, and each connection's share of another hundred.
  @Test("whoever fills the calls is refused more, and nobody else is")
  func shares() throws {
    let harness = try harness {
      $0.maxCalls = 100
      $0.reservedCalls = 4
      $0.retryPushbackNanoseconds = 250_000_000
    }
    let greedy = try harness.connect()
    let other = try harness.connect()
    // All in one read: those that came first are taken.
    let calls = (0..<150).map { _ in greedy.begin("/test.Echo/Silent") }
    greedy.flush()
    harness.run("refusals") { calls.filter { $0.closed != nil }.count == 50 }
    for call in calls[100...] { expectRefusal(call) }
    // Fifty is half of what is left; each that is taken leaves less, so that it is fewer.
    let more = (0..<50).map { _ in other.begin("/test.Echo/Silent") }
    other.flush()
    // With n of its own, 100 - n are left for two: it has 33 when its share is 33.
    harness.run("refusals") { more.filter { $0.closed != nil }.count == 17 }
    for call in more[33...] { expectRefusal(call) }
    #expect(harness.server.statistics.activeCalls == 133)
    // Then 67 are left, three for each of 22: what is kept for all is more.
    let late = try (0..<20).map { _ in try harness.connect() }
    for client in late {
      let few = (0..<5).map { _ in client.begin("/test.Echo/Silent") }
      client.flush()
      harness.run("refusal") { few[4].closed != nil }
      #expect(few.filter { $0.closed == nil }.count == 4)
    }
    #expect(harness.server.statistics.activeCalls == 213)
    greedy.close()
    harness.run("room") { harness.server.statistics.activeCalls == 113 }
    harness.finish([other] + late)
  }

  @Test("a request whose header block comes in two reads counts once")
  func splitHeaders() throws {
    let harness = try harness {
      $0.maxCalls = 1
      $0.reservedCalls = 1
    }
    let filler = try harness.connect()
    filler.send(filler.begin("/test.Echo/Silent"), [1])
    harness.run("the filler's call") { harness.server.statistics.activeCalls == 1 }
    let late = RawBytes(try harness.open())
    late.greet()
    let headers = late.frame(1, flags: 4, on: 1, head("/test.Echo/Silent"))
    late.send(Array(headers.prefix(20)))
    harness.run("half of it") { harness.server.statistics.openStreams == 2 }
    late.send(headers.dropFirst(20) + late.frame(6, [1, 2, 3, 4, 5, 6, 7, 8]))
    harness.run("the ping's answer") { late.frames.contains { $0.kind == 6 && $0.flags == 1 } }
    #expect(harness.server.statistics.activeCalls == 2)
    #expect(!late.frames.contains { $0.kind == 1 }, "refused")
    late.stream.close()
    harness.finish([filler])
  }

  @Test("an answered call counts until its answer has left")
  func answered() throws {
    let harness = try harness {
      $0.maxCalls = 3
      $0.reservedCalls = 1
    }
    var closed = HTTP2Options()
    closed.streamWindowBytes = 0
    let deaf = try harness.connect(closed)
    deaf.session.submitPing(1)
    deaf.flush()
    harness.run("settings") { deaf.pings == 1 }
    let calls = (0..<4).map { _ in deaf.unary("/test.Echo/Unary", [1]) }
    harness.run("refusal") { calls[3].closed != nil }
    #expect(calls[3].grpcStatus == "14")
    let other = try harness.connect()
    let call = other.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    harness.finish([deaf, other])
  }

  @Test("half-sent requests of one connection have a budget; another connection has its own")
  func uploads() throws {
    let harness = try harness {
      $0.maxHeldRequestBytes = 1_000_000
      $0.retryPushbackNanoseconds = 250_000_000
    }
    let greedy = try harness.connect()
    let other = try harness.connect()
    // A mebibyte to come: for 200,000 bytes of it there are 256 KiB, as memory is doubled.
    let prefix: [UInt8] = [0, 0, 0x10, 0, 0]
    let calls = (0..<10).map { _ in greedy.begin("/test.Echo/Unary") }
    for call in calls { greedy.send(call, raw: prefix + [UInt8](repeating: 1, count: 200_000)) }
    harness.run("refusals") { calls.filter { $0.closed != nil }.count == 7 }
    for call in calls where call.closed != nil { expectRefusal(call) }
    #expect(harness.server.statistics.heldRequestBytes <= 1_000_000)
    let large = other.unary("/test.Echo/Unary", [UInt8](repeating: 2, count: 900_000))
    harness.run("answer") { large.closed != nil }
    #expect(large.grpcStatus == "0")
    // What was held comes back with the calls.
    for call in calls where call.closed == nil { greedy.reset(call) }
    harness.run("nothing held") { harness.server.statistics.heldRequestBytes == 0 }
    harness.finish([greedy, other])
  }

  @Test("all connections together have a budget: past it each has its share")
  func sharedBudget() throws {
    let harness = try harness {
      $0.maxBufferedBytes = 1_000_000
      $0.retryPushbackNanoseconds = 250_000_000
    }
    var closed = HTTP2Options()
    closed.streamWindowBytes = 0
    let greedy = try (0..<4).map { _ in try harness.connect(closed) }
    let modest = try harness.connect()
    for client in greedy {
      client.session.submitPing(1)
      client.flush()
    }
    harness.run("settings") { greedy.allSatisfy { $0.pings == 1 } }
    // Four times 300 kB, of which nobody reads a byte: the last is past its fifth of a megabyte when
    // there is no more.
    let message = [UInt8](repeating: 1, count: 300_000)
    let calls = greedy.map { $0.unary("/test.Echo/Unary", message) }
    harness.run("refusal") { calls.contains { $0.closed != nil } }
    expectRefusal(try #require(calls.first { $0.closed != nil }))
    harness.run("unread") { harness.server.statistics.bufferedBytes == 900_015 }
    #expect(calls.filter { $0.closed != nil }.count == 1)
    // Whoever holds less than the share is served.
    let call = modest.unary("/test.Echo/Unary", [UInt8](repeating: 1, count: 150_000))
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    // The budget is whole again when those who held it are gone.
    for client in greedy { client.close() }
    harness.run("closed") { harness.server.statistics.connections == 1 }
    #expect(harness.server.statistics.bufferedBytes == 0)
    harness.finish([modest])
  }

  @Test("large header lists count as held, from one kilobyte on")
  func headers() throws {
    let harness = try harness {
      $0.maxHeldRequestBytes = 30_000
      $0.retryPushbackNanoseconds = 250_000_000
    }
    let client = try harness.connect()
    let field = ["x-large": String(repeating: "a", count: 10_000)]
    let calls = (0..<4).map { _ in client.begin("/test.Echo/Silent", field) }
    client.flush()
    harness.run("refusals") { calls.filter { $0.closed != nil }.count == 2 }
    expectRefusal(calls[2])
    expectRefusal(calls[3])
    let small = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { small.closed != nil }
    #expect(small.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("a call that is answered keeps no large header fields while its answer waits for window")
  func answeredFields() throws {
    let harness = try harness { _ in }
    var closed = HTTP2Options()
    closed.streamWindowBytes = 0
    let client = try harness.connect(closed)
    client.session.submitPing(1)
    client.flush()
    harness.run("settings") { client.pings == 1 }
    let large = ["x-large": String(repeating: "a", count: 10_000)]
    for _ in 0..<20 { _ = client.unary("/test.Echo/Unary", [1], large) }
    // Not gRPC, and answered with a body that waits as well.
    let other = large.merging(["content-type": "text/plain"]) { $1 }
    let refused = (0..<20).map { _ in client.unary("/test.Echo/Unary", [1], other) }
    harness.run("headers of the refusals") { refused.allSatisfy { $0.httpStatus == 415 } }
    #expect(harness.server.statistics.openStreams == 40)
    #expect(harness.server.statistics.heldRequestBytes == 0)
    // Each of the forty was 10 kB.
    #expect(harness.server.connections[0].session.fieldMemory < 10_000)
    harness.finish([client])
  }

  @Test("trailers of a request are counted against its limit and kept nowhere")
  func requestTrailers() throws {
    let harness = try harness { _ in }
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Silent")
    let trailers = HTTP2FieldList()
    trailers.append("x-large", String(repeating: "a", count: 10_000))
    client.session.finish(call.stream, trailers: trailers)
    client.flush()
    harness.run("end") { harness.echo.silent.first?.isHalfClosed == true }
    #expect(harness.server.connections[0].session.fieldMemory < 1_000)
    harness.finish([client])
  }

  @Test("a stream that nobody reads and a closed window do not slow others down")
  func slowDoNotStall() throws {
    let harness = try harness { _ in }
    var closed = HTTP2Options()
    closed.streamWindowBytes = 0
    let slow = try harness.connect(closed)
    let deaf = try harness.connect()
    let fast = try harness.connect()
    slow.session.submitPing(1)
    slow.flush()
    harness.run("settings") { slow.pings == 1 }
    for _ in 0..<20 { _ = slow.unary("/test.Echo/Unary", [UInt8](repeating: 1, count: 10_000)) }
    deaf.stream.stopReading()
    for _ in 0..<20 { _ = deaf.unary("/test.Echo/Unary", [UInt8](repeating: 1, count: 100_000)) }
    // Every call of the third takes as many turns as if it were alone.
    for _ in 0..<200 {
      let call = fast.unary("/test.Echo/Unary", [1])
      var turns = 0
      while call.closed == nil, turns < 100 {
        harness.loop.runOneTurn()
        turns += 1
      }
      #expect(call.grpcStatus == "0" && turns < 50)
    }
    harness.finish([slow, deaf, fast])
  }
}
