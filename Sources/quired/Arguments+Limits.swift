internal import GRPCServer

/// The limits that have a flag: one line each for the parser, the help and the checks.
struct LimitFlag {
  enum Kind {
    /// A whole number of the range.
    case count(ClosedRange<UInt64>)
    /// Bytes of the range, with or without a unit.
    case bytes(ClosedRange<UInt64>)
    /// Nanoseconds; `never` is a word for no limit where there may be none.
    case time(mayBeNever: Bool)
    /// `yes` is 1, `no` is 0.
    case choice
  }

  let name: String
  let kind: Kind
  let meaning: String
  private let read: (ServerOptions) -> UInt64
  private let write: (inout ServerOptions, UInt64) -> Void

  private init<Number: FixedWidthInteger>(
    _ name: String, _ kind: Kind, _ place: WritableKeyPath<ServerOptions, Number>,
    _ meaning: String
  ) {
    self.name = name
    self.kind = kind
    self.meaning = meaning
    read = { UInt64($0[keyPath: place]) }
    write = { $0[keyPath: place] = Number($1) }
  }

  private init(_ name: String, _ place: WritableKeyPath<ServerOptions, Bool>, _ meaning: String) {
    self.name = name
    kind = .choice
    self.meaning = meaning
    read = { $0[keyPath: place] ? 1 : 0 }
    write = { $0[keyPath: place] = $1 == 1 }
  }

  /// Made when asked for: key paths cannot be shared between threads, as a constant would be.
  static var all: [LimitFlag] {
    let counts: ClosedRange<UInt64> = 1...1_000_000
    let frames: ClosedRange<UInt64> = 1...1_000_000_000
    let bytes: ClosedRange<UInt64> = 65_536...(1 << 40)
    return [
      .init(
        "--max-connections", .count(counts), \.maxConnections,
        "connections at once; further ones are closed"),
      .init(
        "--max-streams", .count(1...100_000), \.maxStreams,
        "calls under way on one connection"),
      .init(
        "--max-calls", .count(1...100_000_000), \.maxCalls,
        "calls under way in all; then shares, past them UNAVAILABLE"),
      .init(
        "--reserved-calls", .count(0...100_000), \.reservedCalls,
        "the least share: calls a connection may always have"),
      .init(
        "--max-message-bytes", .bytes(1_024...(1 << 30)), \.maxMessageBytes,
        "longest request; a longer one gets RESOURCE_EXHAUSTED"),
      .init(
        "--min-compressed-reply", .bytes(0...(1 << 30)), \.minCompressedReplyBytes,
        "shorter replies are sent plain"),
      .init(
        "--max-header-bytes", .bytes(1_024...(1 << 20)), \.maxHeaderBytes,
        "longest header list; a longer one gets RESOURCE_EXHAUSTED"),
      .init(
        "--max-upload-bytes", .bytes(bytes), \.maxHeldRequestBytes,
        "half-sent requests of one connection; more get UNAVAILABLE"),
      .init(
        "--max-unread-bytes", .bytes(bytes), \.maxUnreadResponseBytes,
        "responses one connection leaves unread; more get UNAVAILABLE"),
      .init(
        "--max-buffered-bytes", .bytes(bytes), \.maxBufferedBytes,
        "both, of all connections"),
      .init(
        "--retry-pushback", .time(mayBeNever: false), \.retryPushbackNanoseconds,
        "how long whoever is refused for overload should wait"),
      .init(
        "--handshake-timeout", .time(mayBeNever: false), \.handshakeNanoseconds,
        "for a client's HTTP/2 preface and SETTINGS"),
      .init(
        "--tls-handshake-timeout", .time(mayBeNever: false), \.tlsHandshakeNanoseconds,
        "for the TLS handshake before them"),
      .init(
        "--tls-handshake-percent", .count(1...100), \.tlsHandshakePercent,
        "of the time, for TLS handshakes while others are served"),
      .init(
        "--request-stall", .time(mayBeNever: true), \.requestStallNanoseconds,
        "a request may come slower than 1 kB/s for so long"),
      .init(
        "--response-stall", .time(mayBeNever: true), \.responseStallNanoseconds,
        "a response may be read slower than that for so long"),
      .init(
        "--keepalive-interval", .time(mayBeNever: true), \.keepaliveNanoseconds,
        "a client silent for so long is pinged"),
      .init(
        "--keepalive-timeout", .time(mayBeNever: false), \.keepaliveTimeoutNanoseconds,
        "and gone when it does not answer"),
      .init(
        "--min-ping-interval", .time(mayBeNever: false), \.minPingIntervalNanoseconds,
        "between a client's keepalive pings while it has calls"),
      .init(
        "--min-idle-ping-interval", .time(mayBeNever: false),
        \.minPingIntervalWithoutCallsNanoseconds, "the same while it has none"),
      .init(
        "--permit-idle-pings", \.permitsPingsWithoutCalls,
        "while it has none it may ping as often as with calls"),
      .init(
        "--max-ping-strikes", .count(0...1_000_000), \.maxPingStrikes,
        "pings too early before `too_many_pings`"),
      .init(
        "--max-connection-idle", .time(mayBeNever: true), \.maxIdleNanoseconds,
        "without a call, then ended gracefully"),
      .init(
        "--max-connection-age", .time(mayBeNever: true), \.maxAgeNanoseconds,
        "give or take a tenth, then ended gracefully"),
      .init(
        "--max-connection-age-grace", .time(mayBeNever: true), \.ageGraceNanoseconds,
        "for the calls of such a connection"),
      .init(
        "--reset-burst", .count(frames), \.resetBurst,
        "streams a client may reset, or have the server reset, at once"),
      .init(
        "--resets-per-second", .count(frames), \.resetsPerSecond, "and then in a second"),
      .init(
        "--control-frame-burst", .count(frames), \.controlFrameBurst,
        "PING, SETTINGS and useless WINDOW_UPDATE frames at once"),
      .init(
        "--control-frames-per-second", .count(frames), \.controlFramesPerSecond,
        "and then in a second"),
      .init(
        "--unpack-burst", .bytes(bytes), \.unpackBurstBytes,
        "bytes compressed requests of a connection grow by at once"),
      .init(
        "--unpack-bytes-per-second", .bytes(bytes), \.unpackBytesPerSecond,
        "and then in a second; past it UNAVAILABLE"),
      .init(
        "--ignored-frame-burst", .count(frames), \.ignoredFrameBurst,
        "PRIORITY, unknown and late frames at once"),
      .init(
        "--ignored-frames-per-second", .count(frames), \.ignoredFramesPerSecond,
        "and then in a second"),
      .init(
        "--cut-off-linger", .time(mayBeNever: false), \.cutOffLingerNanoseconds,
        "from GOAWAY for a flood to the end of the connection"),
      .init(
        "--max-continuations", .count(1...10_000), \.maxContinuations,
        "CONTINUATION frames of one header block"),
      .init(
        "--max-settings-entries", .count(1...10_000), \.maxSettingsEntries,
        "entries of one SETTINGS frame"),
      .init(
        "--stop-grace", .time(mayBeNever: false), \.stopGraceNanoseconds,
        "for calls under way at SIGTERM"),
      .init(
        "--stop-idle-grace", .time(mayBeNever: false), \.idleCallGraceNanoseconds,
        "for streams with nothing under way then"),
    ]
  }

