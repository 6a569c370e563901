/// One request as a trace tells it.
package struct TraceRecord: Equatable {
  /// Nanoseconds from the trace's own zero, which is whatever its format makes it.
  package var timeNanoseconds: UInt64
  package var inputTokens: UInt32
  package var outputTokens: UInt32
  /// How many ids of the content of the prompt's blocks (512 tokens each) the line named.
  package var hashCount: Int
}

/// Mooncake's JSON lines: `{"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": [..]}`.
/// Fields it does not know are checked for syntax and ignored.
enum MooncakeLine {
  static func parse(
    _ line: ArraySlice<UInt8>, hashIDs: inout [UInt64]
  ) throws(LineError) -> TraceRecord {
    var time: UInt64?
    var input: UInt32?
    var output: UInt32?
    let firstHash = hashIDs.count
    var hasHashes = false
    var scanner = JSONScanner(line)
    try scanner.object { (scanner, key) throws(LineError) in
      switch key {
      case "timestamp":
        try once(key, time != nil)
        time = try nanoseconds(scanner.decimal(key))
      case "input_length":
        try once(key, input != nil)
        input = try TraceLimits.tokens(scanner.unsigned(key), key)
      case "output_length":
        try once(key, output != nil)
        output = try TraceLimits.tokens(scanner.unsigned(key), key)
      case "hash_ids":
        try once(key, hasHashes)
        hasHashes = true
        try scanner.unsignedList(key, limit: TraceLimits.maximumHashIDs, appendingTo: &hashIDs)
      default: try scanner.skipValue()
      }
    }
    guard let time else { throw LineError("timestamp is missing; expected milliseconds") }
    guard let input else { throw LineError("input_length is missing; expected tokens") }
    guard let output else { throw LineError("output_length is missing; expected tokens") }
    return TraceRecord(
      timeNanoseconds: time, inputTokens: input, outputTokens: output,
      hashCount: hashIDs.count - firstHash)
  }

  private static func once(_ key: String, _ isSecond: Bool) throws(LineError) {
    if isSecond { throw LineError("\(key) stands twice") }
  }

  private static func nanoseconds(_ milliseconds: Double) throws(LineError) -> UInt64 {
    guard milliseconds <= Double(TraceLimits.maximumMilliseconds) else {
      throw LineError(
        "timestamp is \(milliseconds); expected at most \(TraceLimits.maximumMilliseconds) ms")
    }
    return UInt64((milliseconds * 1_000_000).rounded())
  }
}

/// Azure's CSV of 2023: `2023-11-16 18:15:46.6805900,374,44`, a header before it.
enum AzureLine {
  static let header = "TIMESTAMP,ContextTokens,GeneratedTokens"

  static func parse(_ line: ArraySlice<UInt8>) throws(LineError) -> TraceRecord {
    let columns = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    guard columns.count == 3 else {
      throw LineError("\(columns.count) columns; expected 3: \(header)")
    }
    return TraceRecord(
      timeNanoseconds: try timestamp(columns[0]),
      inputTokens: try tokens(columns[1], "ContextTokens"),
      outputTokens: try tokens(columns[2], "GeneratedTokens"), hashCount: 0)
  }

  private static func tokens(_ text: ArraySlice<UInt8>, _ field: String) throws(LineError) -> UInt32
  {
    guard let first = text.first, first != UInt8(ascii: "+"),
      let value = UInt64(String(decoding: text, as: UTF8.self))
    else {
      throw LineError(
        "\(field) is '\(String(decoding: text, as: UTF8.self))'; "
          + "expected 1 ... \(TraceLimits.maximumTokens) tokens")
    }
    return try TraceLimits.tokens(value, field)
  }

  /// `YYYY-MM-DD hh:mm:ss`, then up to nine digits of a fraction, then perhaps `+00:00` (the dataset
  /// of 2024 has it): nanoseconds since 1970.
  private static func timestamp(_ text: ArraySlice<UInt8>) throws(LineError) -> UInt64 {
    let wrong = LineError(
      "TIMESTAMP is '\(String(decoding: text, as: UTF8.self))'; "
        + "expected YYYY-MM-DD hh:mm:ss.fffffff")
    let bytes = text.suffix(6).elementsEqual("+00:00".utf8) ? text.dropLast(6) : text
    guard bytes.count >= 19 else { throw wrong }
    let start = bytes.startIndex
    for (offset, mark) in zip([4, 7, 10, 13, 16], "-- ::".utf8) {
      guard bytes[start + offset] == mark else { throw wrong }
    }
    func number(_ offset: Int, _ length: Int, _ range: ClosedRange<Int>) throws(LineError) -> Int {
      var value = 0
      for byte in bytes[(start + offset)..<(start + offset + length)] {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { throw wrong }
        value = value * 10 + Int(byte - UInt8(ascii: "0"))
      }
      guard range.contains(value) else { throw wrong }
      return value
    }
    let year = try number(0, 4, 1970...2200)
    let month = try number(5, 2, 1...12)
    let day = try number(8, 2, 1...daysInMonth(month, year))
    let seconds =
      try number(11, 2, 0...23) * 3600 + number(14, 2, 0...59) * 60 + number(17, 2, 0...59)
    var nanoseconds = 0
    if bytes.count > 19 {
      let length = bytes.count - 20
      guard bytes[start + 19] == UInt8(ascii: "."), (1...9).contains(length) else { throw wrong }
      nanoseconds = try number(20, length, 0...999_999_999)
      for _ in length..<9 { nanoseconds *= 10 }
    }
    let total = daysSince1970(year, month, day) * 86_400 + seconds
    return UInt64(total) * 1_000_000_000 + UInt64(nanoseconds)
  }

  private static func isLeap(_ year: Int) -> Bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
  }

  private static func daysInMonth(_ month: Int, _ year: Int) -> Int {
    switch month {
    case 2: isLeap(year) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let before = year - 1
    let leapDays = before / 4 - before / 100 + before / 400 - 477  // 477 by the end of 1969.
    let monthDays = (1..<month).reduce(0) { $0 + daysInMonth($1, year) }
    return (year - 1970) * 365 + leapDays + monthDays + day - 1
  }
}
