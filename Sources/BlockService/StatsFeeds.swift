internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// Everybody who watches the stats of a pool: those who want the same parts at the same interval have a
/// feed together, which packs a message once for all of them.
///
/// A feed ticks at multiples of its interval, so that all of it tick at once, whenever they came. Where
/// a tick takes long, the next is put off until the ticks take no more than their share of the time.
final class StatsFeeds {
  struct Key: Hashable {
    var pool: ObjectIdentifier
    var interval: UInt64
    var includesRuns: Bool
    var includesSlots: Bool
  }

  private final class Feed {
    let hosted: HostedPool
    var watchers: [StatsWatch] = []
    /// Milliseconds of the service's clock.
    var due: UInt64

    init(_ hosted: HostedPool, due: UInt64) {
      self.hosted = hosted
      self.due = due
    }
  }

  private var feeds: [Key: Feed] = [:]

  /// Milliseconds at which the next tick is due; nil = nobody watches. O(feeds).
  var nextDue: UInt64? { feeds.values.map(\.due).min() }

  func add(_ watch: StatsWatch, to key: Key, of hosted: HostedPool, now: UInt64) {
    let feed = feeds[key] ?? Feed(hosted, due: (now / key.interval + 1) * key.interval)
    feeds[key] = feed
    feed.watchers.append(watch)
  }

  func remove(_ watch: StatsWatch, from key: Key) {
    guard let feed = feeds[key] else { return }
    feed.watchers.removeAll { $0 === watch }
    if feed.watchers.isEmpty { feeds[key] = nil }
  }

  func tick(_ service: QuireService, now: UInt64) {
    for (key, feed) in feeds where feed.due <= now {
      guard service.registry.pools.contains(where: { $0 === feed.hosted }) else {
        feeds[key] = nil
        for watch in feed.watchers { watch.end(Self.gone(feed.hosted)) }
        continue
      }
      let begin = service.nanoseconds()
      let ready = feed.watchers.filter(\.isReady)
      if !ready.isEmpty {
        service.packStats(
          of: feed.hosted, withRuns: key.includesRuns, withSlots: key.includesSlots)
        for watch in ready { watch.send(service.packer) }
      }
      let cost = service.nanoseconds() &- begin
      let idle = Double(cost) / 1e6 * max(0, 100 / service.sampleBudgetPercent - 1)
      let earliest = now + UInt64(min(idle, 1e12))
      feed.due = (earliest / key.interval + 1) * key.interval
    }
  }

  private static func gone(_ hosted: HostedPool) -> Status {
    CallFailure.pool(
      .notFound, .invalid, "call.pool", "the pool \"\(hosted.name)\" was deleted"
    ).status
  }
}

/// One call of `Analyzer.WatchStats`.
final class StatsWatch: RequestStream {
  private let service: QuireService
  private let responses: any ResponseStream
  private var key: StatsFeeds.Key?

  /// Milliseconds: shorter ones would be all that the server does, and longer ones are no watching.
  static let intervals: ClosedRange<UInt32> = 10...3_600_000

  init(_ service: QuireService, _ responses: any ResponseStream) {
    self.service = service
    self.responses = responses
  }

  func received(_ message: UnsafeRawBufferPointer) {
    do throws(CallFailure) {
      let request = try service.decode(WatchStatsRequest.self, message)
      let hosted = try service.readPool(request.call)
      let interval = request.intervalMilliseconds == 0 ? 1_000 : request.intervalMilliseconds
      guard Self.intervals.contains(interval) else {
        throw .invalid(
          "interval_ms",
          "must be 0 or \(Self.intervals.lowerBound) to \(Self.intervals.upperBound)")
      }
      let key = StatsFeeds.Key(
        pool: ObjectIdentifier(hosted), interval: UInt64(interval),
        includesRuns: request.includesRuns, includesSlots: request.includesSlots)
      self.key = key
      service.packStats(of: hosted, withRuns: key.includesRuns, withSlots: key.includesSlots)
      send(service.packer)
      service.watch(self, key, hosted)
    } catch {
      responses.finish(error.status)
    }
  }

  /// Whether the client has taken what it was sent before.
  var isReady: Bool { responses.queuedBytes == 0 }

  func send(_ packer: borrowing MessagePacker) {
    let bytes = packer.bytes
    responses.send(byteCount: bytes.count) {
      $0.copyMemory(from: bytes.baseAddress ?? UnsafeRawPointer($0), byteCount: bytes.count)
    }
  }

  func end(_ status: Status) {
    key = nil
    responses.finish(status)
  }

  func halfClosed() {}
  func drained() {}
  func cancelled(_ status: Status) {
    if let key { service.feeds.remove(self, from: key) }
    key = nil
  }
  /// A server that stops does not wait for it.
  var isIdle: Bool { true }
}

extension QuireService {
  func watch(_ watch: StatsWatch, _ key: StatsFeeds.Key, _ hosted: HostedPool) {
    feeds.add(watch, to: key, of: hosted, now: clockNow)
    askForTick()
  }

  /// To be called at the time that `onWatch` named, and not within a call.
  package func tickWatches() {
    feeds.tick(self, now: clockNow)
    askForTick()
  }

  private func askForTick() {
    guard let due = feeds.nextDue else { return }
    let now = clockNow
    onWatch?(due > now ? due - now : 0)
  }
}
