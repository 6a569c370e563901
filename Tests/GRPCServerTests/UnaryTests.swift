import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

@Suite("unary calls")
struct UnaryTests {
  @Test("a call is answered with headers, one message and trailers")
  func ok() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Unary", [1, 2, 3])
    harness.run("answer") { call.closed != nil }
    #expect(call.httpStatus == 200 && call.blocks == 2 && call.closed == .noError)
    #expect(call.headers == [":status": "200", "content-type": "application/grpc"])
    #expect(call.messages == [[1, 2, 3]])
    #expect(call.trailers == ["grpc-status": "0"])
    harness.finish([client])
  }

  @Test("an empty message is a message")
  func empty() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Unary", [])
    harness.run("answer") { call.closed != nil }
    #expect(call.messages == [[]] && call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("the handler sees metadata, the peer and whether there is a deadline")
  func context() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary(
      "/test.Echo/Unary", [1],
      ["x-values": "a b", "x-data-bin": "AQI,Aw==", "grpc-timeout": "10S"])
    harness.run("answer") { call.closed != nil }
    let seen = try #require(harness.echo.lastContext)
    #expect(seen.path == "/test.Echo/Unary")
    #expect(seen.values == [Array("a b".utf8), [1, 2], [3]])
    #expect(seen.peer.hasPrefix("127.0.0.1:") && seen.hasDeadline)
    harness.finish([client])
  }

  @Test("a thousand calls on one connection each get their own answer")
  func many() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let calls = (0..<1_000).map {
      client.unary("/test.Echo/Unary", [UInt8($0 & 255), UInt8($0 >> 8)])
    }
    harness.run("answers") { calls.allSatisfy { $0.closed != nil } }
    for (index, call) in calls.enumerated() {
      #expect(call.messages == [[UInt8(index & 255), UInt8(index >> 8)]])
    }
    #expect(harness.server.statistics.callsTotal == 1_000)
    harness.finish([client])
  }

  @Test("a message in one-byte frames arrives whole")
  func tinyFrames() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Unary")
    for byte in [0, 0, 0, 0, 2, 7, 8] as [UInt8] {
      client.send(call, raw: [byte])
      harness.loop.runOneTurn(waiting: false)
    }
    client.end(call)
    harness.run("answer") { call.closed != nil }
    #expect(call.messages == [[7, 8]] && call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("four megabytes pass both ways through windows of 64 KiB")
  func large() throws {
    var options = ServerOptions()
    options.http2.streamWindowBytes = 65_535
    options.http2.connectionWindowBytes = 65_535
    let harness = try Harness(options: options)
    var small = HTTP2Options()
    small.streamWindowBytes = 65_535
    small.connectionWindowBytes = 65_535
    let client = try harness.connect(small)
    let message = (0..<(4 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 11) }
    let call = client.unary("/test.Echo/Unary", message)
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    #expect(call.messages == [message])
    harness.finish([client])
  }

  @Test("a failure is trailers-only, with details, and drops what the handler wrote")
  func failure() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Fail", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.blocks == 1 && call.data.isEmpty)
    #expect(call.headers["grpc-status"] == "9")
    #expect(call.headers["grpc-message"] == "no %E2%98%BA")
    #expect(call.headers["x-extra"] == "ab")
    let details = Base64.decode(Array(try #require(call.headers["grpc-status-details-bin"]).utf8))
    let expected = Status(.failedPrecondition, "no ☺", detailType: "test.Detail", detail: [8, 1])
    #expect(details == expected.details)
    harness.finish([client])
  }

  @Test("a success may carry trailers of its own")
  func okTrailers() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Trailers", [5])
    harness.run("answer") { call.closed != nil }
    #expect(call.messages == [[5]])
    #expect(call.trailers == ["grpc-status": "0", "x-cost": "7"])
    harness.finish([client])
  }

  @Test("a call after one with trailers of its own is answered in full")
  func afterOKTrailers() throws {
    let harness = try Harness()
    let client = try harness.connect()
    for path in ["/test.Echo/Trailers", "/test.Echo/Trailers", "/test.Echo/Fail"] {
      let call = client.unary(path, [5])
      harness.run("answer to \(path)") { call.closed != nil }
      #expect(call.httpStatus == 200)
      #expect(call.grpcStatus == (path.hasSuffix("Fail") ? "9" : "0"))
    }
    harness.finish([client])
  }

  @Test("trailers stay below 8 KiB: long messages are cut, what does not fit is left out")
  func longStatus() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Long", [1])
    harness.run("answer") { call.closed != nil }
    let message = try #require(call.grpcMessage)
    // 4096 is not a multiple of the six characters of an encoded "é", nor of the three of a byte.
    #expect(message.utf8.count == 4_095)
    #expect(call.headers["x-long"] == nil && call.headers["x-short"] == "z")
    #expect(call.headers["grpc-status-details-bin"] == nil)
    harness.finish([client])
  }

  @Test(
    "refuses what it does not serve with UNIMPLEMENTED",
    arguments: [
      "/test.Echo/None", "/none.Echo/Unary", "/test.echo/unary", "/", "/test.Echo/Unary/",
    ])
  func unknown(path: String) throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary(path, [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.httpStatus == 200 && call.blocks == 1 && call.grpcStatus == "12")
    #expect(call.grpcMessage == "unknown method \(path)")
    harness.finish([client])
  }

  @Test(
    "answers what is not gRPC in HTTP's terms",
    arguments: [
      (["content-type": "application/json"], 415), (["content-type": "application/grpc-web"], 415),
      (["content-type": ""], 415), ([":method": "GET"], 405), ([":method": "PUT"], 405),
    ] as [([String: String], Int)])
  func notGRPC(fields: [String: String], status: Int) throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Unary", [1], fields)
    harness.run("answer") { call.closed != nil }
    #expect(call.httpStatus == status && call.grpcStatus == nil)
    #expect(!call.data.isEmpty && call.headers["content-type"] == "text/plain")
    #expect(call.headers["allow"] == (status == 405 ? "POST" : nil))
    harness.finish([client])
  }

  @Test(
    "refuses malformed requests",
    arguments: [
      ([], true, [:], "12", "no request message"),
      ([0, 0, 0], true, [:], "13", "the request ends inside a message"),
      ([0, 0, 0, 0, 5, 1], true, [:], "13", "the request ends inside a message"),
      ([2, 0, 0, 0, 0], true, [:], "13", "message flag 2 is neither 0 nor 1"),
      ([1, 0, 0, 0, 0], true, [:], "13", "compressed message without an agreed grpc-encoding"),
      ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, [:], "13", "more than one request message"),
      (
        [0, 0, 0x40, 0, 1], false, [:], "8",
        "message of 4194305 bytes is longer than the limit of 4194304"
      ),
      ([0, 0, 0, 0, 0], true, ["grpc-encoding": "br"], "12", "grpc-encoding is not supported"),
      ([0, 0, 0, 0, 0], true, ["grpc-timeout": "5s"], "13", "malformed grpc-timeout"),
      ([0, 0, 0, 0, 0], true, ["x-a-bin": "AQ,*"], "13", "metadata 'x-a-bin' is not base64"),
      ([0, 0, 0, 0, 0], true, ["a-bin": "A"], "13", "metadata 'a-bin' is not base64"),
      ([0, 0, 0, 0, 0], true, ["grpc-timeout": "0n"], "4", "the deadline has passed"),
    ] as [([UInt8], Bool, [String: String], String, String)])
  func malformed(
    bytes: [UInt8], ends: Bool, fields: [String: String], status: String, message: String
  ) throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Unary", fields)
    client.send(call, raw: bytes, ends: ends)
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == status && call.grpcMessage == message)
    #expect(call.blocks == 1 && call.closed == .noError)
    #expect(harness.echo.unaryCalls == 0)
    // The connection lives on.
    let next = client.unary("/test.Echo/Unary", [9])
    harness.run("next answer") { next.closed != nil }
    #expect(next.messages == [[9]])
    harness.finish([client])
  }

  @Test("identity is an encoding that is spoken")
  func identity() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Unary", [9], ["grpc-encoding": "identity"])
    harness.run("answer") { call.closed != nil }
    #expect(call.messages == [[9]])
    harness.finish([client])
  }

  @Test("a refused upload gives its bytes back to the connection's window")
  func refusedUpload() throws {
    var options = ServerOptions()
    options.maxMessageBytes = 1_000
    options.http2.connectionWindowBytes = 70_000
    let harness = try Harness(options: options)
    let client = try harness.connect()
    for _ in 0..<10 {
      let call = client.unary("/test.Echo/Unary", [UInt8](repeating: 1, count: 60_000))
      harness.run("refusal") { call.closed != nil }
      #expect(call.grpcStatus == "8")
    }
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("too many header fields are RESOURCE_EXHAUSTED")
  func headerLimit() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary(
      "/test.Echo/Unary", [1], ["x-long": String(repeating: "v", count: 17_000)])
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "8")
    harness.finish([client])
  }
}
