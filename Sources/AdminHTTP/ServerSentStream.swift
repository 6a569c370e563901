internal import CMicroHTTPD

/// Server-sent events to one client (the HTML standard, section 9.2). A client that does not read loses
/// events, never the server memory.
package final class ServerSentStream {
  private let mostUnread: Int
  private let connection: OpaquePointer
  /// Has the library run before the loop sleeps: nothing else tells it.
  private let onWake: () -> Void
  private var unread: [UInt8] = []
  /// The library sleeps until there is something to send.
  private var isSuspended = false
  private var isFinishing = false
  /// The client has gone, or the stream was finished and its last byte taken.
  package private(set) var isOver = false
  /// Events that were left out since the stream began.
  package private(set) var leftOut = 0
  /// Told once, when the stream is over, from the loop.
  package var onEnd: (() -> Void)?

  init(_ connection: OpaquePointer, mostUnread: Int, onWake: @escaping () -> Void) {
    self.onWake = onWake
    self.connection = connection
    self.mostUnread = mostUnread
  }

  /// Whether the client has taken all that was sent before.
  package var isDrained: Bool { unread.isEmpty }

  /// Sends one event. `data` has no line breaks. Nothing after the end.
  ///
  /// - Returns: False when it was left out: too much is unread.
  @discardableResult
  package func send(event: String, data: String) -> Bool {
    if isOver || isFinishing { return false }
    if unread.count > mostUnread {
      leftOut += 1
      return false
    }
    unread += "event: \(event)\ndata: \(data)\n\n".utf8
    wake()
    return true
  }

  /// Ends the stream behind what was sent.
  package func finish() {
    if isOver { return }
    isFinishing = true
    wake()
  }

  private func wake() {
    if !isSuspended { return }
    isSuspended = false
    MHD_resume_connection(connection)
    onWake()
  }

  /// The library can send up to `room` bytes.
  func fill(_ place: UnsafeMutablePointer<CChar>, room: Int) -> Int {
    if unread.isEmpty {
      if isFinishing { return -1 }
      isSuspended = true
      MHD_suspend_connection(connection)
      return 0
    }
    let count = min(room, unread.count)
    unread.withUnsafeBytes {
      UnsafeMutableRawPointer(place).copyMemory(from: $0.baseAddress!, byteCount: count)
    }
    unread.removeFirst(count)
    return count
  }

  /// The connection has ended; it is not to be touched again.
  func end() {
    if isOver { return }
    isOver = true
    isSuspended = false
    unread = []
    let told = onEnd
    onEnd = nil
    told?()
  }
}
