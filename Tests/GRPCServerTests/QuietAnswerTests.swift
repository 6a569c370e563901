@testable import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

/// A call with one request, and an answer that takes its time.
@Suite("calls whose answer is quiet")
struct QuietAnswerTests {
  /// With a limit of 60 s for what a request may take to come.
  private func harness() throws -> Harness {
    var options = ServerOptions()
    options.requestStallNanoseconds = 60_000_000_000
    return try Harness(options: options)
  }

  /// The second at which a call is ended for its request; nil = not in ten minutes. The test is the clock
  /// of the only connection, and has it look at its calls every 15 s.
  private func end(_ harness: Harness) -> Int? {
    let connection = harness.server.connections[0]
    harness.server.deadlines.clear(connection.checkup)
    for seconds in stride(from: 0, through: 600, by: 15) {
      let now = UInt64(seconds + 1) * 1_000_000_000
      #expect(connection.lookAtStreams(nil, hasNews: false, now))
      if harness.server.statistics.cutOff[.slowRequest] > 0 { return seconds }
    }
    return nil
  }

  @Test(
    "wait for nothing of their client once its request has come with its end",
    arguments: ["with the request", "by itself"])
  func whole(end: String) throws {
    let harness = try harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Watch")
    client.send(call, [1, 2, 3], ends: end == "with the request")
    if end == "by itself" { client.end(call) }
    harness.run("the request") { harness.echo.silent.map(\.isHalfClosed) == [true] }
    #expect(self.end(harness) == nil)
    let responses = harness.echo.silent[0].responses
    responses.send(byteCount: 1) { $0.storeBytes(of: 7, as: UInt8.self) }
    responses.finish(.ok)
    harness.run("the answer") { call.closed != nil }
    #expect(call.messages == [[7]] && call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("are ended where the end of the request does not come, be it the end alone")
  func endless() throws {
    let harness = try harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Watch")
    client.send(call, [1, 2, 3])
    harness.run("the request") { harness.server.statistics.budgetedBytes == 3 }
    // Begun at the first look, over the limit at that of 60 s, and seen twice.
    #expect(end(harness) == 75)
    harness.run("the end") { call.closed != nil }
    #expect(call.grpcStatus == "4" && call.grpcMessage == "the request does not arrive")
    #expect(harness.echo.silent.map(\.received) == [0])
    harness.finish([client])
  }
}
