import GRPCWire
import HTTP2
import MessageCompression
import Testing
import UVLoop

@testable import GRPCServer

/// What a message grows by when it is unpacked is work that its sender does not pay for.
@Suite("budget for compressed messages")
struct UnpackBudgetTests {
  private static let gzip = ["grpc-encoding": "gzip"]

  /// Zeros: 200,000 of them pack to some 200 bytes.
  private static func zeros(_ count: Int) throws -> [UInt8] {
    let compressor = MessageCompressor()
    let bytes = [UInt8](repeating: 0, count: count).withUnsafeBytes {
      compressor.compress($0, .gzip).map { Array($0) }
    }
    return try #require(bytes)
  }

  /// A byte a second: what is used up comes back in no test's time.
  private func harness(
    burst: UInt64, _ change: (inout ServerOptions) -> Void = { _ in }
  ) throws -> Harness {
    var options = ServerOptions()
    options.unpackBurstBytes = burst
    options.unpackBytesPerSecond = 1
    options.retryPushbackNanoseconds = 250_000_000
    change(&options)
    return try Harness(options: options)
  }

  private func answer(
    _ harness: Harness, _ client: RawClient, _ message: [UInt8], flag: UInt8 = 1
  ) -> RawClient.Call {
    let call = client.unary("/test.Echo/Unary", message, Self.gzip, flag: flag)
    harness.run("answer") { call.closed != nil }
    return call
  }

  @Test("is used up: UNAVAILABLE with the time to stay away; what is not packed is served")
  func usedUp() throws {
    let harness = try harness(burst: 300_000)
    let client = try harness.connect()
    let packed = try Self.zeros(200_000)
    // The second overdraws it: what a message comes to is known when it is unpacked.
    for _ in 0..<2 { #expect(answer(harness, client, packed).grpcStatus == "0") }
    let refused = answer(harness, client, packed)
    #expect(refused.blocks == 1 && refused.grpcStatus == "14")
    #expect(refused.headers["grpc-retry-pushback-ms"] == "250")
    #expect(
      refused.grpcMessage == "the compressed messages of this connection unpack to too much")
    #expect(harness.server.statistics.cutOff[.unpacking] == 1)
    #expect(answer(harness, client, [1, 2], flag: 0).messages == [[1, 2]])
    // Whoever comes back finds it used up.
    client.close()
    let next = try harness.connect()
    #expect(answer(harness, next, packed).grpcStatus == "14")
    #expect(answer(harness, next, [1, 2], flag: 0).grpcStatus == "0")
    harness.finish([next])
  }

  /// With no burst to earn, a connection has its own budget from the start: for one message.
  @Test("of one connection is not another's")
  func apart() throws {
    let harness = try harness(burst: 0)
    let packed = try Self.zeros(200_000)
    let clients = try (0..<3).map { _ in try harness.connect() }
    for client in clients {
      #expect(answer(harness, client, packed).grpcStatus == "0")
      #expect(answer(harness, client, packed).grpcStatus == "14")
    }
    harness.finish(clients)
  }

  @Test("counts what is refused for its length, too")
  func tooLong() throws {
    let harness = try harness(burst: 0) { $0.maxMessageBytes = 100_000 }
    let client = try harness.connect()
    let packed = try Self.zeros(200_000)
    #expect(answer(harness, client, packed).grpcStatus == "8")
    #expect(answer(harness, client, packed).grpcStatus == "14")
    harness.finish([client])
  }

  @Test("ends a stream that goes on behind it")
  func streams() throws {
    let harness = try harness(burst: 0)
    let client = try harness.connect()
    let packed = try Self.zeros(1_000)
    let call = client.begin("/test.Echo/Bidi", Self.gzip)
    client.send(call, packed, flag: 1)
    client.send(call, packed, flag: 1)
    harness.run("refusal") { call.closed != nil }
    #expect(call.messages.count == 1 && call.grpcStatus == "14")
    #expect(call.trailers["grpc-retry-pushback-ms"] == "250")
    harness.finish([client])
  }

  @Test("a connection that does not stay away ends, and no other")
  func flood() throws {
    let harness = try harness(burst: 0) {
      $0.controlFrameBurst = 50
      $0.controlFramesPerSecond = 1
    }
    let client = try harness.connect()
    let other = try harness.connect()
    let packed = try Self.zeros(200_000)
    for _ in 0..<60 where !client.hasEnded {
      if let call = client.beginIfAllowed("/test.Echo/Unary", Self.gzip) {
        client.send(call, packed, flag: 1, ends: true)
      }
    }
    harness.run("the end") { client.hasEnded }
    #expect(client.goAways == [.enhanceYourCalm])
    // All of them refused but the first, or lost with the connection; and the connection itself.
    let count = harness.server.statistics.cutOff[.unpacking]
    #expect(count >= 52 && count <= 60)
    #expect(answer(harness, other, packed).grpcStatus == "0")
    harness.finish([other])
  }

  @Test("fills again with time, and overdrafts are paid back first")
  func time() {
    var options = ServerOptions()
    options.unpackBurstBytes = 1_000
    options.unpackBytesPerSecond = 100
    var budget = UnpackBudget()
    let second: UInt64 = 1_000_000_000
    let start: UInt64 = 50 * second
    var room = [budget.hasRoom(at: start, options)]
    budget.took(900, at: start, options)
    room.append(budget.hasRoom(at: start, options))
    budget.took(1_600, at: start, options)
    // 2,500 in it, 1,500 too many: fifteen seconds.
    for wait in [0, 14, 15] as [UInt64] {
      room.append(budget.hasRoom(at: start + wait * second, options))
    }
    #expect(room == [true, true, false, false, true])
    // Ten seconds earn a burst.
    #expect(budget.isYoung(since: start, at: start + 9 * second, options))
    #expect(!budget.isYoung(since: start, at: start + 10 * second, options))
  }
}
