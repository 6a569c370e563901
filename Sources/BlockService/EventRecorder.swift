internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// The events of one pool: encoded as commands are made, kept in a ring, read by subscribers at their own
/// pace. Nobody's pace is anything to the pool: who falls behind the ring is told and let go.
final class EventRecorder: PoolObserver {
  let needs: ChangeLog.Detail = .contents
  unowned let hosted: HostedPool
  /// Drawn anew whenever numbering starts anew; never 0.
  private(set) var epoch: UInt64
  private(set) var ring: EventRing
  private(set) var subscribers: [EventStream] = []
  /// Milliseconds at which somebody was last seen to want it.
  var wantedAt: UInt64

  private unowned let hub: EventHub
  private var encoder = EventEncoder()
  private var header: EventBatchHeader
  /// The header that was written last.
  private var headerBytes = FlatList<UInt8>(minimumCapacity: 256)
  private var filter = EventFilter()
  private var isNew = true
  /// The hub knows: it is not to be asked for at each batch.
  private var isPumpWanted = false

  /// Bytes that wait in the transport for one subscriber; over the transport's high-water mark, so that
  /// it tells when they are sent.
  private static let mostQueuedBytes = 512 << 10
  private static let runBytes = 64 << 10
  private static let prefixBytes = 5

  init(_ hosted: HostedPool, _ hub: EventHub, at milliseconds: UInt64) {
    self.hosted = hosted
    self.hub = hub
    epoch = hub.drawEpoch()
    header = EventBatchHeader(epoch: epoch, pool: hosted.nameBytes)
    wantedAt = milliseconds
    // What was before is no part of it, and counts as the first batch.
    let first: UInt64 = hosted.pool.revision == 0 ? 1 : 2
    ring = EventRing(
      bytes: hub.options.ringBytes, batches: hub.options.ringBatches, first: first)
  }

  // MARK: What happens

  func poolChanged(_ pool: KVPool, _ log: ChangeLog, at milliseconds: UInt64) {
    let revision = pool.revision
    encoder.encode(
      log, of: pool, largest: ring.largestBatch, goingTo: ring.nextPlace,
      behind: Self.prefixBytes + header.mostBytes
    ) { encoder in
      self.append(&encoder, revision, milliseconds)
    }
  }

  func poolReplaced(_ pool: KVPool, at milliseconds: UInt64) {
    // The observing begins with this, too.
    if isNew {
      isNew = false
      return
    }
    epoch = hub.drawEpoch()
    header = EventBatchHeader(epoch: epoch, pool: hosted.nameBytes)
    ring.restart(at: 2)
    for subscriber in subscribers { subscriber.next = ring.next }
    let revision = pool.revision
    encoder.encode(cleared: .loadPool) { encoder in
      self.append(&encoder, revision, milliseconds)
    }
  }

  private func append(
    _ encoder: inout EventEncoder, _ revision: Revision, _ milliseconds: UInt64
  ) {
    writeHeader(ring.next, revision, milliseconds)
    let count = headerBytes.count + encoder.bytes.count
    let headerCount = Self.prefixBytes + headerBytes.count
    let place = ring.append(
      byteCount: Self.prefixBytes + count, headerCount: headerCount, contents: encoder.contents)
    MessageFramer.writePrefix(count, to: place)
    (place + Self.prefixBytes).copyMemory(from: headerBytes.base, byteCount: headerBytes.count)
    (place + headerCount).copyMemory(from: encoder.bytes.base, byteCount: encoder.bytes.count)
    if subscribers.isEmpty || isPumpWanted { return }
    isPumpWanted = true
    hub.wantsPump()
  }

  private func writeHeader(_ number: UInt64, _ revision: Revision, _ milliseconds: UInt64) {
    headerBytes.removeAll()
    let count = header.write(
      sequenceNumber: number, revision: revision, seconds: Double(milliseconds) / 1_000,
      to: headerBytes.extend(by: header.mostBytes))
    headerBytes.removeLast(header.mostBytes - count)
  }

  // MARK: Subscribers

  /// Sends what it has not got at once; where that is nothing, a heartbeat, so that it knows where it
  /// stands.
  func add(_ subscriber: EventStream, at milliseconds: UInt64) {
    subscribers.append(subscriber)
    if subscriber.next < ring.next { return send(to: subscriber) }
    writeHeader(ring.next - 1, hosted.pool.revision, milliseconds)
    sendHeader(to: subscriber)
  }

  func remove(_ subscriber: EventStream) { subscribers.removeAll { $0 === subscriber } }

  /// Why nobody can subscribe from batch `number` on; nil where they can.
  func problem(with number: UInt64, epoch: UInt64) -> String? {
    if epoch != 0 && epoch != self.epoch {
      return "batches are of epoch \(self.epoch) by now: read DumpState, and go on from there"
    }
    if number < ring.first {
      return "batch \(number) is not kept, the oldest one is \(ring.first) of epoch "
        + "\(self.epoch): read DumpState, and go on from there"
    }
    if number > ring.next {
      return "batch \(number) is not there yet, the next one is \(ring.next) of epoch \(self.epoch)"
    }
    return nil
  }

  /// Sends each subscriber what it has not got, as far as its transport takes it.
  func pump() {
    isPumpWanted = false
    var isOver = false
    for subscriber in subscribers {
      send(to: subscriber)
      isOver = isOver || subscriber.isOver
    }
    if isOver { subscribers.removeAll { $0.isOver } }
  }

  /// The same to one.
  func send(to subscriber: EventStream) {
    if subscriber.next < ring.first && !subscriber.isOver {
      let last = ring.first - 1
      return subscriber.finish(
        Status(
          .dataLoss,
          "batches \(subscriber.next) to \(last) were not read in time and are no longer kept: "
            + "read DumpState, and subscribe from there"))
    }
    while !subscriber.isOver, subscriber.next < ring.next,
      subscriber.responses.queuedBytes <= Self.mostQueuedBytes
    {
      let (bytes, batches) = ring.run(
        from: subscriber.next, subscriber.wanted, most: Self.runBytes)
      if batches > 0 {
        subscriber.next += batches
        subscriber.send(bytes)
      } else {
        let place = ring.place(of: subscriber.next)
        filter.filter(
          ring.bytes(of: subscriber.next), headerCount: Int(place.headerCount), subscriber.wanted)
        subscriber.next += 1
        subscriber.send(UnsafeRawBufferPointer(filter.bytes.elements))
      }
    }
  }

  /// Tells those who have all that they have.
  func heartbeat(at milliseconds: UInt64) {
    if subscribers.isEmpty { return }
    writeHeader(ring.next - 1, hosted.pool.revision, milliseconds)
    for subscriber in subscribers where subscriber.next == ring.next && !subscriber.isOver {
      if subscriber.responses.queuedBytes > Self.mostQueuedBytes { continue }
      sendHeader(to: subscriber)
    }
    subscribers.removeAll { $0.isOver }
  }

  private func sendHeader(to subscriber: EventStream) {
    subscriber.responses.send(byteCount: headerBytes.count) {
      $0.copyMemory(from: headerBytes.base, byteCount: headerBytes.count)
    }
  }

  /// The pool is no more.
  func end() {
    pump()
    for subscriber in subscribers where !subscriber.isOver {
      subscriber.finish(Status(.notFound, "pool \"\(hosted.name)\" was deleted"))
    }
    subscribers.removeAll()
  }
}
