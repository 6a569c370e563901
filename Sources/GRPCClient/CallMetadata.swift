internal import GRPCWire
internal import HTTP2

/// Custom request metadata, in order, duplicates kept. Checked when it is added, so that a call never
/// fails for it.
package struct CallMetadata {
  /// Values as they travel: base64 for `-bin` names.
  private(set) var entries: [(name: String, value: [UInt8])] = []

  package init() {}

  package var isEmpty: Bool { entries.isEmpty }

  /// Adds a text field.
  /// - Throws: When the name is not a custom one (lower-case letters, digits, `_`, `-`, `.`; neither
  ///   gRPC's nor HTTP/2's own), ends in `-bin`, or the value holds a byte outside of space ... `~`.
  package mutating func add(_ name: String, _ value: String) throws(CallMetadataError) {
    let isBinary = try CallMetadata.check(name)
    if isBinary { throw CallMetadataError(name: name, reason: "names ending in -bin take bytes") }
    guard value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
      throw CallMetadataError(name: name, reason: "the value holds a byte outside of space ... '~'")
    }
    guard value.utf8.first != 0x20, value.utf8.last != 0x20 else {
      throw CallMetadataError(name: name, reason: "the value begins or ends with a space")
    }
    entries.append((name, Array(value.utf8)))
  }

  /// Adds a field of arbitrary bytes; its name must end in `-bin`.
  package mutating func add(_ name: String, bytes: [UInt8]) throws(CallMetadataError) {
    let isBinary = try CallMetadata.check(name)
    if !isBinary { throw CallMetadataError(name: name, reason: "bytes need a name ending in -bin") }
    entries.append((name, Base64.encode(bytes)))
  }

  /// Whether the name is that of a binary field.
  private static func check(_ name: String) throws(CallMetadataError) -> Bool {
    var copy = name
    let (isCustom, isBinary) = copy.withUTF8 {
      let bytes = UnsafeRawBufferPointer($0)
      return (MetadataName.isCustom(bytes), MetadataName.isBinary(bytes))
    }
    if !isCustom {
      throw CallMetadataError(name: name, reason: "not a name a caller may set")
    }
    return isBinary
  }
}

/// A metadata field that cannot be sent, and why.
package struct CallMetadataError: Error, Equatable, Sendable, CustomStringConvertible {
  package let name: String
  package let reason: String
  package var description: String { "metadata '\(name)': \(reason)" }
}
