internal import CUV

/// A libuv call that failed: what was tried and libuv's name and words for why.
package struct UVError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What was tried, e.g. `bind 127.0.0.1:4711`.
  package let operation: String
  /// libuv's negative status (minus errno on Linux).
  package let code: Int32

  package init(_ operation: String, code: Int32) {
    self.operation = operation
    self.code = code
  }

  /// libuv's name of the status, e.g. `EADDRINUSE`.
  package var name: String { uv_err_name(code).map { String(cString: $0) } ?? "E?" }

  package var description: String {
    let words = uv_strerror(code).map { String(cString: $0) } ?? "unknown error"
    return "\(operation): \(words) (\(name))"
  }

  /// Throws when `status` is negative.
  static func check(
    _ status: CInt, _ operation: @autoclosure () -> String
  ) throws(UVError) {
    if status < 0 { throw UVError(operation(), code: status) }
  }
}
