internal import Glibc
internal import Synchronization
internal import UVLoop

/// One end of a connection that sends what it is told, and at most notes what comes.
final class FuzzPeer: ByteStreamHandler {
  private let stream: ByteStream
  private(set) var received: [UInt8] = []
  private(set) var hasEnded = false
  private let readsNothing: Bool

  init(_ stream: ByteStream, readsNothing: Bool = false) {
    self.stream = stream
    self.readsNothing = readsNothing
    stream.handler = self
    if !readsNothing { stream.startReading() }
  }

  /// Changes whenever something has moved.
  var progress: [Int] { [received.count, stream.writeQueueSize, hasEnded ? 1 : 0] }

  func send(_ bytes: [UInt8]) {
    if !bytes.withUnsafeBytes({ stream.write($0) }) { close() }
  }

  func close() {
    hasEnded = true
    stream.close()
  }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) { received.append(contentsOf: bytes) }
  func streamDidEnd(_ error: UVError?) { close() }
  func streamDidDrain() {}
}

private let nextSocket = Atomic<Int>(0)

/// A path for a Unix socket that nobody else uses.
func uniqueSocketPath() -> String {
  let number = nextSocket.add(1, ordering: .relaxed).newValue
  let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
  return "\(folder)/quire-fuzz-\(getpid())-\(number).sock"
}
