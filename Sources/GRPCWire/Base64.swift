/// Base64 of RFC 4648's standard alphabet, as `-bin` metadata uses it.
package enum Base64 {
  private static let alphabet = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// Without padding, as gRPC asks of those who send.
  package static func encode(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity((bytes.count * 4 + 2) / 3)
    var pending: UInt32 = 0
    var bits = 0
    for byte in bytes {
      pending = pending << 8 | UInt32(byte)
      bits += 8
      while bits >= 6 {
        bits -= 6
        result.append(alphabet[Int(pending >> UInt32(bits) & 63)])
      }
    }
    if bits > 0 { result.append(alphabet[Int(pending << UInt32(6 - bits) & 63)]) }
    return result
  }

  package static func encode(_ bytes: [UInt8]) -> [UInt8] { bytes.withUnsafeBytes(encode) }

  /// Padded or not; nil for another character, a wrong length or misplaced padding.
  package static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count * 3 / 4)
    var pending: UInt32 = 0
    var bits = 0
    var characters = 0
    var padding = 0
    for byte in text {
      if byte == UInt8(ascii: "=") {
        padding += 1
        continue
      }
      guard padding == 0, let value = value(of: byte) else { return nil }
      characters += 1
      pending = pending << 6 | value
      bits += 6
      if bits >= 8 {
        bits -= 8
        result.append(UInt8(truncatingIfNeeded: pending >> UInt32(bits)))
      }
    }
    let rest = characters % 4
    if rest == 1 { return nil }
    if padding > 0, rest == 0 || rest + padding != 4 { return nil }
    return result
  }

  /// The values of one `-bin` field, which may hold several joined by commas; nil when one is not
  /// base64.
  package static func decodeList(_ text: UnsafeRawBufferPointer) -> [[UInt8]]? {
    var values: [[UInt8]] = []
    for part in text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      var part = part
      while part.first == 0x20 { part = part.dropFirst() }
      while part.last == 0x20 { part = part.dropLast() }
      guard let value = decode(part) else { return nil }
      values.append(value)
    }
    return values
  }

  private static func value(of byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - 65)
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - 97 + 26)
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - 48 + 52)
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
