internal import UVLoop

/// Answers those who missed batches, as vLLM's replay socket does: who sends its name, an empty frame and
/// a number in 8 bytes, big-endian, gets all batches from there on that are kept, each as name, empty frame,
/// topic, number and batch, and then one with the number -1 and nothing in it.
///
/// It answers as fast as they read, beside the pool's work: so many bytes in one turn of the loop, of which
/// each has a share. Who asks anew before it has all is answered that alone; who reads nothing for long loses its
/// place, and no end is told.
final class ReplayServer {
  /// Messages that wait for one client in libzmq.
  static let highWater: Int32 = 64

  private struct Replay {
    let client: [UInt8]
    var next: UInt64
    /// Since when its queue takes nothing; nil = it does. Nanoseconds.
    var fullSince: UInt64?
  }

  /// Clients that are answered at one time; what others ask meanwhile waits in libzmq.
  private static let mostClients = 16
  /// For requests that are new, and again for those that are not.
  private static let bytesPerTurn = 512 << 10
  /// Of one client; a batch may be more.
  private static let bytesPerShare = 64 << 10
  private static let retryNanoseconds: UInt64 = 5_000_000
  private static let patienceNanoseconds: UInt64 = 5_000_000_000

  private let socket: ZMQSocket
  private let kept: KeptBatches
  private let topic: [UInt8]
  /// Whose turn is next, first.
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

  /// Reads what is asked and answers as far as there is room.
  private func serve() {
    readRequests()
    var left = Self.bytesPerTurn
    for _ in 0..<replays.count where left > 0 {
      var replay = replays.removeFirst()
      if !answer(&replay, &left) { replays.append(replay) }
    }
    // libzmq's descriptor tells of changes only, and any call of ours may have taken the word: so the last
    // one of all asks whether there is more. Where nobody has room, room is looked for a little later.
    let isReadable = socket.readable
    if replays.isEmpty && !isReadable { return }
    let canGoOn =
      replays.contains { $0.fullSince == nil } || (isReadable && replays.count < Self.mostClients)
    retry?.start(afterNanoseconds: canGoOn ? 0 : Self.retryNanoseconds)
  }

  /// Those that a share is enough for are done with this.
  private func readRequests() {
    var left = Self.bytesPerTurn
    while replays.count < Self.mostClients, left > 0, socket.readable {
      guard let frames = socket.receive() else { return }
      left -= 64
      guard frames.count == 3, frames[1].isEmpty, frames[2].count == 8 else { continue }
      var replay = Replay(
        client: frames[0], next: frames[2].reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
      if let index = replays.firstIndex(where: { $0.client == replay.client }) {
        // Who does not read gains no time by asking.
        replay.fullSince = replays.remove(at: index).fullSince
      }
      if !answer(&replay, &left) { replays.append(replay) }
    }
  }

  /// True when it has all, or is no more, or has not read for too long.
  private func answer(_ replay: inout Replay, _ left: inout Int) -> Bool {
    var share = min(left, Self.bytesPerShare)
    while share > 0 {
      replay.next = max(replay.next, kept.first)
      let isEnd = replay.next >= kept.next
      let batch = isEnd ? .init(start: nil, count: 0) : kept.bytes(of: replay.next)
      switch send(to: replay.client, isEnd ? [] : topic, isEnd ? .max : replay.next, batch) {
      case .sent:
        if isEnd { return true }
        replay.next += 1
        replay.fullSince = nil
        share -= batch.count + 64
        left -= batch.count + 64
      case .full:
        let now = EventLoop.clock
        let since = replay.fullSince ?? now
        replay.fullSince = since
        return now - since >= Self.patienceNanoseconds
      case .gone: return true
      }
    }
    return false
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
