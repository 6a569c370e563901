import GRPCClient
import GRPCWire
import HTTP2
import Testing
import UVLoop

@Suite("Unary calls")
struct UnaryCallTests {
  @Test("a call brings back the server's message and OK")
  func echoes() throws {
    let fixture = try ClientFixture()
    fixture.server.echo()
    let outcome = fixture.unary([1, 2, 3])
    #expect(outcome.status == .ok)
    #expect(outcome.message == [1, 2, 3])
  }

  @Test("an empty message is a message")
  func emptyMessage() throws {
    let fixture = try ClientFixture()
    fixture.server.echo()
    #expect(fixture.unary([]).status == .ok)
  }

  @Test("a message larger than every window arrives whole, both ways")
  func largeMessage() throws {
    var options = GRPCClientOptions()
    options.maxResponseMessageBytes = 8 << 20
    var narrow = HTTP2Options()
    narrow.streamWindowBytes = 70_000
    narrow.connectionWindowBytes = 100_000
    options.http2 = narrow
    let fixture = try ClientFixture(options: options, serverOptions: narrow)
    fixture.server.echo()
    let message = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    let outcome = fixture.unary(message)
    #expect(outcome.status == .ok)
    #expect(outcome.message == message)
  }

  @Test("the request's headers are gRPC's, the timeout first after the pseudo-headers")
  func requestHeaders() throws {
    let fixture = try ClientFixture()
    fixture.server.echo()
    var seen: [[(String, String)]] = []
    fixture.server.onStart = { seen.append($0.fields) }
    var metadata = CallMetadata()
    try metadata.add("x-tenant", "blue")
    try metadata.add("key-bin", bytes: [0xFB, 0xFF])
    _ = fixture.unary(timeoutNanoseconds: 5_000_000_000)
    _ = fixture.unary(timeoutNanoseconds: 250_000_000, metadata: metadata)
    _ = fixture.unary()

    let authority = fixture.server.target
    let start = [
      (":method", "POST"), (":scheme", "http"), (":path", "/test.Service/Method"),
      (":authority", authority),
    ]
    let end = [
      ("te", "trailers"), ("content-type", "application/grpc"),
      ("grpc-accept-encoding", "identity,deflate,gzip"),
      ("user-agent", "grpc-swift-quire/0.1"),
    ]
    try #require(seen.count == 3)
    #expect(seen[0].elementsEqual(start + [("grpc-timeout", "5000000u")] + end, by: ==))
    // 250 ms in the finest unit of 8 digits; FB FF is "+/8" in base64, unpadded.
    let second =
      start + [("grpc-timeout", "250000u")] + end + [("x-tenant", "blue"), ("key-bin", "+/8")]
    #expect(seen[1].elementsEqual(second, by: ==))
    #expect(seen[2].elementsEqual(start + end, by: ==))
  }