  /// The lines of `--help`.
  static let help = all.map { flag in
    let unit =
      switch flag.kind {
      case .count: "N"
      case .bytes: "SIZE"
      case .time: "TIME"
      case .choice: "yes|no"
      }
    let words = "\(flag.name) \(unit)"
    let gap = String(repeating: " ", count: max(1, 32 - words.utf8.count))
    return "  \(words)\(gap)\(flag.meaning) (\(flag.text(flag.read(ServerOptions()))))"
  }.joined(separator: "\n")

  func set(_ value: String, in options: inout ServerOptions) throws(Arguments.Problem) {
    func fail(_ reason: String) -> Arguments.Problem { .init("\(name) '\(value)': \(reason)") }
    switch kind {
    case .count(let range):
      guard let number = UInt64(digits: value[...]), range.contains(number) else {
        throw fail("must be a whole number from \(range.lowerBound) to \(range.upperBound)")
      }
      write(&options, number)
    case .bytes(let range):
      guard let number = Quantity.bytes(value[...]), range.contains(number) else {
        throw fail("must be from \(text(range.lowerBound)) to \(text(range.upperBound))")
      }
      write(&options, number)
    case .time(let mayBeNever):
      if mayBeNever, value == "never" { return write(&options, ServerOptions.never) }
      guard let number = Quantity.nanoseconds(value[...]), Quantity.times.contains(number) else {
        throw fail(
          "must be from 1ms to 8760h, such as 500ms, 30s, 5m or 2h\(mayBeNever ? ", or never" : "")"
        )
      }
      write(&options, number)
    case .choice:
      guard value == "yes" || value == "no" else { throw fail("must be yes or no") }
      write(&options, value == "yes" ? 1 : 0)
    }
  }

  private func text(_ value: UInt64) -> String {
    switch kind {
    case .count: "\(value)"
    case .bytes: Quantity.text(value, Quantity.byteUnits)
    case .time: value == ServerOptions.never ? "never" : Quantity.text(value, Quantity.timeUnits)
    case .choice: value == 1 ? "yes" : "no"
    }
  }
}

/// Numbers with units, as people write them.
enum Quantity {
  typealias Unit = (name: String, factor: UInt64)
  static let byteUnits: [Unit] = [
    ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000),
  ]
  static let timeUnits: [Unit] = [
    ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("ms", 1_000_000), ("s", 1_000_000_000),
  ]
  /// A timer's resolution to a year.
  static let times: ClosedRange<UInt64> = 1_000_000...31_536_000_000_000_000

  /// A whole number, of bytes or of a unit; nil when it is none.
  static func bytes(_ text: Substring) -> UInt64? {
    for unit in byteUnits where text.hasSuffix(unit.name) { return number(text, unit) }
    return UInt64(digits: text)
  }

  static func nanoseconds(_ text: Substring) -> UInt64? {
    // `ms` before `m` and `s`.
    for unit in timeUnits.sorted(by: { $0.name.utf8.count > $1.name.utf8.count })
    where text.hasSuffix(unit.name) { return number(text, unit) }
    return nil
  }

  private static func number(_ text: Substring, _ unit: Unit) -> UInt64? {
    guard let count = UInt64(digits: text.dropLast(unit.name.count)) else { return nil }
    let (product, overflows) = count.multipliedReportingOverflow(by: unit.factor)
    return overflows ? nil : product
  }

  /// In the largest unit that divides it.
  static func text(_ value: UInt64, _ units: [Unit]) -> String {
    let sorted = units.sorted { $0.factor > $1.factor }
    guard let unit = sorted.first(where: { value >= $0.factor && value % $0.factor == 0 }) else {
      return "\(value)"
    }
    return "\(value / unit.factor)\(unit.name)"
  }
}

extension UInt64 {
  /// Digits only: no sign, no spaces.
  init?(digits text: Substring) {
    guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    self.init(text)
  }
}
