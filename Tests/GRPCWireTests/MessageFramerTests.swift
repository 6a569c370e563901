import GRPCWire
import TestSupport
import Testing

@Suite("message framer")
struct MessageFramerTests {
  /// Feeds the slices in turn; what came out, and how it ended.
  private func run(
    _ slices: [[UInt8]], limit: Int = 1 << 20
  ) -> (messages: [[UInt8]], error: FramingError?, isBetweenMessages: Bool) {
    var framer = MessageFramer(limitBytes: limit)
    var messages: [[UInt8]] = []
    for slice in slices {
      let error = slice.withUnsafeBytes { bytes -> FramingError? in
        var rest = bytes
        while true {
          switch framer.next(&rest) {
          case .message(let message), .compressed(let message): messages.append(Array(message))
          case .needsMore: return nil
          case .failed(let error): return error
          }
        }
      }
      if let error { return (messages, error, false) }
    }
    return (messages, nil, framer.isBetweenMessages)
  }

  @Test("finds the same messages wherever the bytes are split in three")
  func everySplit() {
    let bytes: [UInt8] = [0, 0, 0, 0, 3, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5]
    for first in 0...bytes.count {
      for second in first...bytes.count {
        let result = run([
          Array(bytes[..<first]), Array(bytes[first..<second]), Array(bytes[second...]),
        ])
        #expect(result.messages == [[7, 8, 9], [], [5]])
        #expect(result.error == nil && result.isBetweenMessages)
      }
    }
  }

  @Test("finds the same messages one byte at a time")
  func singleBytes() {
    let result = run([[0], [0], [0], [0], [2], [1], [2], [0], [0], [0], [0], [0]])
    #expect(result.messages == [[1, 2], []])
  }

  @Test("flag 1 marks a compressed message, where these are accepted, until the next reset")
  func compressed() {
    var framer = MessageFramer()
    framer.acceptsCompressed = true
    let bytes: [UInt8] = [1, 0, 0, 0, 1, 7, 0, 0, 0, 0, 1, 8, 1, 0, 0, 0, 0]
    bytes.withUnsafeBytes { bytes in
      var rest = bytes
      var flags: [Bool] = []
      while true {
        switch framer.next(&rest) {
        case .message(let message):
          #expect(Array(message) == [8])
          flags.append(false)
          continue
        case .compressed(let message):
          #expect(Array(message) == (flags.isEmpty ? [7] : []))
          flags.append(true)
          continue
        case .needsMore, .failed: break
        }
        break
      }
      #expect(flags == [true, false, true] && framer.isBetweenMessages)
      framer.reset()
      rest = bytes
      guard case .failed(.compressed) = framer.next(&rest) else {
        Issue.record("a compressed message was accepted")
        return
      }
    }
  }

  @Test("a whole message in one slice is handed out in place")
  func inPlace() {
    var framer = MessageFramer()
    let bytes: [UInt8] = [0, 0, 0, 0, 2, 4, 5]
    bytes.withUnsafeBytes { bytes in
      var rest = bytes
      guard case .message(let message) = framer.next(&rest) else {
        Issue.record("no message")
        return
      }
      #expect(message.baseAddress == bytes.baseAddress! + 5)
      #expect(rest.isEmpty)
    }
  }

  @Test("a long message in random slices arrives unchanged", arguments: [1, 2, 3] as [UInt64])
  func longMessage(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let message = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var rest = ArraySlice([0, 0, 4, 0x93, 0xE0] + message)
    var slices: [[UInt8]] = []
    while !rest.isEmpty {
      let count = min(rest.count, Int.random(in: 1...40_000, using: &random))
      slices.append(Array(rest.prefix(count)))
      rest = rest.dropFirst(count)
    }
    #expect(run(slices).messages == [message])
  }

