import GRPCClient
import GRPCWire
import MessageCompression
import Testing

@Suite("Compressed calls")
struct CompressedCallTests {
  private static let long = [UInt8](repeating: 7, count: 5_000)

  private static func packed(_ message: [UInt8], _ encoding: MessageEncoding) throws -> [UInt8] {
    let compressor = MessageCompressor()
    return try #require(
      message.withUnsafeBytes { compressor.compress($0, encoding).map { Array($0) } })
  }

  private static func frame(_ message: [UInt8], flag: UInt8 = 1) -> [UInt8] {
    [flag] + withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
  }

  private static func answer(_ call: ServerCall, _ encoding: String?, _ frames: [UInt8]) {
    call.respond(
      [(":status", "200"), ("content-type", "application/grpc")]
        + (encoding.map { [("grpc-encoding", $0)] } ?? []))
    call.sendRaw(frames)
    call.finish([("grpc-status", "0")])
  }

  @Test("responses are read in either encoding", arguments: MessageEncoding.allCases)
  func responses(encoding: MessageEncoding) throws {
    let fixture = try ClientFixture()
    let packed = try Self.packed(Self.long, encoding)
    fixture.server.onHalfClose = {
      #expect($0.field("grpc-accept-encoding") == "identity,deflate,gzip")
      #expect($0.field("grpc-encoding") == nil)
      Self.answer($0, encoding.name, Self.frame(packed))
    }
    // Twice, as the second is served by the first one's call object.
    for _ in 0..<2 {
      let outcome = fixture.unary()
      #expect(outcome.status == .ok && outcome.message == Self.long)
    }
    // And a plain one after it.
    fixture.server.onHalfClose = { Self.answer($0, nil, Self.frame([4], flag: 0)) }
    #expect(fixture.unary().message == [4])
  }

  @Test("a stream's messages are each as their flag says")
  func mixed() throws {
    let fixture = try ClientFixture()
    let packed = try Self.packed(Self.long, .gzip)
    fixture.server.onHalfClose = {
      Self.answer(
        $0, "gzip", Self.frame([1], flag: 0) + Self.frame(packed) + Self.frame([2], flag: 0))
    }
    let recorder = Recorder()
    var flags: [Bool] = []
    let call = fixture.channel.startStream(path: "/test.Service/Method", handler: recorder)
    recorder.onMessage = { _ in flags.append(call.isResponseCompressed) }
    call.halfClose()
    fixture.run(until: { recorder.status != nil })
    #expect(recorder.status == .ok && recorder.messages == [[1], Self.long, [2]])
    #expect(flags == [false, true, false])
  }

  @Test(
    "INTERNAL for compressed messages that cannot be read",
    arguments: [nil, "identity", "snappy", "gzip"] as [String?])
  func unreadable(encoding: String?) throws {
    let fixture = try ClientFixture()
    fixture.server.onHalfClose = { Self.answer($0, encoding, Self.frame([1, 2, 3])) }
    #expect(fixture.unary().status.code == .internal)
    // Unpacked or not, the next call is another matter.
    fixture.server.onHalfClose = { Self.answer($0, encoding, Self.frame([1, 2, 3], flag: 0)) }
    #expect(fixture.unary().message == [1, 2, 3])
  }

  @Test("a response that unpacks to more than the limit is RESOURCE_EXHAUSTED")
  func bomb() throws {
    var options = GRPCClientOptions()
    options.maxResponseMessageBytes = 4_999
    let fixture = try ClientFixture(options: options)
    let packed = try Self.packed(Self.long, .gzip)
    fixture.server.onHalfClose = { Self.answer($0, "gzip", Self.frame(packed)) }
    #expect(fixture.unary().status.code == .resourceExhausted)
  }

  @Test("requests are compressed as their call says, message by message, if that helps")
  func requests() throws {
    let fixture = try ClientFixture()
    var bytes: [UInt8] = []
    fixture.server.onStart = { #expect($0.field("grpc-encoding") == "deflate") }
    fixture.server.onData = { bytes += $1 }
    fixture.server.onHalfClose = { Self.answer($0, nil, []) }
    let recorder = Recorder()
    let call = fixture.channel.startStream(
      path: "/test.Service/Method", encoding: .deflate, handler: recorder)
    Self.long.withUnsafeBytes {
      #expect(call.send($0))
      #expect(call.send($0, isCompressed: false))
    }
    #expect(call.send(bytes: [1, 2]))
    call.halfClose()
    fixture.run(until: { recorder.status != nil })
    let expected =
      Self.frame(try Self.packed(Self.long, .deflate)) + Self.frame(Self.long, flag: 0)
      + Self.frame([1, 2], flag: 0)
    #expect(bytes == expected)
  }

  @Test("the response's metadata comes before its messages, decoded")
  func initialMetadata() throws {
    final class Reader: ResponseHandler {
      var values: [[UInt8]] = []
      var hidden: [[UInt8]] = []
      var status: Status?
      func began(_ head: ResponseHead) {
        values = head.metadata("x-text") + head.metadata("x-data-bin")
        hidden = head.metadata("content-type") + head.metadata(":status")
      }
      func received(_ message: UnsafeRawBufferPointer) { #expect(!values.isEmpty) }
      func finished(_ status: Status) { self.status = status }
    }
    let fixture = try ClientFixture()
    fixture.server.onHalfClose = {
      $0.respond([
        (":status", "200"), ("content-type", "application/grpc"), ("x-text", "a"),
        ("x-data-bin", "AQI,Aw=="), ("x-text", "b"),
      ])
      $0.send([1])
      $0.finish([("grpc-status", "0"), ("x-end-bin", "q6ur"), ("x-end-bin", "AQ==")])
    }
    let reader = Reader()
    fixture.channel.startStream(path: "/test.Service/Method", handler: reader).halfClose()
    fixture.run(until: { reader.status != nil })
    #expect(reader.values == [[0x61], [0x62], [1, 2], [3]])
    #expect(reader.hidden.isEmpty)
    #expect(reader.status?.trailers("x-end-bin") == [[0xAB, 0xAB, 0xAB], [1]])
  }

  @Test(
    "the server's word on retries is told",
    arguments: [
      ("250", .after(milliseconds: 250)), ("0", .after(milliseconds: 0)), ("-1", .never),
      ("soon", .never), (nil, nil),
    ] as [(String?, Status.RetryPushback?)])
  func pushback(text: String?, expected: Status.RetryPushback?) throws {
    let fixture = try ClientFixture()
    fixture.server.onHalfClose = {
      $0.respond(
        [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14")]
          + (text.map { [("grpc-retry-pushback-ms", $0)] } ?? []), endsStream: true)
    }
    let status = fixture.unary().status
    #expect(status.code == .unavailable && status.retryPushback == expected)
  }
}
