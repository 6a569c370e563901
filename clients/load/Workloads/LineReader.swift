import Glibc

/// Reads a file line by line, holding no more of it than one block and the line at hand.
///
/// Owns the descriptor. Knows nothing of what the lines mean.
package final class LineReader {
  package let path: String
  /// Number of the line last returned; the first is 1.
  package private(set) var lineNumber = 0
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var start = 0
  private var isAtEnd = false

  private static let blockSize = 1 << 16
  private static let maximumLine = 1 << 24

  package init(path: String) throws(TraceError) {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 {
      throw TraceError(path: path, "cannot be opened: \(String(cString: strerror(errno)))")
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// The next line without its `\n` or `\r\n`; nil at the end of the file. A last line needs no
  /// newline, and a newline at the end of the file begins no further line.
  package func next() throws(TraceError) -> ArraySlice<UInt8>? {
    var searched = start
    while true {
      if let newline = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { start = newline + 1 }
        return line(upTo: newline)
      }
      if isAtEnd {
        guard start < buffer.count else { return nil }
        defer { start = buffer.count }
        return line(upTo: buffer.count)
      }
      let pending = buffer.count - start
      if pending > Self.maximumLine {
        throw TraceError(
          path: path, line: lineNumber + 1, "the line is longer than \(Self.maximumLine) bytes")
      }
      buffer.removeSubrange(..<start)
      start = 0
      searched = pending
      try fill()
    }
  }

  private func line(upTo end: Int) -> ArraySlice<UInt8> {
    lineNumber += 1
    let line = buffer[start..<end]
    return line.last == UInt8(ascii: "\r") ? line.dropLast() : line
  }

  private func fill() throws(TraceError) {
    let kept = buffer.count
    buffer.append(contentsOf: repeatElement(0, count: Self.blockSize))
    var count = 0
    repeat {
      count = buffer.withUnsafeMutableBytes { bytes in
        read(descriptor, bytes.baseAddress! + kept, Self.blockSize)
      }
    } while count < 0 && errno == EINTR
    let failure = errno
    buffer.removeLast(Self.blockSize - max(count, 0))
    if count < 0 {
      throw TraceError(path: path, "cannot be read: \(String(cString: strerror(failure)))")
    }
    isAtEnd = count == 0
  }
}
