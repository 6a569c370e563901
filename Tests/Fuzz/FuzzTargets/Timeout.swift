internal import GRPCWire

/// The whole input as a `grpc-timeout`, and its first eight bytes as nanoseconds to be written.
func fuzzTimeout(_ input: UnsafeRawBufferPointer) {
  let parsed = withExactCopy(input) { GRPCTimeout.parse($0) }
  demand(parsed == naiveTimeout(Array(input)), "\(String(describing: parsed)) parsed")
  if let parsed { checkFormat(parsed) }

  var reader = InputReader(input)
  checkFormat(UInt64(reader.longWord()) | UInt64(reader.longWord()) << 32)
}

/// What is written can be read, is never shorter than what was asked for, and longer by less than
/// one unit: no more than a hundred-thousandth, or by a nanosecond less than that many digits allow.
private func checkFormat(_ nanoseconds: UInt64) {
  let text = Array(GRPCTimeout.format(nanoseconds: nanoseconds).utf8)
  demand((2...9).contains(text.count), "a timeout of \(text.count) characters")
  guard let again = withExactCopy(text, { GRPCTimeout.parse($0) }) else {
    fatalError("\(String(decoding: text, as: UTF8.self)) is written and not read")
  }
  let asked = min(nanoseconds, UInt64(Int64.max))
  demand(again >= asked, "\(nanoseconds) ns became \(again)")
  // A unit is at most 1,000 times the one before, of which there were more than 99,999,999.
  demand(again - asked <= asked / 99_999 + 1 || again == .max >> 1, "\(asked) ns became \(again)")
}

/// 1 to 8 digits and a unit (gRPC over HTTP/2, "Timeout"), in wide arithmetic.
private func naiveTimeout(_ text: [UInt8]) -> UInt64? {
  let scales: [Character: UInt64] = [
    "n": 1, "u": 1_000, "m": 1_000_000, "S": 1_000_000_000, "M": 60_000_000_000,
    "H": 3_600_000_000_000,
  ]
  guard let last = text.last, let scale = scales[Character(Unicode.Scalar(last))] else {
    return nil
  }
  let digits = text.dropLast()
  guard (1...8).contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }),
    let number = UInt64(String(decoding: digits, as: UTF8.self))
  else { return nil }
  let product = number.multipliedFullWidth(by: scale)
  return product.high > 0 || product.low > UInt64(Int64.max) ? UInt64(Int64.max) : product.low
}
