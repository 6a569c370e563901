import TestSupport
import Testing

@testable import HTTP2

@Suite("counting frames")
struct FrameCountTests {
  private static func frame(_ type: UInt8, _ length: Int) -> [UInt8] {
    [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, 0, 0, 0, 0, 1]
      + [UInt8](repeating: 0xFF, count: length)
  }

  @Test("frames are counted once, however the bytes are cut; CONTINUATION is not counted")
  func cuts() {
    let lengths = [0, 5, 1, 300, 70_000, 0, 0, 8, 17, 9]
    var bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    for (index, length) in lengths.enumerated() {
      bytes += FrameCountTests.frame(UInt8(index % 3), length) + FrameCountTests.frame(9, 40)
    }
    var random = SplitMix64(seed: 11)
    for longest in [1, 2, 8, 9, 10, 30, 1_000, 100_000] {
      var count = FrameCount(isServer: true)
      var found = 0
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = Array(rest.prefix(Int.random(in: 1...longest, using: &random)))
        rest = rest.dropFirst(piece.count)
        found += piece.withUnsafeBytes { count.begun(in: $0) }
      }
      #expect(found == 10)
    }
  }

  @Test("the first frame of a read is found behind the rest of the one before")
  func firstStart() {
    var count = FrameCount(isServer: true)
    func start(_ bytes: [UInt8]) -> Int {
      _ = bytes.withUnsafeBytes { count.begun(in: $0) }
      return count.firstStart
    }
    #expect(start(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)) == 24)
    let frame = FrameCountTests.frame(0, 100)
    #expect(start(Array(frame[..<9])) == 0)
    #expect(start(Array(frame[9..<50])) == 100)  // Not in this read.
    #expect(start(Array(frame[50...]) + frame) == 59)
    // A header in two reads: the next one is the first that is whole.
    #expect(start(Array(frame[..<4])) == 0)
    #expect(start(Array(frame[4...]) + frame) == 105)
  }
}
