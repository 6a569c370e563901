package import BlockService
package import KVBlocks
package import UVLoop

// This module says in vLLM's words what becomes of a pool's content: its messages on its sockets, so
// that what listens to vLLM listens to Quire. It alone sees libzmq and msgpack-c. It never waits for a
// subscriber and never changes a pool.

/// Publishes the events of one pool as vLLM's `ZmqEventPublisher` does: three frames, the topic, the number
/// of the batch from 0 in 8 bytes, big-endian, and the batch in MessagePack.
///
/// Who is slow misses batches, as with vLLM, and sees it by their numbers; the pool waits for nobody. What
/// is missed can be asked for at the replay endpoint for as long as it is kept. A pool that goes, or is
/// loaded anew, is told as `AllBlocksCleared`.
package final class VLLMPublisher: PoolObserver, RegistryFollower {
  package let needs: ChangeLog.Detail = .contents
  /// Where it publishes, and where it is asked: with the ports that the system chose.
  package let endpoint: String
  package let replayEndpoint: String?
  /// The name of the pool.
  package var pool: String { options.pool }
  package private(set) var publishedBatches: UInt64 = 0
  /// Of them those that libzmq did not take for every subscriber, because a queue was full.
  package private(set) var droppedBatches: UInt64 = 0

  private let options: ZMQEventOptions
  private let publisher: ZMQSocket
  private let replays: ReplayServer?
  private let encoder: VLLMEventEncoder
  private let topic: [UInt8]
  /// Only where somebody can ask for them.
  private let kept: KeptBatches?
  private let clock: () -> UInt64
  private var isNew = true

  /// Binds, and follows the pool of that name whenever there is one.
  ///
  /// - Parameter clock: Milliseconds since 1970.
  package init(
    _ options: ZMQEventOptions, _ registry: PoolRegistry, on loop: EventLoop,
    clock: @escaping () -> UInt64
  ) throws(ZMQError) {
    self.options = options
    self.clock = clock
    topic = Array(options.topic.utf8)
    encoder = VLLMEventEncoder(rank: options.rank, form: options.hashes)
    let context = try ZMQContext()
    publisher = try ZMQSocket(
      context, .publisher, bindTo: options.endpoint, highWater: options.highWater)
    publisher.tellsWhenFull(true)
    endpoint = publisher.endpoint
    if let address = options.replayEndpoint {
      let socket = try ZMQSocket(
        context, .router, bindTo: address, highWater: ReplayServer.highWater)
      replayEndpoint = socket.endpoint
      let kept = KeptBatches(bytes: options.replayBytes, batches: options.replayBatches)
      self.kept = kept
      replays = try ReplayServer(socket, kept, topic: topic, on: loop)
    } else {
      kept = nil
      replayEndpoint = nil
      replays = nil
    }
    registry.follow(self)
  }

  // MARK: Pools

  package func poolCame(_ hosted: HostedPool) {
    if hosted.name == options.pool { hosted.observe(self, at: clock()) }
  }

  package func poolWent(_ hosted: HostedPool) {
    if hosted.name != options.pool { return }
    hosted.stopObserving(self)
    publishCleared(at: clock())
  }

  package func poolReplaced(_ pool: KVPool, at milliseconds: UInt64) {
    // The observing begins with this, too.
    if !isNew { publishCleared(at: milliseconds) }
    isNew = false
  }

  package func poolChanged(_ pool: KVPool, _ log: ChangeLog, at milliseconds: UInt64) {
    encoder.encode(
      log, of: pool, seconds: Double(milliseconds) / 1_000,
      largest: kept?.largestBatch ?? EventOptions.largestBatchBytes
    ) { publish($0) }
  }

  private func publishCleared(at milliseconds: UInt64) {
    encoder.encodeCleared(seconds: Double(milliseconds) / 1_000) { publish($0) }
  }

  // MARK: Batches

  private func publish(_ batch: UnsafeRawBufferPointer) {
    let number = publishedBatches
    publishedBatches += 1
    kept?.append(batch)
    topic.withUnsafeBytes { topic in
      withUnsafeBytes(of: number.bigEndian) { number in
        guard publisher.send(topic, number, batch) == .full else { return }
        // Somebody is slow: the others get it all the same.
        droppedBatches += 1
        publisher.tellsWhenFull(false)
        _ = publisher.send(topic, number, batch)
        publisher.tellsWhenFull(true)
      }
    }
  }
}

/// The latest batches, by their numbers.
final class KeptBatches {
  private(set) var ring: EventRing

  init(bytes: Int, batches: Int) { ring = EventRing(bytes: bytes, batches: batches, first: 0) }

  var largestBatch: Int { ring.largestBatch }
  var first: UInt64 { ring.first }
  var next: UInt64 { ring.next }

  func append(_ batch: UnsafeRawBufferPointer) {
    ring.append(byteCount: batch.count, headerCount: 0, contents: [])
      .copyMemory(from: batch.baseAddress.unsafelyUnwrapped, byteCount: batch.count)
  }

  /// Of a batch that is kept. Borrowed, until the next one comes.
  func bytes(of number: UInt64) -> UnsafeRawBufferPointer { ring.bytes(of: number) }
}
