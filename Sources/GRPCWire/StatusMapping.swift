/// How other layers' outcomes read as gRPC codes (`http-grpc-status-mapping.md`, `PROTOCOL-HTTP2.md`).
extension StatusCode {
  /// A response that carried no `grpc-status`, by its HTTP status.
  package init(httpStatus: Int) {
    self =
      switch httpStatus {
      case 400: .internal
      case 401: .unauthenticated
      case 403: .permissionDenied
      case 404: .unimplemented
      case 429, 502, 503, 504: .unavailable
      default: .unknown
      }
  }

  /// A stream that was reset, by the error code of its RST_STREAM. `refusedStream` (7) alone means
  /// that the call was never begun.
  package init(http2ErrorCode: UInt32) {
    self =
      switch http2ErrorCode {
      case 7: .unavailable
      case 8: .cancelled
      case 11: .resourceExhausted
      case 12: .permissionDenied
      case 0...6, 9, 10: .internal
      default: .unknown
      }
  }

  /// A `grpc-status` value: decimal, at most two digits. Numbers above 16 are UNKNOWN; nil when it
  /// is no number.
  package init?(grpcStatus text: UnsafeRawBufferPointer) {
    guard !text.isEmpty, text.count <= 2, text.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
      return nil
    }
    let number = text.reduce(0 as UInt8) { $0 * 10 + ($1 - 0x30) }
    self = StatusCode(rawValue: number) ?? .unknown
  }
}

package enum ContentType {
  /// `application/grpc`, or that followed by `+` or `;`. Not `application/grpc-web`.
  package static func isGRPC(_ value: UnsafeRawBufferPointer) -> Bool {
    let expected: StaticString = "application/grpc"
    let length = expected.utf8CodeUnitCount
    guard value.count >= length else { return false }
    for index in 0..<length where value[index] | 0x20 != expected.utf8Start[index] | 0x20 {
      return false
    }
    return value.count == length || value[length] == UInt8(ascii: "+")
      || value[length] == UInt8(ascii: ";")
  }
}

package enum MetadataName {
  /// Names a caller may see or set: letters, digits, `_`, `-`, `.`; not gRPC's own and not HTTP/2's.
  package static func isCustom(_ name: UnsafeRawBufferPointer) -> Bool {
    if name.isEmpty { return false }
    for byte in name {
      switch byte {
      case 0x61...0x7A, 0x30...0x39, 0x5F, 0x2D, 0x2E: continue
      default: return false
      }
    }
    if name.starts(with: "grpc-".utf8) {
      return name.elementsEqual("grpc-previous-rpc-attempts".utf8)
    }
    return !name.elementsEqual("te".utf8) && !name.elementsEqual("content-type".utf8)
  }

  /// Whether the field's values travel as base64.
  package static func isBinary(_ name: UnsafeRawBufferPointer) -> Bool {
    name.count > 4 && name.suffix(4).elementsEqual("-bin".utf8)
  }
}
