internal import Glibc

/// The process at the other end of a Unix socket, as it was when it connected (Linux's SO_PEERCRED).
package struct PeerCredentials: Equatable, Sendable, CustomStringConvertible {
  package let pid: Int32
  package let uid: UInt32
  package let gid: UInt32

  package var description: String { "pid=\(pid),uid=\(uid),gid=\(gid)" }

  /// nil when the kernel does not say, as for a socket of another kind.
  init?(of descriptor: CInt) {
    // Linux's `struct ucred`, which the C library shows to GNU programs only.
    var fields: (pid: Int32, uid: UInt32, gid: UInt32) = (0, 0, 0)
    var length = socklen_t(MemoryLayout.size(ofValue: fields))
    guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &fields, &length) == 0,
      length == 12, fields.pid != 0
    else { return nil }
    (pid, uid, gid) = fields
  }
}
