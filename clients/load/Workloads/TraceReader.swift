/// Reads a trace one request at a time, in whichever known format the file turns out to be.
///
/// The format is told by the first line, not by the name. A line that is empty or broken, or steps
/// back in time, is an error with its number; nothing is skipped.
package final class TraceReader {
  package enum Format: String, Sendable {
    case mooncake = "Mooncake JSON lines"
    case azure = "Azure CSV"
  }

  package let format: Format
  private let lines: LineReader
  private var pending: ArraySlice<UInt8>?
  private var latest: UInt64 = 0

  package var path: String { lines.path }

  package init(path: String) throws(TraceError) {
    lines = try LineReader(path: path)
    guard let first = try lines.next() else {
      throw TraceError(path: path, "the file is empty; expected \(Self.expected)")
    }
    if first.first == UInt8(ascii: "{") {
      format = .mooncake
      pending = first
    } else if first.elementsEqual(AzureLine.header.utf8) {
      format = .azure
    } else {
      throw TraceError(path: path, line: 1, "unknown format; expected \(Self.expected)")
    }
  }

  private static let expected =
    "Mooncake JSON lines ({\"timestamp\": ..) or the Azure header (\(AzureLine.header))"

  /// The next request, nil at the end. Ids of its prompt's blocks are appended to `hashIDs`.
  package func next(hashIDs: inout [UInt64]) throws(TraceError) -> TraceRecord? {
    var line = pending
    pending = nil
    if line == nil { line = try lines.next() }
    guard let line else { return nil }
    do throws(LineError) {
      if line.isEmpty { throw LineError("the line is empty; expected one request") }
      let record =
        switch format {
        case .mooncake: try MooncakeLine.parse(line, hashIDs: &hashIDs)
        case .azure: try AzureLine.parse(line)
        }
      guard record.timeNanoseconds >= latest else {
        throw LineError("the request arrives before the one above it; expected ascending times")
      }
      latest = record.timeNanoseconds
      return record
    } catch {
      throw TraceError(path: path, line: lines.lineNumber, error.message)
    }
  }
}
