internal import Glibc
internal import ToolSupport

/// A JSON array on disk that is whole after every append: a program that is killed leaves a file that
/// opens.
final class TraceFile {
  private let path: String
  private let descriptor: Int32
  private var isEmpty = true
  private static let tail = "\n]\n"

  init(path: String) throws(Failure) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw Failure(.usage, "\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
    try write("[")
  }

  deinit { close(descriptor) }

  /// - Parameter events: JSON, a value each.
  func append(_ events: [String]) throws(Failure) {
    if events.isEmpty { return }
    lseek(descriptor, -off_t(Self.tail.utf8.count), SEEK_CUR)
    try write((isEmpty ? "\n" : ",\n") + events.joined(separator: ",\n"))
    isEmpty = false
  }

  private func write(_ text: String) throws(Failure) {
    guard ToolSupport.write(text + Self.tail, to: descriptor) else {
      throw Failure(.usage, "\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
  }
}
