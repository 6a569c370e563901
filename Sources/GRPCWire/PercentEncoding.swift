/// The encoding of `grpc-message`: UTF-8 with every byte outside of space ... `~`, and `%` itself, as
/// `%XX`.
package enum PercentEncoding {
  /// - Parameter limit: Ends behind the character that makes it longer than so many bytes: the text may
  ///   be as long as a message.
  package static func encode(_ text: String, upTo limit: Int = .max) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(min(text.utf8.count, limit))
    let digits = Array("0123456789ABCDEF".utf8)
    for byte in text.utf8 {
      if result.count > limit { break }
      if byte >= 0x20, byte <= 0x7E, byte != 0x25 {
        result.append(byte)
      } else {
        result.append(0x25)
        result.append(digits[Int(byte >> 4)])
        result.append(digits[Int(byte & 15)])
      }
    }
    return result
  }

  /// Never fails: a `%` without two hexadecimal digits stays as it is, and bytes that are not UTF-8
  /// become replacement characters.
  package static func decode(_ bytes: UnsafeRawBufferPointer) -> String {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var index = 0
    while index < bytes.count {
      if bytes[index] == 0x25, index + 2 < bytes.count, let high = digit(bytes[index + 1]),
        let low = digit(bytes[index + 2])
      {
        result.append(high << 4 | low)
        index += 3
      } else {
        result.append(bytes[index])
        index += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }
}
