import Testing

@testable import HTTP2

/// Frames for streams that are over, as a server sees them. By hand: no client sends such.
@Suite("closed streams")
struct ClosedStreamsTests {
  private let server = HTTP2Session(.server, context: HTTP2Context())

  private static func frame(
    _ kind: UInt8, flags: UInt8 = 0, on stream: UInt8, _ payload: [UInt8] = []
  ) -> [UInt8] {
    [0, UInt8(payload.count >> 8), UInt8(payload.count & 255), kind, flags, 0, 0, 0, stream]
      + payload
  }

  private func receive(_ bytes: some Collection<UInt8>) -> HTTP2Failure? {
    let failure = Array(bytes).withUnsafeBytes { bytes in
      server.receive(bytes) { event in
        guard event.kind == .headers else { return }
        // Stream 1 is answered, stream 3 cut short.
        if event.endsStream {
          event.stream.submitResponse(responseFields(), endsStream: true)
        } else {
          event.stream.reset(.noError)
        }
      }
    }
    #expect(server.drain { _ in } == nil)
    server.context.output.removeAll()
    return failure
  }

  /// Stream 1 was ended by the client and answered, stream 3 reset by the server.
  private func begin() {
    // POST / from the static table, authority "a".
    let head: [UInt8] = [0x83, 0x86, 0x84, 0x41, 1, 0x61]
    let greeting = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
    #expect(receive(greeting) == nil)
    #expect(receive(ClosedStreamsTests.frame(1, flags: 5, on: 1, head)) == nil)
    #expect(receive(ClosedStreamsTests.frame(1, flags: 4, on: 3, head)) == nil)
    #expect(server.openStreams == 0)
  }

  @Test(
    "a late body that reads like frames breaks no rule, wherever the reads cut it",
    arguments: [9, 1, 5, 8, 10, 18, 27, 100])
  func bodyLikeFrames(cut: Int) {
    begin()
    let inner = (0..<20).flatMap { _ in ClosedStreamsTests.frame(0, on: 1, [1, 2]) }
    let late = ClosedStreamsTests.frame(0, on: 3, inner)
    #expect(receive(late[..<cut]) == nil)
    #expect(receive(late[cut...]) == nil)
    server.closeAll(.cancel) { _ in }
  }

  @Test("what follows the rest of a late body is judged")
  func behindBody() {
    begin()
    let late = ClosedStreamsTests.frame(0, on: 3, [UInt8](repeating: 7, count: 40))
    #expect(receive(late[..<20]) == nil)
    let failure = receive(late[20...] + ClosedStreamsTests.frame(0, on: 1, [1]))
    #expect(failure?.untold == .streamClosed)
    server.closeAll(.cancel) { _ in }
  }

  @Test("a stream that was reset does not wait for an answer, though the reset is not sent")
  func unsentReset() throws {
    let head: [UInt8] = [0x83, 0x86, 0x84, 0x41, 1, 0x61]
    let request =
      Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
      + ClosedStreamsTests.frame(1, flags: 4, on: 1, head)
    var stream: HTTP2StreamRef?
    let failure = request.withUnsafeBytes { bytes in
      server.receive(bytes) { if $0.kind == .headers { stream = $0.stream } }
    }
    #expect(failure == nil)
    let open = try #require(stream)
    #expect(open.isUnanswered)
    open.reset(.cancel)
    #expect(open.isOpen && !open.isUnanswered)
    server.closeAll(.cancel) { _ in }
  }

  @Test("data on a stream that the client has ended is judged by its header alone")
  func endedStream() {
    begin()
    let data = ClosedStreamsTests.frame(0, on: 1, [1, 2, 3])
    #expect(receive(data[..<10])?.untold == .streamClosed)
    server.closeAll(.cancel) { _ in }
  }
}
