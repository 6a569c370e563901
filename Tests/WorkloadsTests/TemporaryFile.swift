import Glibc

/// A file with the given bytes, gone when the object is.
final class TemporaryFile {
  let path: String

  init(_ text: String) {
    var template = Array("/tmp/workloads-XXXXXX".utf8CString)
    let descriptor = template.withUnsafeMutableBufferPointer { mkstemp($0.baseAddress!) }
    precondition(descriptor >= 0, "no temporary file")
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes { write(descriptor, $0.baseAddress!, $0.count) }
      precondition(count > 0, "the temporary file cannot be written")
      written += count
    }
    close(descriptor)
  }

  deinit { unlink(path) }
}
