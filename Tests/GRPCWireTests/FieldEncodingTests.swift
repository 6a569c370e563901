import GRPCWire
import Testing

private func bytes<R>(_ text: String, _ body: (UnsafeRawBufferPointer) -> R) -> R {
  Array(text.utf8).withUnsafeBytes(body)
}

@Suite("field encodings")
struct FieldEncodingTests {
  @Test(
    "reads a timeout",
    arguments: [
      ("1n", 1), ("0n", 0), ("7u", 7_000), ("985m", 985_000_000), ("10S", 10_000_000_000),
      ("2M", 120_000_000_000), ("1H", 3_600_000_000_000), ("99999999S", 99_999_999_000_000_000),
      ("99999999H", 9_223_372_036_854_775_807), ("00000001n", 1),
    ] as [(String, UInt64)])
  func timeout(text: String, nanoseconds: UInt64) {
    #expect(bytes(text, GRPCTimeout.parse) == nanoseconds)
  }

  @Test(
    "refuses a malformed timeout",
    arguments: ["", "n", "5", "5s", "5h", "-1S", "1.5S", " 1S", "1S ", "123456789n", "1SS", "１S"])
  func badTimeout(text: String) {
    #expect(bytes(text, GRPCTimeout.parse) == nil)
  }

  @Test(
    "writes a timeout in 8 digits, rounding up",
    arguments: [
      (0, "0n"), (99_999_999, "99999999n"), (100_000_000, "100000u"), (100_000_001, "100001u"),
      (99_999_999_001, "100000m"), (5_000_000_000_000, "5000000m"),
      (9_223_372_036_854_775_807, "2562048H"), (360_000_000_000_000_000, "6000000M"),
    ] as [(UInt64, String)])
  func formatsTimeout(nanoseconds: UInt64, text: String) {
    #expect(GRPCTimeout.format(nanoseconds: nanoseconds) == text)
  }

  @Test("percent-encodes the interop suite's message and reads it back")
  func percent() {
    let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    let encoded =
      "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A"
    #expect(PercentEncoding.encode(message) == Array(encoded.utf8))
    #expect(bytes(encoded, PercentEncoding.decode) == message)
    #expect(PercentEncoding.encode("100%~") == Array("100%25~".utf8))
    #expect(PercentEncoding.encode("\u{7F}") == Array("%7F".utf8))
  }

  @Test(
    "percent-decoding never fails",
    arguments: [
      ("%", "%"), ("%4", "%4"), ("%4G", "%4G"), ("%41", "A"), ("%4a%4A", "JJ"), ("%%41", "%A"),
      ("%FF", "\u{FFFD}"), ("", ""),
    ])
  func percentDecode(encoded: String, text: String) {
    #expect(bytes(encoded, PercentEncoding.decode) == text)
  }

  @Test(
    "base64 of RFC 4648's examples",
    arguments: [
      ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"),
      ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"),
    ])
  func base64(text: String, encoded: String) {
    #expect(Base64.encode(Array(text.utf8)) == Array(encoded.utf8))
    #expect(Base64.decode(Array(encoded.utf8)) == Array(text.utf8))
    let padded = encoded + String(repeating: "=", count: (4 - encoded.count % 4) % 4)
    #expect(Base64.decode(Array(padded.utf8)) == Array(text.utf8))
  }

  @Test("base64 uses the standard alphabet")
  func base64Alphabet() {
    #expect(Base64.encode([0xFB, 0xFF, 0xFE]) == Array("+//+".utf8))
    #expect(Base64.decode(Array("+//+".utf8)) == [0xFB, 0xFF, 0xFE])
  }

  @Test(
    "refuses what is not base64",
    arguments: ["A", "Zg=", "Zg===", "Zm9v=", "Z=g=", "Zm9v-_", "Zg =="])
  func badBase64(text: String) {
    #expect(Base64.decode(Array(text.utf8)) == nil)
  }

  @Test("a binary field holds one value or several")
  func base64List() {
    #expect(bytes("Zg==,Zm8, Zm9v", Base64.decodeList) == [[102], [102, 111], [102, 111, 111]])
    #expect(bytes("", Base64.decodeList) == [[]])
    #expect(bytes("Zg,!", Base64.decodeList) == nil)
  }

  @Test(
    "knows gRPC's content types",
    arguments: [
      ("application/grpc", true), ("application/grpc+proto", true), ("application/grpc;x=1", true),
      ("Application/GRPC", true), ("application/grpc-web", false),
      ("application/grpc-web+proto", false), ("application/grp", false), ("text/plain", false),
      ("", false), ("application/json", false),
    ])
  func contentType(value: String, isGRPC: Bool) {
    #expect(bytes(value, ContentType.isGRPC) == isGRPC)
  }

  @Test(
    "hides the fields that are not the caller's",
    arguments: [
      ("x-request-id", true), ("user-agent", true), ("authorization", true), ("k.a_b-c9", true),
      (":path", false), ("te", false), ("content-type", false), ("grpc-timeout", false),
      ("grpc-anything", false), ("grpc-previous-rpc-attempts", true), ("", false), ("Upper", false),
    ])
  func names(name: String, isCustom: Bool) {
    #expect(bytes(name, MetadataName.isCustom) == isCustom)
  }
}

@Suite("status codes")
struct StatusCodeTests {
  @Test(
    "maps HTTP statuses",
    arguments: [
      (400, .internal), (401, .unauthenticated), (403, .permissionDenied), (404, .unimplemented),
      (429, .unavailable), (502, .unavailable), (503, .unavailable), (504, .unavailable),
      (200, .unknown), (500, .unknown), (302, .unknown),
    ] as [(Int, StatusCode)])
  func http(status: Int, code: StatusCode) {
    #expect(StatusCode(httpStatus: status) == code)
  }

  @Test(
    "maps resets",
    arguments: [
      (0, .internal), (1, .internal), (2, .internal), (3, .internal), (4, .internal),
      (6, .internal), (7, .unavailable), (8, .cancelled), (9, .internal), (10, .internal),
      (11, .resourceExhausted), (12, .permissionDenied), (99, .unknown),
    ] as [(UInt32, StatusCode)])
  func reset(error: UInt32, code: StatusCode) {
    #expect(StatusCode(http2ErrorCode: error) == code)
  }

  @Test("reads grpc-status")
  func grpcStatus() {
    #expect(bytes("0") { StatusCode(grpcStatus: $0) } == .ok)
    #expect(bytes("16") { StatusCode(grpcStatus: $0) } == .unauthenticated)
    #expect(bytes("17") { StatusCode(grpcStatus: $0) } == .unknown)
    #expect(bytes("99") { StatusCode(grpcStatus: $0) } == .unknown)
    #expect(bytes("") { StatusCode(grpcStatus: $0) } == nil)
    #expect(bytes("x") { StatusCode(grpcStatus: $0) } == nil)
    #expect(bytes("123") { StatusCode(grpcStatus: $0) } == nil)
  }
}
