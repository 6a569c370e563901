internal import CZMQ
internal import Glibc

/// Why a socket could not be made or bound.
package struct ZMQError: Error, CustomStringConvertible {
  package let description: String

  /// The latest failure of the library.
  init(_ what: String) {
    self.init(words: "\(what): \(String(cString: zmq_strerror(zmq_errno())))")
  }

  init(words: String) { description = words }
}

/// libzmq's context: its one thread, which does the sockets' I/O. Sockets keep theirs alive.
final class ZMQContext {
  let raw: UnsafeMutableRawPointer

  init() throws(ZMQError) {
    guard let raw = zmq_ctx_new() else { throw ZMQError("libzmq") }
    self.raw = raw
  }

  deinit { zmq_ctx_term(raw) }
}

/// One ZeroMQ socket that is bound. No call of it waits.
final class ZMQSocket {
  enum Kind {
    /// Publishes to whoever listens.
    case publisher
    /// Answers by the name of whom it heard.
    case router
  }

  enum Sending: Equatable {
    case sent
    /// Somebody's queue is full. Of a publisher: and it was told to say so.
    case full
    /// Nobody of that name is there.
    case gone
  }

  /// Bytes of a frame that is read: a handshake with a name of 255 bytes, or a topic of as many. Who sends
  /// more is cut off.
  private static let largestFrame: Int64 = 384

  /// Where it is bound: with the port that the system chose.
  let endpoint: String

  private let context: ZMQContext
  private let raw: UnsafeMutableRawPointer

  /// - Parameter highWater: Messages that wait for one peer at most.
  init(
    _ context: ZMQContext, _ kind: Kind, bindTo address: String, highWater: Int32
  ) throws(ZMQError) {
    let type = kind == .publisher ? ZMQ_PUB : ZMQ_ROUTER
    guard let raw = zmq_socket(context.raw, type) else { throw ZMQError("libzmq") }
    self.context = context
    self.raw = raw
    var settings: [(Int32, Int32)] = [
      (ZMQ_SNDHWM, highWater), (ZMQ_LINGER, 0), (ZMQ_IPV6, 1),
    ]
    // A request is a name, nothing and a number.
    if kind == .router { settings += [(ZMQ_ROUTER_MANDATORY, 1), (ZMQ_RCVHWM, 64)] }
    for (option, value) in settings { Self.set(raw, option, value) }
    Self.set(raw, ZMQ_MAXMSGSIZE, Self.largestFrame)
    guard zmq_bind(raw, address) == 0 else {
      let error = ZMQError("'\(address)'")
      zmq_close(raw)
      throw error
    }
    var bytes = [UInt8](repeating: 0, count: 512)
    var count = bytes.count
    zmq_getsockopt(raw, ZMQ_LAST_ENDPOINT, &bytes, &count)
    endpoint = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  deinit { zmq_close(raw) }

  private static func set<Value: FixedWidthInteger>(
    _ raw: UnsafeMutableRawPointer, _ option: Int32, _ value: Value
  ) {
    var value = value
    let status = zmq_setsockopt(raw, option, &value, MemoryLayout<Value>.size)
    precondition(status == 0, "libzmq does not know option \(option)")
  }

  /// Whether a publisher says `.full`, and sends to nobody, where one subscriber's queue is full; it
  /// leaves out that one alone otherwise.
  func tellsWhenFull(_ tells: Bool) { Self.set(raw, ZMQ_XPUB_NODROP, Int32(tells ? 1 : 0)) }

  // MARK: Polling

  /// Becomes readable when there is something to be done; then `readable` has to be asked until it says
  /// no, and again after everything that was sent: libzmq's descriptor tells of changes only.
  var descriptor: Int32 {
    var descriptor: Int32 = -1
    var count = MemoryLayout<Int32>.size
    zmq_getsockopt(raw, ZMQ_FD, &descriptor, &count)
    return descriptor
  }

  var readable: Bool {
    var events: Int32 = 0
    var count = MemoryLayout<Int32>.size
    zmq_getsockopt(raw, ZMQ_EVENTS, &events, &count)
    return events & Int32(ZMQ_POLLIN) != 0
  }

  // MARK: Messages

  /// All frames or none.
  func send(_ frames: UnsafeRawBufferPointer...) -> Sending {
    for (index, frame) in frames.enumerated() {
      let flags = ZMQ_DONTWAIT | (index < frames.count - 1 ? ZMQ_SNDMORE : 0)
      let sent = Self.repeating { zmq_send(raw, frame.baseAddress, frame.count, flags) }
      if sent >= 0 { continue }
      let code = zmq_errno()
      precondition(index == 0 || code != EAGAIN, "libzmq took a part of a message")
      return code == EAGAIN ? .full : .gone
    }
    return .sent
  }

  /// Again for as long as signals come between: what was asked for has not been done then.
  private static func repeating(_ call: () -> Int32) -> Int32 {
    while true {
      let result = call()
      if result >= 0 || zmq_errno() != EINTR { return result }
    }
  }

  /// The frames of the next message; nil where none is there.
  func receive() -> [[UInt8]]? {
    var frames: [[UInt8]] = []
    repeat {
      var bytes = [UInt8](repeating: 0, count: Int(Self.largestFrame))
      let count = Self.repeating { zmq_recv(raw, &bytes, bytes.count, ZMQ_DONTWAIT) }
      if count < 0 { return nil }
      // More frames than any request has are read and forgotten.
      if frames.count < 8 { frames.append(Array(bytes.prefix(Int(count)))) }
    } while hasMore
    return frames
  }

  private var hasMore: Bool {
    var more: Int32 = 0
    var count = MemoryLayout<Int32>.size
    zmq_getsockopt(raw, ZMQ_RCVMORE, &more, &count)
    return more != 0
  }
}
