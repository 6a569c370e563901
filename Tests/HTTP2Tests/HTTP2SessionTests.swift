import HTTP2
import TestSupport
import Testing

@Suite("HTTP/2 sessions")
struct HTTP2SessionTests {
  @Test("a request and its answer with trailers arrive in order", arguments: [Int.max, 1, 7])
  func roundTrip(sliceBytes: Int) {
    let pair = InMemoryPair()
    pair.sliceBytes = sliceBytes
    var atServer: [String] = []
    var received: [UInt8] = []
    pair.onServer = { event, session in
      switch event.kind {
      case .headers: atServer.append(contentsOf: text(event.fields))
      case .data:
        received.append(contentsOf: event.data)
        session.consume(event.stream, event.data.count)
      case .closed: atServer.append("closed \(event.errorCode)")
      default: break
      }
      if event.endsStream {
        let trailers = HTTP2FieldList()
        trailers.append("grpc-status", "0")
        session.write(event.stream, [9, 8, 7])
        session.finish(event.stream, trailers: trailers)
        session.submitResponse(event.stream, responseFields(), endsStream: false)
      }
    }
    var atClient: [String] = []
    pair.onClient = { event, _ in
      switch event.kind {
      case .headers: atClient.append("headers \(event.status) \(text(event.fields))")
      case .trailers: atClient.append("trailers \(text(event.fields)) \(event.endsStream)")
      case .data: atClient.append(contentsOf: event.data.map { "data \($0)" })
      case .closed: atClient.append("closed \(event.errorCode)")
      default: break
      }
    }
    let stream = pair.client.submitRequest(requestFields(), endsStream: false)!
    pair.client.write(stream, [1, 2, 3])
    pair.client.finish(stream, trailers: nil)
    pair.exchange()

    #expect(
      atServer == [
        ":method: POST", ":scheme: http", ":path: /a.B/C", ":authority: test",
        "content-type: application/grpc", "closed NO_ERROR",
      ])
    #expect(received == [1, 2, 3])
    #expect(
      atClient == [
        "headers 200 [\":status: 200\", \"content-type: application/grpc\"]",
        "data 9", "data 8", "data 7", "trailers [\"grpc-status: 0\"] true", "closed NO_ERROR",
      ])
    #expect(pair.failures.isEmpty)
    #expect(pair.client.openStreams == 0 && pair.server.openStreams == 0)
    #expect(!stream.isOpen && stream.id == 0)
  }

  @Test("a trailers-only answer is one block that ends the stream")
  func trailersOnly() {
    let pair = InMemoryPair()
    pair.onServer = { event, session in
      if event.kind == .headers {
        session.submitResponse(event.stream, responseFields(), endsStream: true)
      }
    }
    var seen: [String] = []
    pair.onClient = { event, _ in
      if event.hasStream { seen.append("\(event.kind) \(event.endsStream)") }
    }
    _ = pair.client.submitRequest(requestFields(), endsStream: true)
    pair.exchange()
    #expect(seen == ["headers true", "closed false"])
  }

  @Test("a body larger than every window arrives whole when it is consumed")
  func flowControl() {
    var options = HTTP2Options()
    options.streamWindowBytes = 70_000
    options.connectionWindowBytes = 100_000
    let pair = InMemoryPair(server: options)
    let body = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var received: [UInt8] = []
    var largestUnconsumed = 0
    pair.onServer = { event, session in
      guard event.kind == .data else { return }
      largestUnconsumed = max(largestUnconsumed, event.data.count)
      received.append(contentsOf: event.data)
      session.consume(event.stream, event.data.count)
    }
    let stream = pair.client.submitRequest(requestFields(), endsStream: false)!
    pair.client.write(stream, body)
    pair.client.finish(stream, trailers: nil)
    pair.exchange()
    #expect(received == body)
    #expect(largestUnconsumed <= 16_384)
  }

  @Test("what is not consumed stops the sender at the window, and consuming it goes on")
  func backpressure() {
    var options = HTTP2Options()
    options.streamWindowBytes = 65_535
    let pair = InMemoryPair(server: options)
    var held: [(HTTP2StreamRef, Int)] = []
    var received = 0
    pair.onServer = { event, _ in
      guard event.kind == .data else { return }
      received += event.data.count
      held.append((event.stream, event.data.count))
    }
    // The client learns of the server's window before it sends.
    pair.exchange()
    let stream = pair.client.submitRequest(requestFields(), endsStream: false)!
    pair.client.write(stream, [UInt8](repeating: 1, count: 200_000))
    pair.exchange()
    #expect(received == 65_535)
    #expect(stream.queuedBytes == 200_000 - 65_535)
    for (stream, count) in held { pair.server.consume(stream, count) }
    held = []
    pair.exchange()
    #expect(received == 131_070)
  }

  @Test("streams that die unread leave the connection window whole")
  func windowLeak() {
    var options = HTTP2Options()
    options.connectionWindowBytes = 100_000
    options.streamWindowBytes = 70_000
    let pair = InMemoryPair(server: options)
    pair.exchange()
    var received = 0
    pair.onServer = { event, session in
      if event.kind == .data {
        received += event.data.count
        session.reset(event.stream, .cancel)
      }
    }
    for _ in 0..<20 {
      let stream = pair.client.submitRequest(requestFields(), endsStream: false)!
      pair.client.write(stream, [UInt8](repeating: 1, count: 50_000))
      pair.exchange()
      #expect(!stream.isOpen)
    }
    // Twenty times half the connection window came in, none of it was ever consumed.
    #expect(received == 1_000_000)
  }

  @Test("output is deferred while there is none and goes on when there is")
  func deferred() {
    let pair = InMemoryPair()
    var responses: HTTP2StreamRef?
    pair.onServer = { event, session in
      if event.kind == .headers {
        responses = event.stream
        session.submitResponse(event.stream, responseFields(), endsStream: false)
      }
    }
    var received: [UInt8] = []
    var isClosed = false
    pair.onClient = { event, session in
      if event.kind == .data {
        received.append(contentsOf: event.data)
        session.consume(event.stream, event.data.count)
      }
      if event.kind == .closed { isClosed = true }
    }
    _ = pair.client.submitRequest(requestFields(), endsStream: true)
    pair.exchange()
    #expect(received.isEmpty)
    pair.server.write(responses!, [1])
    pair.exchange()
    pair.server.write(responses!, [2, 3])
    pair.exchange()
    #expect(received == [1, 2, 3] && !isClosed)
    pair.server.finish(responses!, trailers: responseTrailers())
    pair.exchange()
    #expect(isClosed)
  }

  private func responseTrailers() -> HTTP2FieldList {
    let list = HTTP2FieldList()
    list.append("grpc-status", "0")
    return list
  }

  @Test("says when the queue has drained, once per request to be told")
  func drained() {
    let pair = InMemoryPair()
    var notices = 0
    pair.onServer = { event, session in
      if event.kind == .headers {
        session.submitResponse(event.stream, responseFields(), endsStream: false)
        session.write(event.stream, [UInt8](repeating: 0, count: 300_000))
        session.notifyWhenDrained(event.stream)
      }
      if event.kind == .drained {
        notices += 1
        #expect(event.stream.queuedBytes <= 65_536)
      }
    }
    pair.onClient = { event, session in
      if event.kind == .data { session.consume(event.stream, event.data.count) }
    }
    _ = pair.client.submitRequest(requestFields(), endsStream: true)
    pair.exchange()
    #expect(notices == 1)
  }

  @Test("a reset carries its code both ways")
  func reset() {
    let pair = InMemoryPair()
    var codes: [HTTP2ErrorCode] = []
    pair.onServer = { event, _ in if event.kind == .closed { codes.append(event.errorCode) } }
    pair.onClient = { event, _ in if event.kind == .closed { codes.append(event.errorCode) } }
    let stream = pair.client.submitRequest(requestFields(), endsStream: false)!
    pair.exchange()
    pair.client.reset(stream, .cancel)
    pair.exchange()
    #expect(codes == [.cancel, .cancel])
  }

  @Test("a server that ends first resets the stream after its trailers")
  func earlyEnd() {
    let pair = InMemoryPair()
    pair.onServer = { event, session in
      if event.kind == .headers {
        session.submitResponse(event.stream, responseFields(), endsStream: true)
        session.resetWhenEnded(event.stream)
      }
    }
    var seen: [String] = []
    pair.onClient = { event, _ in
      if event.kind == .headers { seen.append("headers") }
      if event.kind == .closed { seen.append("closed \(event.errorCode)") }
    }
    _ = pair.client.submitRequest(requestFields(), endsStream: false)
    pair.exchange()
    #expect(seen == ["headers", "closed NO_ERROR"])
    #expect(pair.server.openStreams == 0)
  }

  /// What is looked at whenever all has been sent must not grow with what a client leaves unread.
  @Test("streams whose end waits for window are reset when it is sent, and not looked at before")
  func heldUpEnds() {
    var narrow = HTTP2Options()
    narrow.streamWindowBytes = 2
    let pair = InMemoryPair(client: narrow)
    pair.exchange()  // The window must be known before the answers.
    let trailers = HTTP2FieldList()
    trailers.append("grpc-status", "0")
    func end(_ stream: HTTP2StreamRef) {
      pair.server.finish(stream, trailers: trailers)
      pair.server.resetWhenEnded(stream)
    }
    var last: HTTP2StreamRef?
    pair.onServer = { event, session in
      guard event.kind == .headers else { return }
      session.submitResponse(event.stream, responseFields(), endsStream: false)
      // The last one fills its window, and will have nothing left to say but its end.
      last = event.stream
      session.write(event.stream, event.stream.id == 99 ? [1, 2] : [1, 2, 3])
      if event.stream.id < 99 { end(event.stream) }
    }
    var closings: [HTTP2ErrorCode] = []
    pair.onClient = { event, _ in if event.kind == .closed { closings.append(event.errorCode) } }
    let streams = (0..<50).map { _ in
      pair.client.submitRequest(requestFields(), endsStream: false)!
    }
    pair.exchange()
    if let last { end(last) }
    pair.exchange()
    #expect(pair.server.openStreams == 50 && pair.server.dueResets == 0 && closings.isEmpty)
    pair.client.consume(streams[7], 2)
    pair.exchange()
    #expect(closings == [.noError] && !streams[7].isOpen)
    for stream in streams where stream.isOpen { pair.client.consume(stream, 2) }
    pair.exchange()
    #expect(closings == [HTTP2ErrorCode](repeating: .noError, count: 50))
    #expect(pair.server.openStreams == 0 && pair.server.dueResets == 0)
  }

  @Test("fields beyond the limit are dropped and said to be")
  func headerLimit() {
    var options = HTTP2Options()
    options.maxHeaderListBytes = 1_000
    let pair = InMemoryPair(server: options)
    var wasTooLarge: [Bool] = []
    pair.onServer = { event, _ in
      if event.kind == .headers { wasTooLarge.append(event.fieldsTooLarge) }
    }
    let long = String(repeating: "x", count: 700)
    _ = pair.client.submitRequest(requestFields(), endsStream: true)
    _ = pair.client.submitRequest(
      requestFields(extra: [("a", long), ("b", long)]), endsStream: true)
    pair.exchange()
    #expect(wasTooLarge == [false, true])
  }

  @Test("a header bomb resets its stream and spares the connection")
  func headerBomb() {
    var options = HTTP2Options()
    options.maxHeaderListBytes = 1_000
    let pair = InMemoryPair(server: options)
    var codes: [HTTP2ErrorCode] = []
    pair.onClient = { event, _ in if event.kind == .closed { codes.append(event.errorCode) } }
    let long = String(repeating: "x", count: 900)
    let bomb = (0..<10).map { _ in ("a", long) }
    _ = pair.client.submitRequest(requestFields(extra: bomb), endsStream: true)
    pair.exchange()
    #expect(codes == [.internalError])
    #expect(pair.failures.isEmpty && pair.server.openStreams == 0)
  }

  @Test("a graceful stop lets what was begun finish and refuses the rest")
  func goAway() {
    let pair = InMemoryPair()
    var open: [HTTP2StreamRef] = []
    pair.onServer = { event, _ in if event.kind == .headers { open.append(event.stream) } }
    var seen: [String] = []
    pair.onClient = { event, _ in
      if event.kind == .goAway { seen.append("goAway \(event.lastStreamID) \(event.errorCode)") }
      if event.kind == .headers { seen.append("headers") }
    }
    _ = pair.client.submitRequest(requestFields(), endsStream: true)
    pair.exchange()
    pair.server.submitShutdownNotice()
    pair.exchange()
    pair.server.submitGoAway(.noError)
    pair.exchange()
    #expect(seen == ["goAway 2147483647 NO_ERROR", "goAway 1 NO_ERROR"])
    #expect(pair.client.submitRequest(requestFields(), endsStream: true) == nil)
    pair.server.submitResponse(open[0], responseFields(), endsStream: true)
    pair.exchange()
    #expect(seen.last == "headers")
    #expect(!pair.server.wantsRead && !pair.server.wantsWrite)
  }

  @Test("a burst of streams gives back the memory of its fields")
  func memoryAfterBurst() {
    let server = HTTP2Context()
    var sessions: [InMemoryPair] = []
    for _ in 0..<6 {
      let pair = InMemoryPair(serverContext: server)
      pair.exchange()
      for _ in 0..<1_000 {
        _ = pair.client.submitRequest(
          requestFields(extra: [("a", String(repeating: "x", count: 2_000))]), endsStream: false)
      }
      pair.exchange()
      sessions.append(pair)
    }
    #expect(server.openStreams == 6_000)
    for pair in sessions { pair.server.closeAll(.cancel) { _ in } }
    // 6000 lists of more than 2048 bytes came; 4096 buffers of 4 KiB may stay.
    #expect(server.openStreams == 0 && server.keptStreamBytes == 4_096 * 4_096)
  }

  @Test("pings are answered and told of")
  func ping() {
    let pair = InMemoryPair()
    var seen: [String] = []
    pair.onServer = { event, _ in if event.kind == .ping { seen.append("ping \(event.opaque)") } }
    pair.onClient = { event, _ in
      if event.kind == .pingAcknowledged { seen.append("ack \(event.opaque)") }
    }
    pair.client.submitPing(0x0102_0304)
    pair.exchange()
    #expect(seen == ["ping 16909060", "ack 16909060"])
  }

  @Test("a lost connection closes every stream")
  func closeAll() {
    let pair = InMemoryPair()
    for _ in 0..<3 { _ = pair.client.submitRequest(requestFields(), endsStream: false) }
    pair.exchange()
    var closed = 0
    pair.server.closeAll(.cancel) { event in
      #expect(event.kind == .closed && event.stream.isOpen)
      closed += 1
    }
    #expect(closed == 3 && pair.server.openStreams == 0)
    #expect(pair.server.context.openStreams == 0)
  }

  @Test("bytes that are not HTTP/2 end the connection with a reason")
  func badPreface() {
    let server = HTTP2Session(.server, context: HTTP2Context())
    let failure = Array("GET / HTTP/1.1\r\nhost: x\r\n\r\n".utf8).withUnsafeBytes {
      server.receive($0) { _ in }
    }
    #expect(failure?.isBadPreface == true)
  }

  @Test("random frames never trap", arguments: 1...40 as ClosedRange<UInt64>)
  func garbage(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let server = HTTP2Session(.server, context: HTTP2Context())
    var bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
    for _ in 0..<30 {
      let length = Int.random(in: 0...40, using: &random)
      bytes += [0, 0, UInt8(length), UInt8.random(in: 0...10, using: &random)]
      bytes += [UInt8.random(in: .min ... .max, using: &random), 0, 0, 0]
      bytes.append(UInt8.random(in: 0...9, using: &random))
      bytes += (0..<length).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    }
    _ = bytes.withUnsafeBytes { server.receive($0) { _ in } }
    _ = server.drain { _ in }
    server.closeAll(.cancel) { _ in }
    #expect(server.openStreams == 0)
  }
}
