/// How a message is compressed, as `grpc-encoding` names it. Not compressed (`identity`) is nil.
package enum MessageEncoding: UInt8, Sendable, CaseIterable {
  /// zlib's format, RFC 1950 (not the bare RFC 1951).
  case deflate
  /// RFC 1952.
  case gzip

  package var name: String {
    switch self {
    case .deflate: "deflate"
    case .gzip: "gzip"
    }
  }

  package init?(name: UnsafeRawBufferPointer) {
    for encoding in MessageEncoding.allCases where name.elementsEqual(encoding.name.utf8) {
      self = encoding
      return
    }
    return nil
  }

  /// What this implementation reads: the value of `grpc-accept-encoding`.
  package static let accepted = "identity,deflate,gzip"

  /// Whether the value of a `grpc-accept-encoding` field, a list with commas and optional spaces,
  /// names this encoding.
  package func isListed(in list: UnsafeRawBufferPointer) -> Bool {
    let name = name.utf8
    for entry in list.split(separator: UInt8(ascii: ",")) {
      var entry = entry
      while let first = entry.first, first == 0x20 || first == 0x09 { entry = entry.dropFirst() }
      while let last = entry.last, last == 0x20 || last == 0x09 { entry = entry.dropLast() }
      if entry.elementsEqual(name) { return true }
    }
    return false
  }
}
