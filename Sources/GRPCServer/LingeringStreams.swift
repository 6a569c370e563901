import UVLoop

/// Sockets of clients that were cut off for a flood. They have been told why; they are not read any more,
/// and are closed a while later.
///
/// A client that is closed at once comes back at once, and every new connection may begin with a burst. One
/// that goes on sending into a socket that nobody reads has to wait. The connection itself is gone: what is
/// kept is a descriptor, what the kernel buffers and the little that our own queue may hold.
final class LingeringStreams {
  /// Above it the eldest go early.
  static let most = 256
  /// A socket with more of ours to write is closed at once: it does not read, and its memory would be in
  /// no budget.
  static let mostQueuedBytes = 64 << 10

  /// Before the queue, which must outlive it.
  private lazy var deadline = Deadline { [unowned self] in closeSome() }
  private let deadlines: DeadlineQueue
  private var streams: [(stream: ByteStream, closesAt: UInt64)] = []

  init(_ deadlines: DeadlineQueue) { self.deadlines = deadlines }

  func add(_ stream: ByteStream, until time: UInt64) {
    stream.handler = nil
    stream.stopReading()
    streams.append((stream, time))
    if streams.count > LingeringStreams.most { streams.removeFirst().stream.close() }
    deadlines.set(deadline, at: streams[0].closesAt)
  }

  func closeAll() {
    for (stream, _) in streams { stream.close() }
    streams = []
    deadlines.clear(deadline)
  }

  private func closeSome() {
    let now = EventLoop.clock
    while let first = streams.first, first.closesAt <= now { streams.removeFirst().stream.close() }
    if let first = streams.first { deadlines.set(deadline, at: first.closesAt) }
  }
}