  @Test("an error status comes with its message, details and trailers")
  func errorStatus() throws {
    let fixture = try ClientFixture()
    fixture.server.onHalfClose = {
      $0.respond()
      // "CAkSAm5v" is 08 09 12 02 6E 6F: code 9, message "no".
      $0.finish([
        ("grpc-status", "9"), ("grpc-message", "no%20%E2%98%BA 100%"),
        ("grpc-status-details-bin", "CAkSAm5v"), ("x-revision", "17"),
        ("grpc-retry-pushback-ms", "5"),
      ])
    }
    let outcome = fixture.unary()
    #expect(outcome.status.code == .failedPrecondition)
    #expect(outcome.status.message == "no ☺ 100%")
    #expect(outcome.status.details == [0x08, 0x09, 0x12, 0x02, 0x6E, 0x6F])
    #expect(
      outcome.status.trailers == [
        Status.Trailer("x-revision", "17"), Status.Trailer("grpc-retry-pushback-ms", "5"),
      ])
    #expect(outcome.message.isEmpty)
  }

  @Test("an error in the headers alone is read like one in trailers")
  func trailersOnly() throws {
    let fixture = try ClientFixture()
    fixture.server.onHalfClose = {
      $0.respond(
        [
          (":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12"),
          ("grpc-message", "unknown method"),
        ], endsStream: true)
    }
    #expect(fixture.unary().status == Status(.unimplemented, "unknown method"))
  }

  @Test(
    "an answer without grpc-status is read by its HTTP status",
    arguments: [
      (400, StatusCode.internal), (401, .unauthenticated), (403, .permissionDenied),
      (404, .unimplemented), (429, .unavailable), (503, .unavailable), (418, .unknown),
    ])
  func httpStatus(httpStatus: Int, code: StatusCode) throws {
    let fixture = try ClientFixture()
    fixture.server.onHalfClose = {
      $0.respond([(":status", "\(httpStatus)"), ("content-type", "text/plain")])
      $0.sendRaw(Array("no".utf8))
      $0.finish(nil)
    }
    #expect(fixture.unary().status.code == code)
  }

  @Test(
    "a reset stream is read by its error code",
    arguments: [
      (HTTP2ErrorCode.noError, StatusCode.internal), (.protocolError, .internal),
      (.refusedStream, .unavailable), (.cancel, .cancelled), (.enhanceYourCalm, .resourceExhausted),
    ])
  func resets(error: HTTP2ErrorCode, code: StatusCode) throws {
    let fixture = try ClientFixture()
    fixture.server.onHalfClose = { $0.reset(error) }
    let status = fixture.unary().status
    #expect(status.code == code && status.wasNeverStarted == (error == .refusedStream))
    // A server that has answered has begun.
    fixture.server.onHalfClose = {
      $0.respond()
      $0.send([1])
    }
    let recorder = Recorder()
    var refused: ServerCall?
    fixture.server.onStart = { refused = $0 }
    fixture.channel.startStream(path: "/test.Service/Method", handler: recorder).halfClose()
    fixture.run(until: { !recorder.messages.isEmpty })
    refused?.reset(error)
    fixture.run(until: { recorder.status != nil })
    #expect(recorder.status?.code == code && recorder.status?.wasNeverStarted == false)
  }

  @Test("answers that are no unary response fail, each with its reason")
  func malformedAnswers() throws {
    let fixture = try ClientFixture()
    func answer(_ script: @escaping (ServerCall) -> Void) -> Status {
      fixture.server.onHalfClose = script
      return fixture.unary().status
    }
    let ok = [("grpc-status", "0")]
    #expect(
      answer {
        $0.respond(); $0.finish(ok)
      }.code == .unimplemented)
    let two = answer {
      $0.respond(); $0.send([1]); $0.send([2]); $0.finish(ok)
    }
    #expect(two.code == .unimplemented)
    let half = answer {
      $0.respond(); $0.sendRaw([0, 0, 0, 0, 9, 1]); $0.finish(ok)
    }
    #expect(half.code == .internal)
    let flag = answer {
      $0.respond(); $0.sendRaw([7, 0, 0, 0, 0]); $0.finish(ok)
    }
    #expect(flag.code == .internal)
    let compressed = answer {
      $0.respond(); $0.sendRaw([1, 0, 0, 0, 0]); $0.finish(ok)
    }
    #expect(compressed.code == .internal)
    #expect(
      answer {
        $0.respond(); $0.send([1]); $0.finish(nil)
      }.code == .unknown)
    #expect(
      answer {
        $0.respond(); $0.finish([("grpc-status", "x")])
      }.code == .unknown)
    let html = answer { $0.respond([(":status", "200"), ("content-type", "text/html")]) }
    #expect(html == Status(.unknown, "the server answered with content-type 'text/html'"))
    // The connection is none the worse.
    #expect(
      answer {
        $0.respond(); $0.send([1]); $0.finish(ok)
      } == .ok)
    #expect(fixture.server.acceptedCount == 1)
  }

  @Test("a response above the limit is refused as soon as its length is known")
  func oversizedResponse() throws {
    var options = GRPCClientOptions()
    options.maxResponseMessageBytes = 100
    let fixture = try ClientFixture(options: options)
    var closeCode: HTTP2ErrorCode?
    fixture.server.onClose = { closeCode = $1 }
    fixture.server.onHalfClose = {
      $0.respond()
      $0.sendRaw([0, 0, 0, 0, 101])
    }
    let status = fixture.unary().status
    #expect(status.code == .resourceExhausted)
    #expect(status.message == "message of 101 bytes is longer than the limit of 100")
    fixture.run { closeCode == .cancel }
  }

  @Test("a deadline that passes ends the call here and cancels it there")
  func deadline() throws {
    let fixture = try ClientFixture()
    var closeCode: HTTP2ErrorCode?
    fixture.server.onClose = { closeCode = $1 }
    let status = fixture.unary(timeoutNanoseconds: 20_000_000).status
    #expect(status.code == .deadlineExceeded)
    fixture.run { closeCode == .cancel }
  }

  @Test("a cancelled call ends once, and its late answer is dropped")
  func cancel() throws {
    let fixture = try ClientFixture()
    var started: ServerCall?
    var closeCode: HTTP2ErrorCode?
    fixture.server.onStart = { started = $0 }
    fixture.server.onClose = { closeCode = $1 }
    var statuses: [Status] = []
    let call = fixture.channel.unary(
      path: "/test.Service/Method", message: UnsafeRawBufferPointer(start: nil, count: 0)
    ) { status, _ in statuses.append(status) }
    fixture.run { started != nil }
    call.cancel()
    call.cancel()
    #expect(statuses.isEmpty, "completions never run inside a method the caller called")
    started?.respond()
    started?.send([1])
    started?.finish([("grpc-status", "0")])
    fixture.run { closeCode != nil && !statuses.isEmpty }
    #expect(statuses.map(\.code) == [.cancelled])

    // The object that served the call serves the next; the old handle does not reach it.
    fixture.server.onStart = { _ in }
    fixture.server.echo()
    var next: Status?
    fixture.channel.unary(
      path: "/test.Service/Method", message: UnsafeRawBufferPointer(start: nil, count: 0)
    ) { status, _ in next = status }
    call.cancel()
    fixture.run { next != nil }
    #expect(next == .ok)
  }

  @Test("a thousand calls at once are all answered, each with its own message")
  func concurrent() throws {
    let fixture = try ClientFixture()
    fixture.server.echo()
    var answers: [Int: [UInt8]] = [:]
    for index in 0..<1_000 {
      let message = [UInt8(truncatingIfNeeded: index), UInt8(truncatingIfNeeded: index >> 8)]
      message.withUnsafeBytes {
        _ = fixture.channel.unary(path: "/test.Service/Method", message: $0) { status, bytes in
          #expect(status == .ok)
          answers[index] = Array(bytes)
        }
      }
    }
    fixture.run { answers.count == 1_000 }
    #expect(answers[0] == [0, 0])
    #expect(answers[258] == [2, 1])
    #expect(answers[999] == [0xE7, 0x03])
    #expect(fixture.server.acceptedCount == 1)
    fixture.run { fixture.channel.openStreams == 0 }
  }

  @Test("a call may be begun in the completion of another")
  func chained() throws {
    let fixture = try ClientFixture()
    fixture.server.echo()
    var rest = 500
    func next() {
      fixture.channel.unary(
        path: "/test.Service/Method", message: UnsafeRawBufferPointer(start: nil, count: 0)
      ) { status, _ in
        #expect(status == .ok)
        rest -= 1
        if rest > 0 { next() }
      }
    }
    next()
    fixture.run { rest == 0 }
  }

  @Test("metadata that cannot be sent is refused by name")
  func metadata() {
    var metadata = CallMetadata()
    for name in ["", "Upper", "grpc-timeout", "te", "content-type", ":path", "sp ace"] {
      #expect(throws: CallMetadataError.self) { try metadata.add(name, "x") }
    }
    #expect(throws: CallMetadataError.self) { try metadata.add("a", "line\nbreak") }
    #expect(throws: CallMetadataError.self) { try metadata.add("a", " edge") }
    #expect(throws: CallMetadataError.self) { try metadata.add("a-bin", "text") }
    #expect(throws: CallMetadataError.self) { try metadata.add("a", bytes: [1]) }
    #expect(metadata.isEmpty)
  }
}
