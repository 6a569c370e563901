/// Numbers, times and other people's texts as a report has them, without a locale.
enum ReportWords {
  /// A fixed-point number; rounds half away from zero.
  static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "-" }
    let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
    let scaled = Int64((abs(value) * scale).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if digits == 0 { return sign + grouped(UInt64(scaled)) }
    let whole = grouped(UInt64(scaled / Int64(scale)))
    let rest = "\(scaled % Int64(scale))"
    return "\(sign)\(whole)." + String(repeating: "0", count: digits - rest.utf8.count) + rest
  }

  /// 0 to 1 as "12.3 %". What is a little less than all is not "100.0 %", nor what is little nothing.
  static func percent(_ ratio: Double) -> String {
    if ratio == 0 || ratio == 1 { return ratio == 0 ? "0 %" : "100 %" }
    if ratio > 0 && ratio < 0.0005 { return "under 0.1 %" }
    if ratio > 0.9995 && ratio < 1 { return "over 99.9 %" }
    return fixed(ratio * 100, 1) + " %"
  }

  /// Of a sample: "every block", or "one block in 100".
  static func sampled(_ every: UInt32) -> String {
    every == 1 ? "every block" : "one block in \(grouped(every))"
  }

  /// A threshold: "5 %".
  static func share(_ ratio: Double) -> String { fixed(ratio * 100, 0) + " %" }

  /// With a comma between thousands.
  static func grouped(_ value: some BinaryInteger) -> String {
    let digits = Array("\(value)")
    if digits.count < 4 { return "\(value)" }
    var text = ""
    for (place, digit) in digits.enumerated() {
      if place > 0, (digits.count - place) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return text
  }

  /// The same in a sentence: "no block was".
  static func some(_ value: UInt64, _ one: String, _ many: String) -> String {
    value == 0 ? "no \(one)" : count(value, one, many)
  }

  /// "1 block", "2 blocks".
  static func count(_ value: some BinaryInteger, _ one: String, _ many: String? = nil) -> String {
    "\(grouped(value)) \(value == 1 ? one : many ?? one + "s")"
  }

  static func capitalized(_ text: String) -> String {
    text.prefix(1).uppercased() + text.dropFirst()
  }

  static func bytes(_ bytes: Double) -> String {
    let units: [(String, Double)] = [
      ("TiB", 1_099_511_627_776), ("GiB", 1_073_741_824), ("MiB", 1_048_576), ("KiB", 1_024),
    ]
    for (name, factor) in units where bytes >= factor {
      return fixed(bytes / factor, 2) + " " + name
    }
    return fixed(bytes, 0) + " B"
  }

  /// In the unit that leaves two digits or more, or seconds.
  static func duration(milliseconds: UInt64) -> String {
    let seconds = Double(milliseconds) / 1_000
    if seconds < 10 { return fixed(seconds, 1) + " s" }
    if seconds < 120 { return fixed(seconds, 0) + " s" }
    if seconds < 7_200 { return fixed(seconds / 60, 0) + " min" }
    return fixed(seconds / 3_600, 1) + " h"
  }

  /// "2026-11-22 07:01:05 UTC", from milliseconds since the epoch.
  static func time(_ milliseconds: UInt64) -> String {
    "\(date(milliseconds)) \(clock(milliseconds)) UTC"
  }

  /// "07:01:05".
  static func clock(_ milliseconds: UInt64) -> String {
    let second = milliseconds / 1_000 % 86_400
    return [second / 3_600, second / 60 % 60, second % 60].map(two).joined(separator: ":")
  }

  /// Days to a date of the Gregorian calendar, years from March on (Hinnant, "chrono-compatible low-level
  /// date algorithms").
  private static func date(_ milliseconds: UInt64) -> String {
    let days = milliseconds / 86_400_000 + 719_468
    let era = days / 146_097
    let dayOfEra = days % 146_097
    let year =
      (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * month + 2) / 5 + 1
    let civil = month < 10 ? month + 3 : month - 9
    return "\(year + era * 400 + (civil <= 2 ? 1 : 0))-\(two(civil))-\(two(day))"
  }

  private static func two(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
