/// What is wrong with a trace file, as a user is told: `trace.jsonl:17: input_length is 0; ...`.
package struct TraceError: Error, Equatable, CustomStringConvertible {
  package var path: String
  /// 1 is the first line; 0 = the file as a whole.
  package var line: Int
  /// What was found and what was expected.
  package var message: String

  package init(path: String, line: Int = 0, _ message: String) {
    self.path = path
    self.line = line
    self.message = message
  }

  package var description: String {
    line == 0 ? "\(path): \(message)" : "\(path):\(line): \(message)"
  }
}

/// What is wrong with one line; whoever knows the file's name and the line's number adds them.
struct LineError: Error, Equatable {
  var message: String
  init(_ message: String) { self.message = message }
}

/// What every trace format lets a number be.
enum TraceLimits {
  /// Longest prompt or answer believed, in tokens: ten times the longest context now served.
  static let maximumTokens: UInt64 = 10_000_000
  /// Latest arrival believed, in milliseconds: the year 2200, should a trace count from 1970.
  static let maximumMilliseconds: UInt64 = 7_258_118_400_000
  static let maximumHashIDs = 1_000_000

  static func tokens(_ value: UInt64, _ field: String) throws(LineError) -> UInt32 {
    guard value >= 1 && value <= maximumTokens else {
      throw LineError("\(field) is \(value); expected 1 ... \(maximumTokens) tokens")
    }
    return UInt32(value)
  }
}
