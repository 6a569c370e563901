import GRPCWire
import HTTP2

/// What the transport needs of a request's header fields, in one walk. Names are told apart by their
/// length first.
struct RequestHead {
  private(set) var isPost = false
  private(set) var isGRPC = false
  /// What the messages may be compressed with; nil = with nothing.
  private(set) var encoding: MessageEncoding?
  /// An encoding was announced that is not spoken here.
  private(set) var hasUnknownEncoding = false
  /// Encodings are spoken of, in whatever way.
  private(set) var namesEncodings = false
  /// Nanoseconds; nil = none.
  private(set) var timeout: UInt64?
  private(set) var isTimeoutMalformed = false
  /// The name of a custom `-bin` field whose value is not base64.
  private(set) var malformedBinaryName: UnsafeRawBufferPointer?

  /// What nearly every request says in the same words. Nobody asks for the last four; nghttp2 holds the
  /// length against the data.
  static let expected: [HTTP2Options.ExpectedField] = [
    .init(":method", "POST"), .init("content-type", "application/grpc"), .init(":scheme"),
    .init(":authority"), .init("te"), .init("content-length", varies: true),
  ]

  /// - Parameters:
  ///   - fields: All that were not expected.
  ///   - expected: The bits of those that were.
  init(_ fields: HTTP2Fields, expected: UInt32) {
    isPost = expected & 1 != 0
    isGRPC = expected & 2 != 0
    for (name, value) in fields {
      switch name.count {
      case 12:
        if name.matches("content-type") {
          isGRPC = ContentType.isGRPC(value)
        } else if name.matches("grpc-timeout") {
          timeout = GRPCTimeout.parse(value)
          if timeout == nil { isTimeoutMalformed = true }
        }
      case 13: if name.matches("grpc-encoding") { readEncoding(value) }
      case 20: if name.matches("grpc-accept-encoding") { namesEncodings = true }
      default: break
      }
      // One byte tells nearly all others apart.
      if name.last == UInt8(ascii: "n") { checkBinary(name, value) }
    }
  }

  @inline(never)
  private mutating func readEncoding(_ value: UnsafeRawBufferPointer) {
    namesEncodings = true
    encoding = MessageEncoding(name: value)
    hasUnknownEncoding = encoding == nil && !value.matches("identity")
  }

  @inline(never)
  private mutating func checkBinary(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) {
    if MetadataName.isBinary(name), MetadataName.isCustom(name), Base64.decodeList(value) == nil {
      malformedBinaryName = name
    }
  }
}

extension UnsafeRawBufferPointer {
  /// Equal, byte for byte.
  @inline(__always)
  func matches(_ text: StaticString) -> Bool {
    if count != text.utf8CodeUnitCount { return false }
    for index in 0..<count where self[index] != text.utf8Start[index] { return false }
    return true
  }
}
