/// The `grpc-timeout` field: 1 to 8 digits and one of the units `H M S m u n`.
package enum GRPCTimeout {
  private static let units: [(letter: UInt8, nanoseconds: UInt64)] = [
    (UInt8(ascii: "n"), 1), (UInt8(ascii: "u"), 1_000), (UInt8(ascii: "m"), 1_000_000),
    (UInt8(ascii: "S"), 1_000_000_000), (UInt8(ascii: "M"), 60_000_000_000),
    (UInt8(ascii: "H"), 3_600_000_000_000),
  ]

  /// Nanoseconds, at most `Int64.max` (292 years); nil when malformed.
  package static func parse(_ text: UnsafeRawBufferPointer) -> UInt64? {
    guard text.count >= 2, text.count <= 9 else { return nil }
    var number: UInt64 = 0
    for byte in text.dropLast() {
      guard byte >= 0x30, byte <= 0x39 else { return nil }
      number = number * 10 + UInt64(byte - 0x30)
    }
    let scale: UInt64
    switch text[text.count - 1] {
    case UInt8(ascii: "n"): scale = 1
    case UInt8(ascii: "u"): scale = 1_000
    case UInt8(ascii: "m"): scale = 1_000_000
    case UInt8(ascii: "S"): scale = 1_000_000_000
    case UInt8(ascii: "M"): scale = 60_000_000_000
    case UInt8(ascii: "H"): scale = 3_600_000_000_000
    default: return nil
    }
    let (product, overflow) = number.multipliedReportingOverflow(by: scale)
    return overflow ? UInt64(Int64.max) : min(product, UInt64(Int64.max))
  }

  /// The finest unit whose number fits 8 digits, rounded up so that nobody gets less time than asked
  /// for.
  package static func format(nanoseconds: UInt64) -> String {
    for unit in units {
      let number =
        nanoseconds / unit.nanoseconds + (nanoseconds % unit.nanoseconds == 0 ? 0 : 1)
      if number <= 99_999_999 { return "\(number)\(Character(Unicode.Scalar(unit.letter)))" }
    }
    return "99999999H"
  }
}
