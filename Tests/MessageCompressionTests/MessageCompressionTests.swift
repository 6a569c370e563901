import GRPCWire
import MessageCompression
import TestSupport
import Testing

@Suite("message compression")
struct MessageCompressionTests {
  private static func decompress(
    _ bytes: [UInt8], _ encoding: MessageEncoding, limit: Int = 1 << 20
  ) throws(DecompressionError) -> [UInt8] {
    let decompressor = MessageDecompressor()
    return try decompress(bytes, encoding, limit, with: decompressor)
  }

  private static func decompress(
    _ bytes: [UInt8], _ encoding: MessageEncoding, _ limit: Int,
    with decompressor: MessageDecompressor
  ) throws(DecompressionError) -> [UInt8] {
    let result = bytes.withUnsafeBytes { bytes in
      Result { () throws(DecompressionError) in
        Array(try decompressor.decompress(bytes, encoding, limitBytes: limit))
      }
    }
    return try result.get()
  }

  /// "quire quire quire", by Python's `gzip.compress(..., mtime=0)` and `zlib.compress`.
  private static let text = Array("quire quire quire".utf8)
  private static let gzipped: [UInt8] = [
    0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2B, 0x2C,
    0xCD, 0x2C, 0x4A, 0x55, 0x28, 0x44, 0x90, 0x00, 0x07, 0xEE, 0xBD, 0xAB,
    0x11, 0x00, 0x00, 0x00,
  ]
  private static let deflated: [UInt8] = [
    0x78, 0x9C, 0x2B, 0x2C, 0xCD, 0x2C, 0x4A, 0x55, 0x28, 0x44, 0x90, 0x00,
    0x3C, 0xA4, 0x06, 0xB3,
  ]

  @Test("reads what Python's zlib wrote")
  func foreignBytes() throws {
    #expect(try Self.decompress(Self.gzipped, .gzip) == Self.text)
    #expect(try Self.decompress(Self.deflated, .deflate) == Self.text)
  }

  @Test("each encoding is its own format: the other's and bare deflate are corrupt")
  func formats() {
    // Behind zlib's two bytes and before its four of checksum lies bare deflate.
    let bare = Array(Self.deflated.dropFirst(2).dropLast(4))
    for (bytes, encoding) in [
      (Self.deflated, .gzip), (Self.gzipped, .deflate), (bare, .deflate), (bare, .gzip),
    ] as [([UInt8], MessageEncoding)] {
      let error = #expect(throws: DecompressionError.self) {
        try Self.decompress(bytes, encoding)
      }
      #expect(error?.status.code == .internal)
    }
  }

  @Test("cut short, followed by junk, or empty: corrupt, wherever it is cut")
  func corrupt() {
    for count in 0..<Self.gzipped.count {
      #expect(throws: DecompressionError.corrupt("it is cut short")) {
        try Self.decompress(Array(Self.gzipped.prefix(count)), .gzip)
      }
    }
    for encoding in MessageEncoding.allCases {
      let bytes = encoding == .gzip ? Self.gzipped : Self.deflated
      #expect(throws: DecompressionError.corrupt("bytes behind its end")) {
        try Self.decompress(bytes + [0], encoding)
      }
      // A second member is junk, too: one message, one stream.
      #expect(throws: DecompressionError.corrupt("bytes behind its end")) {
        try Self.decompress(bytes + bytes, encoding)
      }
    }
  }

  @Test("a flipped bit anywhere gives an error or the same bytes, never others")
  func flippedBits() {
    for bit in 0..<Self.gzipped.count * 8 {
      var bytes = Self.gzipped
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      do throws(DecompressionError) {
        // The header's time and system have no checksum.
        #expect(try Self.decompress(bytes, .gzip) == Self.text)
      } catch {
        #expect(error.status.code == .internal)
      }
    }
  }

  @Test("stops a byte above the limit", arguments: MessageEncoding.allCases)
  func limit(encoding: MessageEncoding) throws {
    let bytes = encoding == .gzip ? Self.gzipped : Self.deflated
    #expect(try Self.decompress(bytes, encoding, limit: 17) == Self.text)
    let decompressor = MessageDecompressor()
    let error = #expect(throws: DecompressionError.tooLarge(limit: 16)) {
      try Self.decompress(bytes, encoding, 16, with: decompressor)
    }
    // What it cost all the same.
    #expect(decompressor.unpackedBytes == 17)
    #expect(error?.status.code == .resourceExhausted)
  }

  @Test("a bomb is put out at the limit", arguments: MessageEncoding.allCases)
  func bomb(encoding: MessageEncoding) throws {
    let compressor = MessageCompressor()
    // 16 MiB of zeros pack to 70 KiB or so; the limit is 4 MiB.
    let zeros = [UInt8](repeating: 0, count: 16 << 20)
    let packed = try #require(zeros.withUnsafeBytes { compressor.compress($0, encoding) })
    #expect(packed.count < 400_000)
    #expect(throws: DecompressionError.tooLarge(limit: 4 << 20)) {
      try Self.decompress(Array(packed), encoding, limit: 4 << 20)
    }
  }

  @Test("an empty message, packed by another, is an empty message")
  func empty() throws {
    // `gzip.compress(b"", mtime=0)` and `zlib.compress(b"")`.
    let gzip: [UInt8] = [
      0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x03, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x00,
    ]
    #expect(try Self.decompress(gzip, .gzip, limit: 0) == [])
    #expect(try Self.decompress([0x78, 0x9C, 3, 0, 0, 0, 0, 1], .deflate, limit: 0) == [])
  }

  @Test("what would not get smaller is not packed")
  func incompressible() {
    let compressor = MessageCompressor()
    var random = SplitMix64(seed: 9)
    let noise = (0..<10_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    for encoding in MessageEncoding.allCases {
      for message in [[], [1], [1, 1, 1], noise] {
        message.withUnsafeBytes { #expect(compressor.compress($0, encoding) == nil) }
      }
    }
  }

  @Test("one pair packs and unpacks messages of all sizes", arguments: [3, 4] as [UInt64])
  func roundTrips(seed: UInt64) throws {
    let compressor = MessageCompressor()
    let decompressor = MessageDecompressor()
    var random = SplitMix64(seed: seed)
    for _ in 0..<100 {
      let encoding: MessageEncoding = Bool.random(using: &random) ? .gzip : .deflate
      let count =
        1 << Int.random(in: 6...14, using: &random) + Int.random(in: 0...9, using: &random)
      let message = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 7) }
      let packed = try #require(
        message.withUnsafeBytes { compressor.compress($0, encoding).map { Array($0) } })
      #expect(packed.count < message.count)
      let plain = try Self.decompress(packed, encoding, 1 << 20, with: decompressor)
      #expect(plain == message)
    }
  }
}
