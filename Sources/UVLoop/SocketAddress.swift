internal import CUV
internal import Glibc

/// Numeric socket addresses for libuv's calls, and their text.
enum SocketAddress {
  /// Resolves a numeric address or a name. Names block the loop: for listening, which is done before
  /// anything is served. IPv4 wins when a name has both.
  static func resolve(host: String, port: UInt16) throws(UVError) -> sockaddr_storage {
    if let numeric = numeric(host: host, port: port) { return numeric }
    var hints = addrinfo()
    hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, "\(port)", &hints, &list) == 0 else {
      throw UVError("resolve host '\(host)'", code: UV_ENOENT.rawValue)
    }
    defer { freeaddrinfo(list) }
    let all = all(in: list, limit: .max)
    guard let chosen = all.first(where: { $0.ss_family == sa_family_t(AF_INET) }) ?? all.first
    else { throw UVError("resolve host '\(host)'", code: UV_ENOENT.rawValue) }
    return chosen
  }

  /// The address a text spells out; nil for a name.
  static func numeric(host: String, port: UInt16) -> sockaddr_storage? {
    var storage = sockaddr_storage()
    let isIPv4 = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        uv_ip4_addr(host, CInt(port), $0) == 0
      }
    }
    if isIPv4 { return storage }
    let isIPv6 = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
        uv_ip6_addr(host, CInt(port), $0) == 0
      }
    }
    return isIPv6 ? storage : nil
  }

  /// What a look-up found, in its order.
  static func all(
    in list: UnsafeMutablePointer<addrinfo>?, limit: Int
  ) -> [sockaddr_storage] {
    var found: [sockaddr_storage] = []
    var next = list
    while let entry = next, found.count < limit {
      next = entry.pointee.ai_next
      let size = Int(entry.pointee.ai_addrlen)
      guard let address = entry.pointee.ai_addr, size <= MemoryLayout<sockaddr_storage>.size
      else { continue }
      var storage = sockaddr_storage()
      withUnsafeMutableBytes(of: &storage) {
        $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: size))
      }
      found.append(storage)
    }
    return found
  }

  static func withPointer<R>(
    _ storage: sockaddr_storage, _ body: (UnsafePointer<sockaddr>) -> R
  ) -> R {
    withUnsafePointer(to: storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
    }
  }

  /// `127.0.0.1:4711`, `[::1]:4711`, or `unknown` for a family that is neither.
  static func text(of storage: sockaddr_storage) -> String {
    var name = [CChar](repeating: 0, count: 64)
    let isIPv6 = storage.ss_family == sa_family_t(AF_INET6)
    guard isIPv6 || storage.ss_family == sa_family_t(AF_INET) else { return "unknown" }
    let port = withPointer(storage) { address in
      if isIPv6 {
        return address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
          uv_ip6_name($0, &name, name.count)
          return UInt16(bigEndian: $0.pointee.sin6_port)
        }
      }
      return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        uv_ip4_name($0, &name, name.count)
        return UInt16(bigEndian: $0.pointee.sin_port)
      }
    }
    let host = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    return isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}
