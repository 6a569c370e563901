import GRPCWire
import HTTP2
import Testing
import UVLoop

@testable import GRPCServer

/// Responses that nobody reads have a budget for all connections together, and a message counts before
/// it is queued.
@Suite("unread responses")
struct UnreadTests {
  private static func blob(_ count: Int) -> ServiceTable.UnaryHandler {
    { _, reply, _ in
      reply.message(byteCount: count).initializeMemory(as: UInt8.self, repeating: 7, count: count)
      return nil
    }
  }

  /// A server with room for a megabyte, and clients whose windows are closed.
  private func harness(_ count: Int) throws -> (Harness, [RawClient]) {
    var options = ServerOptions()
    options.maxBufferedBytes = 1_000_000
    options.retryPushbackNanoseconds = 250_000_000
    let harness = try Harness(options: options) { table in
      table.unary("/test.Unread/Blob", Self.blob(300_000))
      table.unary("/test.Unread/Small", Self.blob(10_000))
      table.streaming("/test.Unread/Stream", isClientStreaming: true) { responses, _ in
        BackedUp(responses)
      }
    }
    var closed = HTTP2Options()
    closed.streamWindowBytes = 0
    let clients = try (0..<count).map { _ in try harness.connect(closed) }
    for client in clients {
      client.session.submitPing(1)
      client.flush()
    }
    harness.run("settings") { clients.allSatisfy { $0.pings == 1 } }
    return (harness, clients)
  }

  @Test("a stream's first message that finds no room is refused, not queued")
  func streams() throws {
    let (harness, clients) = try harness(10)
    // 400,000 bytes each: two have room, and the tenth of a megabyte is no room for a third.
    let calls = clients.map { client in
      let call = client.begin("/test.Unread/Stream")
      client.send(call, [1])
      return call
    }
    harness.run("refusals") { calls.filter { $0.closed != nil }.count == 8 }
    for call in calls where call.closed != nil {
      #expect(call.blocks == 1 && call.grpcStatus == "14")
      #expect(call.headers["grpc-retry-pushback-ms"] == "250")
    }
    #expect(harness.server.statistics.bufferedBytes == 800_010)
    #expect(harness.server.statistics.cutOff[.overload] == 8)
    harness.finish(clients)
  }

  @Test("a unary reply that finds no room is dropped, and the client told not to call again")
  func unary() throws {
    let (harness, clients) = try harness(10)
    let calls = clients.map { $0.unary("/test.Unread/Blob", [1]) }
    harness.run("refusals") { calls.filter { $0.closed != nil }.count == 7 }
    for call in calls where call.closed != nil {
      #expect(call.blocks == 1 && call.grpcStatus == "14")
      #expect(call.headers["grpc-retry-pushback-ms"] == "-1")
    }
    #expect(harness.server.statistics.bufferedBytes == 900_015)
    // Short ones have room on every connection.
    let small = clients.map { $0.unary("/test.Unread/Small", [1]) }
    harness.run("headers") { small.allSatisfy { $0.httpStatus == 200 } }
    #expect(small.allSatisfy { $0.grpcStatus == nil })
    #expect(harness.server.statistics.bufferedBytes == 1_000_065)
    harness.finish(clients)
  }

  @Test("one message, however long, has room where nothing waits")
  func long() throws {
    var options = ServerOptions()
    options.maxUnreadResponseBytes = 65_536
    let harness = try Harness(options: options) {
      $0.streaming("/test.Unread/Stream", isClientStreaming: true) { responses, _ in
        BackedUp(responses)
      }
    }
    let client = try harness.connect()
    let call = client.begin("/test.Unread/Stream")
    client.send(call, [1], ends: true)
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0" && call.messages.map(\.count) == [400_000])
    harness.finish([client])
  }
}
