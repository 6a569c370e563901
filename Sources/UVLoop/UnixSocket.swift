internal import CUV
internal import Glibc

/// Unix sockets made by hand, where libuv knows only paths and takes the process's umask for their
/// permissions. Statuses are libuv's: minus errno.
enum UnixSocket {
  static func make() throws(UVError) -> CInt {
    let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, kind, 0)
    if descriptor < 0 { throw UVError("make a Unix socket", code: -errno) }
    return descriptor
  }

  static func connect(_ descriptor: CInt, _ address: ListenAddress) -> CInt {
    withAddress(address) { Glibc.connect(descriptor, $0, $1) } == 0 ? 0 : -errno
  }

  static func bind(_ descriptor: CInt, _ address: ListenAddress) -> CInt {
    withAddress(address) { Glibc.bind(descriptor, $0, $1) } == 0 ? 0 : -errno
  }

  /// Binds to `path` and gives it `mode`. A path that exists is taken over only if it is a socket to
  /// which nobody answers.
  ///
  /// The path never admits more than `mode` does: Linux makes it with the descriptor's mode less the
  /// umask, and what the umask took is given back before anyone listens, so that nobody can have
  /// connected.
  /// - Returns: The file that was made.
  static func bind(
    _ descriptor: CInt, path: String, mode: UInt32
  ) throws(UVError) -> FileIdentity {
    let operation = "bind unix:\(path)"
    try UVError.check(fchmod(descriptor, mode) == 0 ? 0 : -errno, operation)
    var status = bind(descriptor, .unix(path: path))
    if status == UV_EADDRINUSE.rawValue, isStale(path) {
      unlink(path)
      status = bind(descriptor, .unix(path: path))
    }
    try UVError.check(status, operation)
    try UVError.check(
      chmod(path, mode) == 0 ? 0 : -errno, "give unix:\(path) its permissions")
    guard let identity = FileIdentity(ofSocket: path) else {
      throw UVError(operation, code: UV_ENOENT.rawValue)
    }
    return identity
  }

  /// True for a socket at `path` that refuses connections: its owner died without removing it.
  private static func isStale(_ path: String) -> Bool {
    // Connecting to a plain file is refused in the same way.
    guard FileIdentity(ofSocket: path) != nil else { return false }
    let probe = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    if probe < 0 { return false }
    defer { close(probe) }
    return connect(probe, .unix(path: path)) == UV_ECONNREFUSED.rawValue
  }

  /// An abstract name begins with a NUL and is as long as its address says (unix(7)).
  private static func withAddress<R>(
    _ address: ListenAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
  ) -> R {
    var storage = sockaddr_un()
    storage.sun_family = sa_family_t(AF_UNIX)
    let offset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)!
    let count = withUnsafeMutableBytes(of: &storage.sun_path) { place in
      switch address {
      case .unix(let path):
        place.copyBytes(from: path.utf8)
        return path.utf8.count + 1
      case .abstract(let name):
        UnsafeMutableRawBufferPointer(rebasing: place[1...]).copyBytes(from: name.utf8)
        return name.utf8.count + 1
      case .tcp: preconditionFailure("not a Unix socket's address")
      }
    }
    return withUnsafePointer(to: storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(offset + count)) }
    }
  }
}

/// Which file a path names, so that another one put in its place is left alone.
struct FileIdentity: Equatable {
  private let device: dev_t
  private let number: ino_t

  /// nil unless there is a socket at `path`.
  init?(ofSocket path: String) {
    var information = stat()
    guard lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK else {
      return nil
    }
    device = information.st_dev
    number = information.st_ino
  }
}
