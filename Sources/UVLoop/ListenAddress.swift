/// Where to listen or to connect: `host:port`, `[::1]:port`, `unix:PATH` or `unix-abstract:NAME`.
package enum ListenAddress: Equatable, Sendable, CustomStringConvertible {
  /// `host` without brackets; port 0 lets the system choose when listening.
  case tcp(host: String, port: UInt16)
  case unix(path: String)
  /// A Unix socket without a file; it goes with its last user. It has no permissions: every process
  /// in the network namespace may connect.
  case abstract(name: String)

  /// The longest path a Unix socket address holds on Linux, in bytes, without its final NUL.
  package static let longestUnixPath = 107

  package init(parsing text: String) throws(AddressError) {
    func fail(_ reason: String) -> AddressError { AddressError(text: text, reason: reason) }
    if text.hasPrefix("unix-abstract:") {
      let name = String(text.dropFirst(14))
      if name.isEmpty { throw fail("the name after 'unix-abstract:' is empty") }
      if name.utf8.count > ListenAddress.longestUnixPath {
        throw fail(
          "the socket name has \(name.utf8.count) bytes, the limit is "
            + "\(ListenAddress.longestUnixPath)")
      }
      if name.utf8.contains(0) { throw fail("the socket name holds a NUL byte") }
      self = .abstract(name: name)
      return
    }
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      if path.isEmpty { throw fail("the path after 'unix:' is empty") }
      if path.utf8.count > ListenAddress.longestUnixPath {
        throw fail(
          "the socket path has \(path.utf8.count) bytes, the limit is "
            + "\(ListenAddress.longestUnixPath)")
      }
      if path.utf8.contains(0) { throw fail("the socket path holds a NUL byte") }
      self = .unix(path: path)
      return
    }
    let host: Substring
    let port: Substring
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { throw fail("'[' without ']'") }
      host = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      guard rest.first == ":" else { throw fail("a ':port' must follow ']'") }
      port = rest.dropFirst()
      if !host.contains(":") { throw fail("only an IPv6 address goes in brackets") }
    } else {
      guard let colon = text.lastIndex(of: ":") else { throw fail("the port is missing") }
      host = text[..<colon]
      port = text[text.index(after: colon)...]
      if host.contains(":") { throw fail("an IPv6 address goes in brackets: [\(host)]:\(port)") }
    }
    if host.isEmpty { throw fail("the host is empty") }
    let isNumber = !port.isEmpty && port.utf8.allSatisfy { (0x30...0x39).contains($0) }
    guard isNumber, let number = UInt16(port) else {
      throw fail("the port '\(port)' is not a number from 0 to 65535")
    }
    self = .tcp(host: String(host), port: number)
  }

  package var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    case .abstract(let name): "unix-abstract:\(name)"
    }
  }
}

/// Text that is not an address, and what is wrong with it.
package struct AddressError: Error, Equatable, Sendable, CustomStringConvertible {
  package let text: String
  package let reason: String
  package init(text: String, reason: String) {
    self.text = text
    self.reason = reason
  }

  package var description: String { "address '\(text)': \(reason)" }
}
