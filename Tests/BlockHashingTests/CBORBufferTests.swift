import BlockHashing
import Testing

@Suite("CBOR") struct CBORBufferTests {
  @Test(
    "integers are encoded as in RFC 8949, appendix A",
    arguments: [
      (0, "00"), (1, "01"), (10, "0a"), (23, "17"), (24, "1818"), (25, "1819"), (100, "1864"),
      (1000, "1903e8"), (1_000_000, "1a000f4240"), (1_000_000_000_000, "1b000000e8d4a51000"),
      (-1, "20"), (-10, "29"), (-100, "3863"), (-1000, "3903e7"),
    ] as [(Int64, String)])
  func integers(value: Int64, encoded: String) {
    var buffer = CBORBuffer()
    buffer.integer(value)
    #expect(Array(buffer.bytes) == bytes(encoded))
  }

  @Test("tokens take 1, 2, 3 or 5 bytes, one after the other, and nothing behind them counts")
  func tokens() {
    let tokens: [UInt32] = [
      0, 0xFFFF_FFFF, 23, 24, 255, 256, 65_535, 65_536, 1_000_000, 0x0102_0304, 1,
    ]
    var buffer = CBORBuffer()
    buffer.null()
    tokens.withUnsafeBufferPointer { buffer.tokens($0) }
    buffer.null()
    let encoded =
      "f6" + "00" + "1affffffff" + "17" + "1818" + "18ff" + "190100" + "19ffff" + "1a00010000"
      + "1a000f4240" + "1a01020304" + "01" + "f6"
    #expect(Array(buffer.bytes) == bytes(encoded))
  }

  @Test("texts are counted in bytes of UTF-8, byte strings are not texts")
  func strings() {
    var buffer = CBORBuffer()
    buffer.text("")
    buffer.text("IETF")
    buffer.text("\u{6C34}")
    [1, 2, 3, 4].withUnsafeBytes { (numbers: UnsafeRawBufferPointer) in
      buffer.byteString(.init(rebasing: numbers[0..<1]))
    }
    #expect(Array(buffer.bytes) == bytes("60" + "6449455446" + "63e6b0b4" + "4101"))
  }

  @Test("a buffer begins anew and grows when it must")
  func growth() {
    var buffer = CBORBuffer(capacity: 8)
    buffer.null()
    buffer.reset(reserving: 5_000)
    let tokens = [UInt32](repeating: 70_000, count: 1_000)
    tokens.withUnsafeBufferPointer { buffer.tokens($0) }
    #expect(buffer.bytes.count == 5_000)
    #expect(Array(buffer.bytes.suffix(5)) == bytes("1a00011170"))
  }
}
