import GRPCWire
import TestSupport
import Testing

@Suite("protobuf wire format")
struct ProtoTests {
  @Test("a rich status holds code, message and one Any")
  func richStatus() {
    let status = Status(.notFound, "no", detailType: "a.B", detail: [1, 2])
    let type = Array("type.googleapis.com/a.B".utf8)
    // code 5, message "no", details { type_url (23 bytes), value (2 bytes) }: 2 + 23 + 2 + 2 = 29.
    let expected: [UInt8] =
      [0x08, 5, 0x12, 2, 0x6E, 0x6F, 0x1A, 29, 0x0A, 23] + type + [0x12, 2, 1, 2]
    #expect(status.details == expected)
    #expect(status.code == .notFound && status.message == "no")
  }

  @Test("reads each wire type")
  func reads() {
    let bytes: [UInt8] = [
      0x08, 0xAC, 0x02,  // 1: varint 300
      0x11, 1, 0, 0, 0, 0, 0, 0, 0x80,  // 2: fixed64
      0x1A, 2, 7, 8,  // 3: bytes
      0x25, 4, 0, 0, 0,  // 4: fixed32
      0xF8, 0xFF, 0xFF, 0xFF, 0x0F, 0,  // 536870911: varint 0
    ]
    bytes.withUnsafeBytes {
      var reader = ProtoReader($0)
      var seen: [String] = []
      while let (number, value) = reader.next() {
        switch value {
        case .varint(let value): seen.append("\(number) varint \(value)")
        case .fixed64(let value): seen.append("\(number) fixed64 \(value)")
        case .bytes(let value): seen.append("\(number) bytes \(Array(value))")
        case .fixed32(let value): seen.append("\(number) fixed32 \(value)")
        }
      }
      #expect(!reader.isMalformed)
      #expect(
        seen == [
          "1 varint 300", "2 fixed64 9223372036854775809", "3 bytes [7, 8]", "4 fixed32 4",
          "536870911 varint 0",
        ])
    }
  }

  @Test(
    "malformed bytes are reported, not read past",
    arguments: [
      [0x08], [0x08, 0x80], [0x11, 1, 2, 3], [0x1A, 5, 1], [0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
      [0x25, 1], [0x0B], [0x0C], [0x0E], [0x00, 0],
      [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
      [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
    ] as [[UInt8]])
  func malformed(bytes: [UInt8]) {
    bytes.withUnsafeBytes {
      var reader = ProtoReader($0)
      while reader.next() != nil {}
      #expect(reader.isMalformed)
    }
  }

  @Test("random bytes never trap", arguments: [1, 2, 3, 4] as [UInt64])
  func garbage(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for _ in 0..<2_000 {
      let bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
        UInt8.random(in: .min ... .max, using: &random)
      }
      bytes.withUnsafeBytes {
        var reader = ProtoReader($0)
        var fields = 0
        while reader.next() != nil { fields += 1 }
        #expect(fields <= bytes.count / 2)
      }
    }
  }

  @Test("writes what it is told and leaves out defaults")
  func writes() {
    var writer = ProtoWriter()
    writer.varint(1, 300)
    writer.varint(2, 0)
    writer.string(3, "")
    writer.string(4, "ab")
    writer.message(5) { $0.varint(1, 1) }
    #expect(writer.bytes == [0x08, 0xAC, 0x02, 0x22, 2, 0x61, 0x62, 0x2A, 2, 0x08, 1])
  }
}
