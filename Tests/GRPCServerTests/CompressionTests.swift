import GRPCServer
import GRPCWire
import HTTP2
import MessageCompression
import Testing
import UVLoop

@Suite("compressed messages")
struct CompressionTests {
  private static let long = [UInt8](repeating: 7, count: 5_000)
  private static let gzip = ["grpc-encoding": "gzip", "grpc-accept-encoding": "identity, gzip"]

  private static func packed(_ message: [UInt8], _ encoding: MessageEncoding = .gzip) throws
    -> [UInt8]
  {
    let compressor = MessageCompressor()
    let bytes = message.withUnsafeBytes { compressor.compress($0, encoding).map { Array($0) } }
    return try #require(bytes)
  }

  private static func plain(_ frame: [UInt8], _ encoding: MessageEncoding) throws -> [UInt8] {
    #expect(frame.first == 1)
    let decompressor = MessageDecompressor()
    return try frame.dropFirst(5).withUnsafeBytes {
      Array(try decompressor.decompress($0, encoding, limitBytes: 4 << 20))
    }
  }

  @Test("a compressed request is answered compressed", arguments: MessageEncoding.allCases)
  func mirrored(encoding: MessageEncoding) throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary(
      "/test.Echo/Unary", try Self.packed(Self.long, encoding),
      ["grpc-encoding": encoding.name, "grpc-accept-encoding": "identity,deflate,gzip"], flag: 1)
    harness.run("answer") { call.closed != nil }
    #expect(call.grpcStatus == "0" && call.headers["grpc-encoding"] == encoding.name)
    #expect(call.headers["grpc-accept-encoding"] == "identity,deflate,gzip")
    #expect(try Self.plain(call.data, encoding) == Self.long)
    harness.finish([client])
  }

  @Test("an encoding may be set and a message plain all the same")
  func flagZero() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Unary", [1, 2], Self.gzip)
    harness.run("answer") { call.closed != nil }
    // Too short to be worth packing.
    #expect(call.grpcStatus == "0" && call.messages == [[1, 2]])
    harness.finish([client])
  }

  @Test("a client that names encodings is told ours once a connection, others are not")
  func announced() throws {
    let harness = try Harness()
    for accepted in ["identity,gzip", ""] {
      let client = try harness.connect()
      let told = (0..<3).map { _ in
        let call = client.unary("/test.Echo/Unary", [1], ["grpc-accept-encoding": accepted])
        harness.run("answer") { call.closed != nil }
        return call.headers["grpc-accept-encoding"]
      }
      #expect(told == [accepted.isEmpty ? nil : "identity,deflate,gzip", nil, nil])
      client.close()
    }
    harness.finish()
  }

  @Test("a client that does not list its own encoding is answered in plain")
  func notListed() throws {
    let harness = try Harness()
    let client = try harness.connect()
    for accepted in ["", "identity", "deflate", "xgzip,gzipx"] {
      let call = client.unary(
        "/test.Echo/Unary", try Self.packed(Self.long),
        ["grpc-encoding": "gzip", "grpc-accept-encoding": accepted], flag: 1)
      harness.run("answer") { call.closed != nil }
      #expect(call.messages == [Self.long] && call.headers["grpc-encoding"] == nil)
    }
    harness.finish([client])
  }

  @Test("noise is sent as it is")
  func incompressible() throws {
    let harness = try Harness()
    let client = try harness.connect()
    // An xorshift register: no run repeats, and 5,000 bytes of it do not shrink.
    var state: UInt32 = 1
    let noise = (0..<5_000).map { _ in
      state ^= state << 13
      state ^= state >> 17
      state ^= state << 5
      return UInt8(truncatingIfNeeded: state)
    }
    let call = client.unary("/test.Echo/Unary", noise, Self.gzip)
    harness.run("answer") { call.closed != nil }
    #expect(call.data.first == 0 && call.messages == [noise])
    harness.finish([client])
  }

  @Test(
    "the server's option decides what is compressed without a word from the client's request",
    arguments: [
      (.none, "gzip", nil), (.mirror, "gzip", "gzip"), (.mirror, "", nil), (.gzip, "", "gzip"),
      (.deflate, "gzip", "deflate"), (.deflate, "", "deflate"),
    ] as [(ReplyCompressionPolicy, String, String?)])
  func policy(policy: ReplyCompressionPolicy, request: String, reply: String?) throws {
    var options = ServerOptions()
    options.replyCompression = policy
    let harness = try Harness(options: options)
    let client = try harness.connect()
    for path in ["/test.Echo/Unary", "/test.Echo/Bidi"] {
      let call = client.unary(
        path, Self.long, ["grpc-encoding": request, "grpc-accept-encoding": "deflate,gzip"])
      harness.run("answer") { call.closed != nil }
      #expect(call.grpcStatus == "0" && call.headers["grpc-encoding"] == reply)
      if let reply, let encoding = MessageEncoding.allCases.first(where: { $0.name == reply }) {
        #expect(try Self.plain(call.data, encoding) == Self.long)
      } else {
        #expect(call.messages == [Self.long])
      }
    }
    harness.finish([client])
  }

  @Test("an encoding nobody speaks is UNIMPLEMENTED, and the answer says which ones are")
  func unknown() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Unary", [1], ["grpc-encoding": "snappy"])
    harness.run("answer") { call.closed != nil }
    #expect(call.blocks == 1 && call.grpcStatus == "12")
    #expect(call.headers["grpc-accept-encoding"] == "identity,deflate,gzip")
    harness.finish([client])
  }

  @Test(
    "refuses compressed messages that are none",
    arguments: [
      (["grpc-encoding": "identity"], "13", "compressed message without an agreed grpc-encoding"),
      (["grpc-encoding": "gzip"], "13", "a compressed message is corrupt: incorrect header check"),
    ] as [([String: String], String, String)])
  func refused(fields: [String: String], status: String, message: String) throws {
    let harness = try Harness()
    let client = try harness.connect()
    for path in ["/test.Echo/Unary", "/test.Echo/Bidi", "/test.Echo/Repeat"] {
      let call = client.unary(path, [1, 2, 3], fields, flag: 1)
      harness.run("answer") { call.closed != nil }
      #expect(call.grpcStatus == status && call.grpcMessage == message)
    }
    #expect(harness.echo.unaryCalls == 0)
    harness.finish([client])
  }

  @Test(
    "a message that unpacks to more than the limit is RESOURCE_EXHAUSTED; its stream is not read on"
  )
  func bomb() throws {
    var options = ServerOptions()
    options.maxMessageBytes = 100_000
    let harness = try Harness(options: options)
    let client = try harness.connect()
    let fits = try Self.packed([UInt8](repeating: 0, count: 100_000))
    let bomb = try Self.packed([UInt8](repeating: 0, count: 100_001))
    for path in ["/test.Echo/Unary", "/test.Echo/Bidi"] {
      let good = client.unary(path, fits, ["grpc-encoding": "gzip"], flag: 1)
      harness.run("answer") { good.closed != nil }
      #expect(good.grpcStatus == "0" && good.messages.first?.count == 100_000)
      let bad = client.begin(path, ["grpc-encoding": "gzip"])
      client.send(bad, bomb, flag: 1)
      harness.run("refusal") { bad.closed != nil }
      #expect(bad.grpcStatus == "8" && bad.blocks == 1)
      #expect(
        bad.grpcMessage == "a compressed message unpacks to more than the limit of 100000 bytes")
    }
    harness.finish([client])
  }

  @Test("unpacked messages that wait for their end count as held: many small ones have a budget")
  func heldMessages() throws {
    var options = ServerOptions()
    options.maxHeldRequestBytes = 1_000_000
    let harness = try Harness(options: options)
    let client = try harness.connect()
    let packed = try Self.packed([UInt8](repeating: 0, count: 200_000))
    let calls = (0..<10).map { _ in client.begin("/test.Echo/Unary", ["grpc-encoding": "gzip"]) }
    for call in calls { client.send(call, packed, flag: 1) }
    // Five of 200,000 bytes are within a million.
    harness.run("refusals") { calls.filter { $0.closed != nil }.count >= 5 }
    #expect(harness.server.statistics.heldRequestBytes <= 1_000_000)
    for call in calls where call.closed != nil { #expect(call.grpcStatus == "14") }
    for call in calls where call.closed == nil { client.end(call) }
    harness.run("answers") { calls.allSatisfy { $0.closed != nil } }
    let answered = calls.filter { $0.grpcStatus == "0" }
    #expect(answered.count >= 4 && answered.allSatisfy { $0.messages.first?.count == 200_000 })
    harness.finish([client])
  }

  @Test("a compressed message in one-byte frames arrives whole, and so does what waits for its end")
  func tinyFrames() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let packed = try Self.packed(Self.long)
    let call = client.begin("/test.Echo/Unary", ["grpc-encoding": "gzip"])
    for byte in [1, 0, 0, 0, UInt8(packed.count)] + packed {
      client.send(call, raw: [byte])
      harness.loop.runOneTurn(waiting: false)
    }
    client.end(call)
    harness.run("answer") { call.closed != nil }
    #expect(call.messages == [Self.long])
    harness.finish([client])
  }

  /// Notes the flag of each message and answers as the message's first byte says.
  private final class Choosing: RequestStream {
    let responses: any ResponseStream
    let call: any CallContext
    var flags: [Bool] = []

    init(_ responses: any ResponseStream, _ call: any CallContext) {
      self.responses = responses
      self.call = call
      call.compressReplies(.always)
    }

    func received(_ message: UnsafeRawBufferPointer) {
      flags.append(call.isRequestCompressed)
      call.compressReplies(message[0] == 1 ? .always : .never)
      responses.send(byteCount: 500) {
        $0.initializeMemory(as: UInt8.self, repeating: message[0], count: 500)
      }
    }
    func halfClosed() {
      #expect(!call.isRequestCompressed)
      responses.finish(.ok)
    }
    func cancelled(_ status: Status) {}
    func drained() {}
  }

  @Test("a handler sees each message's flag, and chooses reply by reply")
  func handlersChoice() throws {
    var stream: Choosing?
    let harness = try Harness {
      $0.streaming("/test.Echo/Choose", isClientStreaming: true) { responses, call in
        let made = Choosing(responses, call)
        stream = made
        return made
      }
    }
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Choose", Self.gzip)
    client.send(call, [0])
    client.send(call, try Self.packed([UInt8](repeating: 1, count: 90)), flag: 1)
    client.send(call, [0], ends: true)
    harness.run("answer") { call.closed != nil }
    #expect(call.headers["grpc-encoding"] == "gzip" && call.grpcStatus == "0")
    #expect(stream?.flags == [false, true, false])
    // Plain, packed, plain.
    let plain = [0, 0, 0, 1, 0xF4] + [UInt8](repeating: 0, count: 500)
    #expect(call.data.starts(with: plain) && call.data.suffix(plain.count).elementsEqual(plain))
    let middle = Array(call.data.dropFirst(plain.count).dropLast(plain.count))
    #expect(try Self.plain(middle, .gzip) == [UInt8](repeating: 1, count: 500))
    stream = nil
    harness.finish([client])
  }

  @Test("a handler that wants compression gets an encoding the client reads, or none")
  func wish() throws {
    let harness = try Harness {
      $0.unary("/test.Echo/Packed") { _, reply, call in
        call.compressReplies(.always)
        reply.message(byteCount: 300).initializeMemory(as: UInt8.self, repeating: 3, count: 300)
        return Status(.ok, trailers: [.init("x-cost", "7")])
      }
    }
    let client = try harness.connect()
    for (accepted, expected) in [
      ("identity,deflate,gzip", MessageEncoding.gzip), ("identity , deflate", .deflate),
      ("identity", nil), ("", nil),
    ] as [(String, MessageEncoding?)] {
      let call = client.unary("/test.Echo/Packed", [], ["grpc-accept-encoding": accepted])
      harness.run("answer") { call.closed != nil }
      #expect(call.headers["grpc-encoding"] == expected?.name && call.trailers["x-cost"] == "7")
      if let expected {
        #expect(try Self.plain(call.data, expected) == [UInt8](repeating: 3, count: 300))
      } else {
        #expect(call.messages == [[UInt8](repeating: 3, count: 300)])
      }
    }
    // A call without any of it, on the same call object.
    let call = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { call.closed != nil }
    #expect(call.headers == [":status": "200", "content-type": "application/grpc"])
    harness.finish([client])
  }

  @Test("handlers add initial and trailing metadata, text and bytes")
  func metadata() throws {
    let harness = try Harness {
      $0.unary("/test.Echo/Metadata") { _, reply, call in
        call.addInitialMetadata(MetadataField("x-first", "a\nb"))
        call.addInitialMetadata(MetadataField("x-second-bin", bytes: [0xAB, 0xAB, 0xAB, 1]))
        _ = reply.message(byteCount: 0)
        return Status(.ok, trailers: [MetadataField("x-third-bin", bytes: [0])])
      }
      $0.streaming("/test.Echo/NoReply", isClientStreaming: true) { responses, call in
        call.addInitialMetadata(MetadataField("x-first", "1"))
        responses.finish(.ok)
        return SilentStream(responses)
      }
    }
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Metadata", [])
    harness.run("answer") { call.closed != nil }
    #expect(call.headers["x-first"] == "ab" && call.headers["x-second-bin"] == "q6urAQ")
    #expect(call.trailers == ["grpc-status": "0", "x-third-bin": "AA"])
    let empty = client.unary("/test.Echo/NoReply", [])
    harness.run("answer") { empty.closed != nil }
    #expect(empty.blocks == 2 && empty.headers["x-first"] == "1" && empty.grpcStatus == "0")
    let next = client.unary("/test.Echo/Unary", [1])
    harness.run("answer") { next.closed != nil }
    #expect(next.headers["x-first"] == nil)
    harness.finish([client])
  }
}
