internal import UVLoop

/// Answers those who missed batches, as vLLM's replay socket does: who sends its name, an empty frame and
/// a number in 8 bytes, big-endian, gets all batches from there on that are kept, each as name, empty frame,
/// topic, number and batch, and then one with the number -1 and nothing in it.
///
/// It answers as fast as they read, beside the pool's work: so many bytes in one turn of the loop.
final class ReplayServer {
  /// Messages that wait for one client in libzmq.
  static let highWater: Int32 = 64

  private struct Replay {
    let client: [UInt8]
    var next: UInt64
  }

  /// Clients that are answered at one time; what others ask meanwhile waits in libzmq.
  private static let mostClients = 16
  private static let bytesPerTurn = 1 << 20
  private static let retryNanoseconds: UInt64 = 5_000_000

  private let socket: ZMQSocket
  private let kept: KeptBatches
  private let topic: [UInt8]
  private var replays: [Replay] = []
  private var watcher: DescriptorWatcher?
  private var retry: LoopTimer?

  init(
    _ socket: ZMQSocket, _ kept: KeptBatches, topic: [UInt8], on loop: EventLoop
  ) throws(ZMQError) {
    self.socket = socket
    self.kept = kept
    self.topic = topic
    do throws(UVError) {
      watcher = try DescriptorWatcher(on: loop, descriptor: socket.descriptor) {
        [unowned self] in serve()
      }
    } catch {
      throw ZMQError(words: "\(error)")
    }
    watcher?.keepsLoopRunning(false)
    retry = LoopTimer(on: loop) { [unowned self] in serve() }
    retry?.keepsLoopRunning(false)
    // What came before the descriptor was watched.
    serve()
  }

  /// Reads what is asked and answers as far as there is room. To be called whenever something may have
  /// come: libzmq's descriptor tells of changes only.
  func serve() {
    var left = Self.bytesPerTurn
    while replays.count < Self.mostClients, socket.readable, left > 0 {
      guard let frames = socket.receive() else { break }
      left -= 64
      guard frames.count == 3, frames[1].isEmpty, frames[2].count == 8 else { continue }
      let start = frames[2].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      replays.append(Replay(client: frames[0], next: start))
    }
    var index = 0
    while index < replays.count {
      if answer(&replays[index], &left) { replays.remove(at: index) } else { index += 1 }
    }
    // A queue that has room again tells by the descriptor, unless a call of ours has taken the word.
    if !replays.isEmpty || (left <= 0 && socket.readable) {
      retry?.start(afterNanoseconds: left <= 0 ? 0 : Self.retryNanoseconds)
    }
  }

  /// True when it has all, or is no more.
  private func answer(_ replay: inout Replay, _ left: inout Int) -> Bool {
    while replay.next < kept.next {
      if left <= 0 { return false }
      replay.next = max(replay.next, kept.first)
      let batch = kept.bytes(of: replay.next)
      switch send(to: replay.client, topic, replay.next, batch) {
      case .sent:
        replay.next += 1
        left -= batch.count + 64
      case .full: return false
      case .gone: return true
      }
    }
    return send(to: replay.client, [], .max, .init(start: nil, count: 0)) != .full
  }

  private func send(
    to client: [UInt8], _ topic: [UInt8], _ number: UInt64, _ batch: UnsafeRawBufferPointer
  ) -> ZMQSocket.Sending {
    client.withUnsafeBytes { client in
      topic.withUnsafeBytes { topic in
        withUnsafeBytes(of: number.bigEndian) { number in
          socket.send(client, .init(start: nil, count: 0), topic, number, batch)
        }
      }
    }
  }
}
