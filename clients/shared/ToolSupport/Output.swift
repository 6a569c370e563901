import Glibc

/// Writes all of `text` to a descriptor. False when it cannot be written (`errno` says why).
@discardableResult
package func write(_ text: String, to descriptor: Int32) -> Bool {
  var text = text
  return text.withUTF8 { bytes in
    var rest = UnsafeRawBufferPointer(bytes)
    while !rest.isEmpty {
      let count = Glibc.write(descriptor, rest.baseAddress!, rest.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return false }
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
    return true
  }
}

/// Writes a file whole, replacing what it held. False when it cannot (`errno` says why).
package func writeFile(_ text: String, path: String) -> Bool {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { return false }
  let isWritten = write(text, to: descriptor)
  return close(descriptor) == 0 && isWritten
}
