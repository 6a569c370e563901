internal import CUV
internal import Glibc

/// A TCP socket that listens, for a library that accepts by itself. Closed by `close`, or by whoever
/// took it.
package struct ListeningSocket {
  package let descriptor: Int32
  /// Where it really listens, with the port that the system chose for port 0.
  package let address: String

  /// Resolves a name before anything runs on the loop, as `StreamListener` does.
  package init(host: String, port: UInt16, backlog: Int32 = 128) throws(UVError) {
    let target = try SocketAddress.resolve(host: host, port: port)
    let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let descriptor = socket(CInt(target.ss_family), kind, 0)
    let name = "listen on \(ListenAddress.tcp(host: host, port: port))"
    guard descriptor >= 0 else { throw UVError(name, code: -errno) }
    // As libuv's own listeners: a server that starts again finds its port.
    var yes: CInt = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
    let length = socklen_t(
      CInt(target.ss_family) == AF_INET6
        ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    let isBound = SocketAddress.withPointer(target) { bind(descriptor, $0, length) == 0 }
    guard isBound, listen(descriptor, backlog) == 0 else {
      let code = -errno
      Glibc.close(descriptor)
      throw UVError(name, code: code)
    }
    var storage = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let status = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
    }
    guard status == 0 else {
      let code = -errno
      Glibc.close(descriptor)
      throw UVError("read back the address to \(name)", code: code)
    }
    self.descriptor = descriptor
    address = SocketAddress.text(of: storage)
  }

  /// Not after somebody took it.
  package func close() { Glibc.close(descriptor) }
}
