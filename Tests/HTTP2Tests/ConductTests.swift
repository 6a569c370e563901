import HTTP2
import Testing

/// What a session counts of frames that do nothing; the bytes are by hand.
@Suite("conduct")
struct ConductTests {
  private static let greeting =
    Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]

  /// POST / from the static table, authority "a".
  private static func head(_ stream: UInt8) -> [UInt8] {
    [0, 0, 6, 1, 4, 0, 0, 0, stream, 0x83, 0x86, 0x84, 0x41, 1, 0x61]
  }

  private func conduct(
    after bytes: [UInt8], _ options: HTTP2Options = HTTP2Options()
  ) -> HTTP2Conduct {
    let server = HTTP2Session(.server, context: HTTP2Context(options))
    let failure = (ConductTests.greeting + bytes).withUnsafeBytes { server.receive($0) { _ in } }
    #expect(failure == nil)
    server.closeAll(.cancel) { _ in }
    return server.conduct
  }

  @Test("empty DATA frames are counted, those that end a stream are not")
  func emptyData() {
    let empty: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 1]
    let last: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 0, 1]
    let found = conduct(after: ConductTests.head(1) + empty + empty + empty + last)
    #expect(found.uselessFrames == 3 && found.ignoredFrames == 0)
  }

  @Test("a frame that breaks a rule is counted once")
  func brokenFrames() {
    // More window than there may be, on streams 1 and 3.
    let most = { (stream: UInt8) -> [UInt8] in
      [0, 0, 4, 8, 0, 0, 0, 0, stream, 0x7F, 0xFF, 0xFF, 0xFF]
    }
    let found = conduct(
      after: ConductTests.head(1) + ConductTests.head(3) + most(1) + most(3))
    #expect(found.uselessFrames == 2 && found.ignoredFrames == 0)
  }

  @Test("frames of unknown types are ignored ones")
  func unknownTypes() {
    let found = conduct(after: [0, 0, 1, 0x77, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0x78, 0, 0, 0, 0, 0])
    #expect(found.uselessFrames == 0 && found.ignoredFrames == 2)
  }

  @Test("streams that are refused are held against nobody, nor is what follows their HEADERS")
  func refusedStreams() {
    var options = HTTP2Options()
    options.maxConcurrentStreams = 1
    // Three of them, with a DATA frame each, before the limit is known.
    var refused: [UInt8] = []
    for stream in [3, 5, 7] as [UInt8] {
      refused += ConductTests.head(stream)
      refused += [0, 0, 1, 0, 1, 0, 0, 0, stream, 9]
    }
    let found = conduct(after: ConductTests.head(1) + refused, options)
    #expect(found.uselessFrames == 0 && found.ignoredFrames <= 0)
  }
}
