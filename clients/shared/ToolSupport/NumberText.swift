/// Numbers as people and programs read them, without a locale.
package enum NumberText {
  /// A fixed-point number; rounds half away from zero.
  package static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
    let scaled = Int64((abs(value) * scale).rounded())
    let whole = scaled / Int64(scale)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(whole)" }
    let rest = "\(scaled % Int64(scale))"
    return "\(sign)\(whole)." + String(repeating: "0", count: digits - rest.count) + rest
  }

  /// Without a fraction where it has none.
  package static func short(_ value: Double) -> String {
    value == value.rounded() ? fixed(value, 0) : fixed(value, 3)
  }

  /// At most three digits of a fraction, and none that says nothing: 0.9, 1.25, 3.
  package static func trimmed(_ value: Double) -> String {
    var text = short(value)
    guard text.contains(".") else { return text }
    while text.last == "0" { text.removeLast() }
    if text.last == "." { text.removeLast() }
    return text
  }

  /// 0 to 1 as "12.3 %".
  package static func percent(_ ratio: Double) -> String { fixed(ratio * 100, 1) + " %" }

  package static func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// With a comma between thousands.
  package static func grouped(_ value: UInt64) -> String {
    let digits = Array("\(value)")
    var text = ""
    for (place, digit) in digits.enumerated() {
      if place > 0, (digits.count - place) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return text
  }
}