  @Test(
    "a stream that is silent between messages keeps 4 KiB", arguments: [4_000, 50_000, 300_000])
  func memoryBetweenMessages(length: Int) {
    var framer = MessageFramer()
    let size = withUnsafeBytes(of: UInt32(length).bigEndian) { Array($0) }
    for slice in [[0] + size, [UInt8](repeating: 1, count: length)] {
      slice.withUnsafeBytes {
        var rest = $0
        while case .message(let message) = framer.next(&rest) {
          #expect(message.count == length && message.allSatisfy { $0 == 1 })
        }
      }
    }
    #expect(framer.isBetweenMessages && framer.capacity <= 4_096)
  }

  @Test("the last message's memory counts as held, until the reader rests")
  func rest() {
    var framer = MessageFramer()
    // 300,000 = 0x493E0 bytes.
    for slice in [[0, 0, 4, 0x93, 0xE0], [UInt8](repeating: 1, count: 300_000)] {
      slice.withUnsafeBytes {
        var rest = $0
        _ = framer.next(&rest)
      }
    }
    let held = framer.heldBytes
    framer.rest()
    let left = (framer.heldBytes, framer.capacity)
    #expect(held == 300_000 && left == (0, 0))
  }

  @Test("a reader that rests inside a message loses nothing of it")
  func restInside() {
    var framer = MessageFramer()
    var messages: [[UInt8]] = []
    for slice in [[0, 0, 0, 0x27, 0x10], [UInt8](repeating: 1, count: 9_000)] as [[UInt8]] {
      slice.withUnsafeBytes {
        var rest = $0
        _ = framer.next(&rest)
      }
      framer.rest()
    }
    [UInt8](repeating: 1, count: 1_000).withUnsafeBytes {
      var rest = $0
      if case .message(let message) = framer.next(&rest) { messages.append(Array(message)) }
    }
    #expect(messages == [[UInt8](repeating: 1, count: 10_000)])
  }

  @Test("a forgotten half message keeps 4 KiB at most", arguments: [4_000, 50_000, 300_000])
  func memoryAfterReset(length: Int) {
    var framer = MessageFramer()
    var bytes = [UInt8](repeating: 0, count: 5 + length - 1)
    bytes[2] = UInt8(length >> 16)
    bytes[3] = UInt8(length >> 8 & 255)
    bytes[4] = UInt8(length & 255)
    bytes.withUnsafeBytes {
      var rest = $0
      _ = framer.next(&rest)
    }
    let before = framer.capacity
    framer.reset()
    let after = framer.capacity
    #expect(before >= length - 1 && after == (length == 4_000 ? before : 0))
  }

  @Test("the limit is checked when the prefix has arrived, and is inclusive")
  func limit() {
    #expect(run([[0, 0, 0, 0, 4]], limit: 3).error == .tooLarge(length: 4, limit: 3))
    #expect(
      run([[0, 0xFF, 0xFF, 0xFF, 0xFF]], limit: 3).error
        == .tooLarge(length: 4_294_967_295, limit: 3))
    #expect(run([[0, 0, 0, 0, 3, 1, 2, 3]], limit: 3).messages == [[1, 2, 3]])
  }

  @Test("flags other than 0 are refused")
  func flags() {
    #expect(run([[2, 0, 0, 0, 0]]).error == .badFlag(2))
    #expect(run([[1, 0, 0, 0, 0]]).error == .compressed)
    #expect(run([[0, 0, 0, 0, 0, 255], [0, 0, 0, 1]]).error == .badFlag(255))
    #expect(FramingError.compressed.status.code == .internal)
    #expect(FramingError.tooLarge(length: 5, limit: 4).status.code == .resourceExhausted)
  }

  @Test("a half prefix and a half message are seen as truncated")
  func truncated() {
    #expect(!run([[0, 0]]).isBetweenMessages)
    #expect(!run([[0, 0, 0, 0, 2, 1]]).isBetweenMessages)
    #expect(run([]).isBetweenMessages)
  }

  @Test("writes the prefix big-endian")
  func prefix() {
    var bytes = [UInt8](repeating: 9, count: 5)
    bytes.withUnsafeMutableBytes { MessageFramer.writePrefix(0x0102_0304, to: $0.baseAddress!) }
    #expect(bytes == [0, 1, 2, 3, 4])
  }
}
