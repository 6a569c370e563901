/// One custom field as it travels: a lower-case name, and text of printable ASCII.
package struct MetadataField: Equatable, Sendable {
  package var name: String
  /// For names that end in `-bin`: base64.
  package var value: String

  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }

  /// A field of arbitrary bytes; its name ends in `-bin`.
  package init(_ name: String, bytes: [UInt8]) {
    precondition(name.hasSuffix("-bin"), "a field of bytes needs a name ending in -bin")
    self.init(name, String(decoding: Base64.encode(bytes), as: UTF8.self))
  }

  /// What an ASCII value may hold: other bytes would make the peer refuse the whole block.
  package var cleanValue: [UInt8] { value.utf8.filter { $0 >= 0x20 && $0 != 0x7F } }

  /// The values of a `-bin` field, of which one may hold several; nil when it is not base64.
  package var bytes: [[UInt8]]? {
    var value = value
    return value.withUTF8 { Base64.decodeList(UnsafeRawBufferPointer($0)) }
  }
}

extension Status {
  package typealias Trailer = MetadataField

  /// Values of a field among the trailers, in order; `-bin` values are decoded bytes.
  package func trailers(_ name: String) -> [[UInt8]] {
    trailers.filter { $0.name == name }.flatMap { field in
      name.hasSuffix("-bin") ? field.bytes ?? [] : [Array(field.value.utf8)]
    }
  }

  /// When the server wants a call that failed to be tried again.
  package enum RetryPushback: Equatable, Sendable {
    case after(milliseconds: UInt32)
    /// Not at all: it said a negative number, or something that is no number.
    case never
  }

  /// What `grpc-retry-pushback-ms` says; nil = nothing.
  package var retryPushback: RetryPushback? {
    guard let field = trailers.first(where: { $0.name == Status.pushbackName }) else { return nil }
    return UInt32(field.value).map { .after(milliseconds: $0) } ?? .never
  }

  package static let pushbackName = "grpc-retry-pushback-ms"
}

extension MetadataName {
  /// Values of a custom field among those of a header block, in order; `-bin` values are decoded bytes,
  /// and left out when they are not base64.
  package static func values(
    of name: String,
    in fields: some Sequence<(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)>
  ) -> [[UInt8]] {
    var values: [[UInt8]] = []
    for field in fields where field.name.elementsEqual(name.utf8) {
      guard isCustom(field.name) else { return [] }
      if isBinary(field.name) {
        values.append(contentsOf: Base64.decodeList(field.value) ?? [])
      } else {
        values.append(Array(field.value))
      }
    }
    return values
  }
}
