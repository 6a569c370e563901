import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

/// What proper clients of other makes send, and ours does not.
@Suite("requests of other shapes")
struct RequestShapeTests {
  @Test(
    "a request without te, or with a longer content-type, is served",
    arguments: [
      ["te": ""], ["content-type": "application/grpc+proto"],
      ["content-type": "application/grpc;charset=utf-8"], [":authority": "%2Frun%2Fquire.sock"],
      ["user-agent": "grpc-other/9"], ["x-odd": "caf\u{E9}"],
    ] as [[String: String]])
  func lenient(fields: [String: String]) throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Unary", [1], fields)
    harness.run("answer") { call.closed != nil }
    #expect(call.messages == [[1]] && call.grpcStatus == "0")
    #expect(call.headers["content-type"] == "application/grpc")
    harness.finish([client])
  }

  private enum End {
    case withHeaders
    case withData
    case emptyData
    case trailers
  }

  @Test(
    "the client's end may come in each of four ways, with trailers that nobody reads among them")
  func ends() throws {
    let harness = try Harness()
    let client = try harness.connect()
    for path in ["/test.Echo/Unary", "/test.Echo/Repeat", "/test.Echo/Bidi", "/test.Echo/Collect"] {
      for end in [End.withHeaders, .withData, .emptyData, .trailers] {
        let call = client.begin(path, ends: end == .withHeaders)
        client.flush()
        if end != .withHeaders { client.send(call, [5], ends: end == .withData) }
        // What follows is a frame of its own: the message has been sent.
        harness.loop.runOneTurn(waiting: false)
        if end == .emptyData { client.end(call) }
        if end == .trailers {
          let trailers = HTTP2FieldList()
          trailers.append("x-last", "words")
          trailers.append("grpc-status", "3")
          client.session.finish(call.stream, trailers: trailers)
          client.flush()
        }
        harness.run("answer") { call.closed != nil }
        let isUnary = path.hasSuffix("Unary") || path.hasSuffix("Repeat")
        let isEmpty = end == .withHeaders
        #expect(call.grpcStatus == (isEmpty && isUnary ? "12" : "0"), "\(path) \(end)")
        if !isEmpty { #expect(!call.messages.isEmpty, "\(path) \(end)") }
      }
    }
    harness.finish([client])
  }

  @Test("a handler sees its metadata in order, twice where it came twice, and none of gRPC's own")
  func metadata() throws {
    var seen: [String: [[UInt8]]] = [:]
    let harness = try Harness {
      $0.unary("/test.Echo/Metadata") { _, reply, call in
        for name in [
          "x-a", "x-b-bin", "te", ":path", "content-type", "grpc-timeout", "grpc-encoding",
          "grpc-previous-rpc-attempts", "user-agent", "authorization",
        ] {
          seen[name] = call.metadata(name)
        }
        _ = reply.message(byteCount: 0)
        return .ok
      }
    }
    let client = try harness.connect()
    let list = HTTP2FieldList()
    for (name, value) in [
      (":method", "POST"), (":scheme", "http"), (":path", "/test.Echo/Metadata"),
      (":authority", "test"), ("x-a", "2"), ("x-b-bin", "AQ==, Ag"), ("te", "trailers"),
      ("content-type", "application/grpc"), ("x-a", "1"), ("grpc-timeout", "9S"), ("x-a", "2"),
      ("x-b-bin", "AwQ"), ("grpc-encoding", "identity"), ("grpc-previous-rpc-attempts", "1"),
      ("user-agent", "u"), ("authorization", "Bearer t"), ("x-b-bin", ""),
    ] {
      list.append(name, value)
    }
    let call = RawClient.Call(try #require(client.session.submitRequest(list, endsStream: false)))
    client.calls.append(call)
    client.send(call, [], ends: true)
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    #expect(seen["x-a"] == [[0x32], [0x31], [0x32]])
    #expect(seen["x-b-bin"] == [[1], [2], [3, 4], []])
    for hidden in ["te", ":path", "content-type", "grpc-timeout", "grpc-encoding"] {
      #expect(seen[hidden] == [], "\(hidden)")
    }
    #expect(seen["grpc-previous-rpc-attempts"] == [[0x31]])
    #expect(seen["user-agent"] == [[0x75]] && seen["authorization"] == [Array("Bearer t".utf8)])
    harness.finish([client])
  }

  @Test("the details of an error say the same code and message as its trailers")
  func details() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Fail", [1])
    harness.run("answer") { call.closed != nil }
    let text = try #require(call.headers["grpc-status-details-bin"])
    let bytes = try #require(Base64.decode(Array(text.utf8)))
    var code = ""
    var message = ""
    bytes.withUnsafeBytes {
      var reader = ProtoReader($0)
      while let (number, value) = reader.next() {
        switch (number, value) {
        case (1, .varint(let number)): code = "\(number)"
        case (2, .bytes(let text)): message = String(decoding: text, as: UTF8.self)
        default: break
        }
      }
    }
    let encoded = Array(try #require(call.grpcMessage).utf8)
    #expect(code == call.grpcStatus)
    #expect(message == encoded.withUnsafeBytes { PercentEncoding.decode($0) })
    harness.finish([client])
  }
}
