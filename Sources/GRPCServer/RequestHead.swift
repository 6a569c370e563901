import GRPCWire
import HTTP2

/// What the transport needs of a request's header fields, in one walk. Names are told apart by their
/// length first.
struct RequestHead {
  private(set) var path = UnsafeRawBufferPointer(start: nil, count: 0)
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

  init(_ fields: HTTP2Fields) {
    for (name, value) in fields {
      switch name.count {
      case 5: if name.matches(":path") { path = value }
      case 7: if name.matches(":method") { isPost = value.matches("POST") }
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
