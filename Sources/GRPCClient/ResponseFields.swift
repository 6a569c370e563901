internal import GRPCWire
internal import HTTP2

/// Reading the server's header blocks.
enum ResponseFields {
  private static func equals(_ name: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    guard name.count == text.utf8CodeUnitCount else { return false }
    for index in 0..<name.count where name[index] != text.utf8Start[index] { return false }
    return true
  }

  /// Why the first block cannot begin a gRPC response; nil = it can. `fields` come with
  /// `:status` `httpStatus`.
  static func objection(to fields: HTTP2Fields, httpStatus: Int) -> Status? {
    if httpStatus != 200 {
      return Status(StatusCode(httpStatus: httpStatus), "the server answered HTTP \(httpStatus)")
    }
    for (name, value) in fields where equals(name, "content-type") {
      if ContentType.isGRPC(value) { return nil }
      let text = String(decoding: value, as: UTF8.self)
      return Status(.unknown, "the server answered with content-type '\(text)'")
    }
    return Status(.unknown, "the server answered without a content-type")
  }

  /// The status in a call's last block. Without `grpc-status` it follows from `httpStatus`.
  ///
  /// A details field that is not base64 is dropped: the status itself still stands.
  static func status(in fields: HTTP2Fields, httpStatus: Int) -> Status {
    var code: StatusCode?
    var hasStatus = false
    var result = Status.ok
    for (name, value) in fields {
      if name.first == UInt8(ascii: ":") { continue }
      if equals(name, "grpc-status") {
        hasStatus = true
        code = StatusCode(grpcStatus: value)
      } else if equals(name, "grpc-message") {
        result.message = PercentEncoding.decode(value)
      } else if equals(name, "grpc-status-details-bin") {
        result.details = Base64.decode(value) ?? []
      } else if MetadataName.isCustom(name) || name.elementsEqual(Status.pushbackName.utf8) {
        result.trailers.append(
          Status.Trailer(
            String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
      }
    }
    if let code {
      result.code = code
    } else if hasStatus {
      result.code = .unknown
      result.message = "malformed grpc-status"
    } else {
      result.code = StatusCode(httpStatus: httpStatus)
      result.message = "the server ended the call without grpc-status (HTTP \(httpStatus))"
    }
    return result
  }

  /// What the response's messages may be compressed with; nil also for an encoding that is not spoken
  /// here, so that only a message which really is compressed fails.
  static func encoding(in fields: HTTP2Fields) -> MessageEncoding? {
    for (name, value) in fields where equals(name, "grpc-encoding") {
      return MessageEncoding(name: value)
    }
    return nil
  }
}

/// A response's headers. Valid for the time of the call that hands it over.
package struct ResponseHead {
  private let fields: HTTP2Fields

  init(_ fields: HTTP2Fields) { self.fields = fields }

  /// Values of a custom field, in order; `-bin` values are decoded bytes, and left out when they are
  /// not base64.
  package func metadata(_ name: String) -> [[UInt8]] { MetadataName.values(of: name, in: fields) }
}
