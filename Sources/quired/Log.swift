internal import ForeignText
package import Glibc

/// The log: one line per event on standard error, as text for people or JSON for programs.
package struct Log {
  package enum Level: Int, Equatable, Sendable {
    case error, warning, info, debug

    init?(name: String) {
      switch name {
      case "error": self = .error
      case "warning": self = .warning
      case "info": self = .info
      case "debug": self = .debug
      default: return nil
      }
    }
  }

  package enum Format: String, Equatable, Sendable {
    case text, json
  }

  package typealias Field = (name: String, value: String)

  let level: Level
  let format: Format

  package init(level: Level, format: Format) {
    self.level = level
    self.format = format
  }

  func error(_ message: String, _ fields: Field...) { write(.error, message, fields) }
  func warning(_ message: String, _ fields: Field...) { write(.warning, message, fields) }
  func info(_ message: String, _ fields: Field...) { write(.info, message, fields) }
  func debug(_ message: String, _ fields: Field...) { write(.debug, message, fields) }

  func write(_ level: Level, _ message: String, _ fields: [Field]) {
    guard level.rawValue <= self.level.rawValue else { return }
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    Output.write(line(level, message, fields, at: now), to: STDERR_FILENO)
  }

  /// The line of an event, without touching a clock or a file.
  package func line(
    _ level: Level, _ message: String, _ fields: [Field], at time: timespec
  ) -> String {
    let stamp = Self.timestamp(time)
    switch format {
    case .text:
      let tail = fields.map { " \($0.name)=\(Self.word($0.value))" }.joined()
      return "\(stamp) \(level) \(message)\(tail)\n"
    case .json:
      var all: [Field] = [("time", stamp), ("level", "\(level)"), ("message", message)]
      all += fields
      let body = all.map { "\(ForeignText.quoted($0.name)):\(ForeignText.quoted($0.value))" }
      return "{\(body.joined(separator: ","))}\n"
    }
  }

  /// RFC 3339, UTC, milliseconds.
  private static func timestamp(_ time: timespec) -> String {
    var seconds = time.tv_sec
    var parts = tm()
    gmtime_r(&seconds, &parts)
    let date =
      "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-"
      + padded(Int(parts.tm_mday), 2)
    let clock =
      "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):"
      + padded(Int(parts.tm_sec), 2)
    return "\(date)T\(clock).\(padded(Int(time.tv_nsec) / 1_000_000, 3))Z"
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }

  /// A value as one word of a text line: quoted where it would not be one, or where a terminal acts on it.
  private static func word(_ value: String) -> String {
    let isPlain =
      !value.isEmpty && !value.utf8.contains { $0 == 0x20 || $0 == UInt8(ascii: "\"") }
      && ForeignText.printable(value) == value
    return isPlain ? value : ForeignText.quoted(value)
  }
}

/// Text straight to a file descriptor: nothing is buffered, so a line is out when this returns.
enum Output {
  /// Gives up silently when the descriptor is closed: there is nowhere left to complain.
  static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while !rest.isEmpty {
        let written = Glibc.write(descriptor, rest.baseAddress, rest.count)
        if written < 0 && errno == EINTR { continue }
        guard written > 0 else { return }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(written))
      }
    }
  }
}
