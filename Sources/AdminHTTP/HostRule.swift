internal import Glibc

/// Which hosts a request may be for.
///
/// A page from elsewhere can have its own name lead to this machine and would then count as ours in a
/// browser (DNS rebinding); but the browser still says that name. So names are taken only if they were
/// given to us; an address cannot be rebound.
struct HostRule {
  let names: [String]

  init(names: [String]) { self.names = names.map { HostRule.folded($0[...]) } }

  /// `host`: the Host header's value; nil, which no browser sends, is taken.
  func allows(_ host: String?) -> Bool {
    guard let host else { return true }
    let name: Substring
    if host.hasPrefix("[") {
      guard let end = host.firstIndex(of: "]") else { return false }
      name = host[host.index(after: host.startIndex)..<end]
      guard HostRule.isPort(host[host.index(after: end)...]) else { return false }
      return HostRule.isAddress(name, AF_INET6)
    }
    if let colon = host.firstIndex(of: ":") {
      guard HostRule.isPort(host[colon...]) else { return false }
      name = host[..<colon]
    } else {
      name = host[...]
    }
    if HostRule.isAddress(name, AF_INET) { return true }
    let folded = HostRule.folded(name)
    return folded == "localhost" || names.contains(folded)
  }

  /// Nothing, or `:` and digits.
  private static func isPort(_ text: Substring) -> Bool {
    if text.isEmpty { return true }
    return text.first == ":" && text.dropFirst().utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  private static func isAddress(_ text: Substring, _ family: CInt) -> Bool {
    var place = in6_addr()
    return inet_pton(family, String(text), &place) == 1
  }

  /// ASCII letters small, without the final dot of a complete name.
  private static func folded(_ name: Substring) -> String {
    var bytes = name.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    if bytes.last == UInt8(ascii: ".") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }
}
