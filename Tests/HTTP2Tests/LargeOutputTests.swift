import HTTP2
import Testing

/// Small payloads go through nghttp2's memory, large ones past it.
@Suite("large and small output of HTTP/2")
struct LargeOutputTests {
  /// Output that repeats after a prime number of bytes, so that no frame is like another, nor those of other
  /// streams where `start` differs.
  private func pattern(_ count: Int, from start: Int = 0) -> [UInt8] {
    (start..<start + count).map { UInt8($0 % 251) }
  }

  /// What comes of an answer that is queued in chunks of these lengths, and how often its end.
  private func roundTrip(_ chunks: [Int], trailers: Bool) -> (
    bytes: [UInt8], ends: Int, failures: Int
  ) {
    let pair = InMemoryPair()
    var received: [UInt8] = []
    var ends = 0
    pair.onServer = { event, session in
      if event.kind == .headers {
        session.submitResponse(event.stream, responseFields(), endsStream: false)
        var queued = 0
        for count in chunks {
          session.write(event.stream, pattern(count, from: queued))
          queued += count
        }
        let fields = HTTP2FieldList()
        fields.append("grpc-status", "0")
        session.finish(event.stream, trailers: trailers ? fields : nil)
      }
    }
    pair.onClient = { event, session in
      if event.kind == .data {
        received.append(contentsOf: event.data)
        session.consume(event.stream, event.data.count)
      }
      if event.endsStream { ends += 1 }
    }
    _ = pair.client.submitRequest(requestFields(), endsStream: true)
    pair.exchange()
    return (received, ends, pair.failures.count)
  }

  @Test(
    "output of every length arrives as it was queued, and its end once",
    arguments: [1, 1_023, 1_024, 1_025, 16_383, 16_384, 16_385, 16_384 + 1_023, 40_000, 300_000])
  func everyLength(count: Int) {
    for trailers in [false, true] {
      let seen = roundTrip([count], trailers: trailers)
      #expect(seen.bytes == pattern(count) && seen.ends == 1 && seen.failures == 0)
    }
  }

  @Test("chunks that are queued one behind the other stay in their order")
  func chunks() {
    let lengths = [5, 1_024, 3, 20_000, 1, 1_023, 2_048]
    let seen = roundTrip(lengths, trailers: true)
    #expect(seen.bytes == pattern(lengths.reduce(0, +)) && seen.ends == 1 && seen.failures == 0)
  }

  @Test(
    "each of several streams gets its own bytes in their order, small and large frames side by side"
  )
  func severalStreams() {
    let pair = InMemoryPair()
    var received: [Int32: [UInt8]] = [:]
    var pings = 0
    pair.onServer = { event, session in
      if event.kind == .headers {
        // Of the first stream small, of the second large, and so on.
        let isLarge = event.stream.id / 2 % 2 == 1
        session.submitPing(UInt64(event.stream.id))
        session.submitResponse(event.stream, responseFields(), endsStream: false)
        session.write(
          event.stream, pattern(isLarge ? 50_000 : 100, from: 37 * Int(event.stream.id)))
        session.finish(event.stream, trailers: nil)
      }
      if event.kind == .pingAcknowledged { pings += 1 }
    }
    pair.onClient = { event, session in
      if event.kind == .data {
        received[event.stream.id, default: []].append(contentsOf: event.data)
        session.consume(event.stream, event.data.count)
      }
    }
    for _ in 0..<6 { _ = pair.client.submitRequest(requestFields(), endsStream: true) }
    pair.exchange()
    #expect(pair.failures.isEmpty && pings == 6 && pair.client.openStreams == 0)
    #expect(received.count == 6)
    for (id, bytes) in received {
      let count = id / 2 % 2 == 1 ? 50_000 : 100
      #expect(bytes == pattern(count, from: 37 * Int(id)), "stream \(id)")
    }
  }

  @Test("a drain stops soon behind its limit, and the next one goes on")
  func limit() throws {
    let pair = InMemoryPair()
    let stream = try #require(beginAnswer(pair))
    pair.server.write(stream, pattern(500_000))
    let output = pair.server.context.output
    var sent: [Int] = []
    while sent.count < 10 {
      #expect(pair.server.drain(limit: 100_000) { _ in } == nil)
      if output.count == 0 { break }
      sent.append(output.count)
      output.removeAll()
    }
    // A frame is 16,384 bytes behind 9. Seven of them are the first to reach the limit, and one more, which goes
    // through nghttp2's memory, makes it come back. The last drain has what is left: six, and 8,480 bytes behind 9.
    #expect(sent == [131_144, 131_144, 131_144, 106_847])
  }

  @Test("frames that go past nghttp2's memory count as payload, too")
  func counted() {
    let pair = InMemoryPair()
    pair.onServer = { event, session in
      if event.kind == .headers {
        session.submitResponse(event.stream, responseFields(), endsStream: false)
        session.write(event.stream, pattern(300_000))
        session.finish(event.stream, trailers: nil)
      }
    }
    _ = pair.client.submitRequest(requestFields(), endsStream: true)
    pair.exchange()
    // HEADERS, and DATA of 16,384 bytes 18 times and of the other 5,088.
    #expect(pair.server.conduct.payloadFrames == 20)
  }

  @Test("what a client uploads goes the same ways")
  func upload() {
    let pair = InMemoryPair()
    var received: [UInt8] = []
    var ends = 0
    pair.onServer = { event, session in
      if event.kind == .data {
        received.append(contentsOf: event.data)
        session.consume(event.stream, event.data.count)
      }
      if event.endsStream { ends += 1 }
    }
    guard let stream = pair.client.submitRequest(requestFields(), endsStream: false) else {
      Issue.record("no stream")
      return
    }
    pair.client.write(stream, pattern(40_000))
    pair.client.finish(stream, trailers: nil)
    pair.exchange()
    #expect(received == pattern(40_000) && ends == 1 && pair.failures.isEmpty)
  }

  @Test("a stream that is reset between two drains sends no more of its output")
  func reset() throws {
    let pair = InMemoryPair()
    let stream = try #require(beginAnswer(pair))
    pair.server.write(stream, pattern(200_000))
    #expect(framesSent(by: pair.server, limit: 20_000) == [0, 0, 0])
    pair.server.reset(stream, .cancel)
    // RST_STREAM, and nothing else.
    #expect(framesSent(by: pair.server, limit: .max) == [3])
    #expect(pair.server.queuedOutputBytes == 0 && pair.server.openStreams == 0)
  }

  /// The server's end of a request whose answer has begun; its output is still to be queued.
  private func beginAnswer(_ pair: InMemoryPair) -> HTTP2StreamRef? {
    var stream: HTTP2StreamRef?
    pair.onServer = { event, session in
      if event.kind == .headers {
        stream = event.stream
        session.submitResponse(event.stream, responseFields(), endsStream: false)
      }
    }
    _ = pair.client.submitRequest(requestFields(), endsStream: true)
    pair.exchange()
    return stream
  }

  /// The types of the frames of one drain.
  private func framesSent(by session: HTTP2Session, limit: Int) -> [UInt8] {
    #expect(session.drain(limit: limit) { _ in } == nil)
    let output = Array(session.context.output.bytes)
    session.context.output.removeAll()
    var types: [UInt8] = []
    var start = 0
    while start + 9 <= output.count {
      types.append(output[start + 3])
      start += 9 + output[start..<start + 3].reduce(0) { $0 << 8 | Int($1) }
    }
    #expect(start == output.count)
    return types
  }
}
