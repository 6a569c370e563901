/// A strict scanner over one line of JSON (RFC 8259): no comments, no trailing commas, no guessing.
///
/// It hands out what a trace needs (unsigned integers, decimals, lists of integers, keys) and skips
/// the rest, checking its syntax. Columns in its errors count bytes from 1.
struct JSONScanner {
  private let bytes: ArraySlice<UInt8>
  private var position: Int

  /// Deepest nesting of a skipped value.
  private static let maximumDepth = 32

  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }

  private var column: Int { position - bytes.startIndex + 1 }

  private func failure(_ expected: String) -> LineError {
    guard position < bytes.endIndex else {
      return LineError("the line ends at column \(column) where \(expected) was expected")
    }
    let byte = bytes[position]
    let found =
      (0x21...0x7E).contains(byte) ? "'\(Character(UnicodeScalar(byte)))'" : "byte \(byte)"
    return LineError("\(found) at column \(column) where \(expected) was expected")
  }

  private mutating func skipSpace() {
    while position < bytes.endIndex, [0x20, 0x09, 0x0D, 0x0A].contains(bytes[position]) {
      position += 1
    }
  }

  /// Takes `byte`, after any space, if it is next.
  private mutating func take(_ byte: Unicode.Scalar) -> Bool {
    skipSpace()
    guard position < bytes.endIndex, bytes[position] == UInt8(ascii: byte) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ byte: Unicode.Scalar) throws(LineError) {
    guard take(byte) else { throw failure("'\(byte)'") }
  }

  /// Reads one object to the end of the line; `member` consumes the value of each key.
  mutating func object(
    _ member: (inout JSONScanner, String) throws(LineError) -> Void
  ) throws(LineError) {
    try expect("{")
    if !take("}") {
      repeat {
        skipSpace()
        let key = try string()
        try expect(":")
        try member(&self, key)
      } while take(",")
      guard take("}") else { throw failure("',' or '}'") }
    }
    skipSpace()
    guard position == bytes.endIndex else { throw failure("the end of the line") }
  }

  /// A whole number without sign, fraction or exponent.
  mutating func unsigned(_ field: String) throws(LineError) -> UInt64 {
    let text = try number("\(field), a whole number")
    guard let value = UInt64(text) else {
      throw LineError("\(field) is \(text); expected a whole number from 0")
    }
    return value
  }

  /// A number from 0, fraction and exponent allowed.
  mutating func decimal(_ field: String) throws(LineError) -> Double {
    let text = try number("\(field), a number")
    guard let value = Double(text), value >= 0, value.isFinite else {
      throw LineError("\(field) is \(text); expected a number from 0")
    }
    return value
  }

  mutating func unsignedList(
    _ field: String, limit: Int, appendingTo list: inout [UInt64]
  ) throws(LineError) {
    guard take("[") else { throw failure("\(field), a list") }
    if take("]") { return }
    let first = list.count
    repeat {
      list.append(try unsigned(field))
      if list.count - first > limit {
        throw LineError("\(field) has more than \(limit) entries")
      }
    } while take(",")
    guard take("]") else { throw failure("',' or ']'") }
  }

  /// Checks and drops a value of any kind.
  mutating func skipValue(depth: Int = 0) throws(LineError) {
    guard depth < Self.maximumDepth else {
      throw LineError("values are nested deeper than \(Self.maximumDepth)")
    }
    skipSpace()
    guard position < bytes.endIndex else { throw failure("a value") }
    switch bytes[position] {
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "["):
      position += 1
      if take("]") { return }
      repeat { try skipValue(depth: depth + 1) } while take(",")
      guard take("]") else { throw failure("',' or ']'") }
    case UInt8(ascii: "{"):
      position += 1
      if take("}") { return }
      repeat {
        skipSpace()
        _ = try string()
        try expect(":")
        try skipValue(depth: depth + 1)
      } while take(",")
      guard take("}") else { throw failure("',' or '}'") }
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    default: _ = try number("a value")
    }
  }

  private mutating func word(_ word: StaticString) throws(LineError) {
    let end = position + word.utf8CodeUnitCount
    let expected = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    guard end <= bytes.endIndex, bytes[position..<end].elementsEqual(expected) else {
      throw failure("a value")
    }
    position = end
  }

  /// The text of a number by JSON's grammar.
  private mutating func number(_ expected: String) throws(LineError) -> String {
    skipSpace()
    let start = position
    if position < bytes.endIndex, bytes[position] == UInt8(ascii: "-") { position += 1 }
    let firstDigit = position
    try digits(expected)
    if bytes[firstDigit] == UInt8(ascii: "0"), position > firstDigit + 1 {
      position = firstDigit
      throw failure("\(expected), without leading zeros")
    }
    if position < bytes.endIndex, bytes[position] == UInt8(ascii: ".") {
      position += 1
      try digits("a digit")
    }
    if position < bytes.endIndex, [UInt8(ascii: "e"), UInt8(ascii: "E")].contains(bytes[position]) {
      position += 1
      if position < bytes.endIndex,
        [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(bytes[position])
      {
        position += 1
      }
      try digits("a digit")
    }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  private mutating func digits(_ expected: String) throws(LineError) {
    let start = position
    while position < bytes.endIndex,
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position])
    {
      position += 1
    }
    guard position > start else { throw failure(expected) }
  }

  /// A string's bytes. Escapes are checked and kept as written: no key a trace knows has any.
  private mutating func string() throws(LineError) -> String {
    guard position < bytes.endIndex, bytes[position] == UInt8(ascii: "\"") else {
      throw failure("a string")
    }
    position += 1
    let start = position
    while position < bytes.endIndex {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        defer { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
      }
      guard byte >= 0x20 else { throw failure("a printable character") }
      position += 1
      if byte == UInt8(ascii: "\\") { try escape() }
    }
    throw failure("'\"'")
  }

  private mutating func escape() throws(LineError) {
    guard position < bytes.endIndex else { throw failure("an escape") }
    let byte = bytes[position]
    if byte == UInt8(ascii: "u") {
      position += 1
      for _ in 0..<4 {
        guard position < bytes.endIndex,
          UnicodeScalar(bytes[position]).properties.isASCIIHexDigit
        else { throw failure("a hexadecimal digit") }
        position += 1
      }
      return
    }
    guard "\"\\/bfnrt".utf8.contains(byte) else { throw failure("an escape") }
    position += 1
  }
}
