internal import Analysis
internal import KVBlocks

/// What the dashboard shows of pools, as JSON and as bytes. Reads only.
///
/// A look costs a few scans of bitmaps, and a map a byte a block; both are made once for everybody who
/// watches, and not more often than `lookMilliseconds` and `mapMilliseconds` say.
package final class DashboardData {
  /// Between two looks at a pool.
  package static let lookMilliseconds: UInt64 = 500
  /// Sequences of a look: those that hold most, and a few of those that wait.
  static let mostSequences = 30
  static let mostWaiting = 10
  static let mostHistory = 600

  unowned let service: QuireService
  /// Counts of calls by duration, cumulative since the server began; their bounds in seconds.
  private let latency: () -> [UInt64]
  var maps: [String: (made: UInt64, bytes: [UInt8])] = [:]
  private(set) var places = SequencePlaces()
  private var looks: [String: (made: UInt64, text: String)] = [:]

  package init(_ service: QuireService, latency: @escaping () -> [UInt64]) {
    self.service = service
    self.latency = latency
  }

  /// Milliseconds between two maps of a pool: a quarter of a second, and a second and a half for each
  /// million blocks.
  package static func mapMilliseconds(_ blocks: UInt32) -> UInt64 { 250 + UInt64(blocks) / 667 }

  func find(_ name: String) -> HostedPool? {
    service.registry.pools.first { $0.name == name }
  }

  /// Pools by name, with their size.
  package func pools() -> String {
    var json = JSONText()
    json.put(
      "pools",
      objects: service.registry.pools.map { hosted in
        var one = JSONText()
        one.put("name", hosted.name)
        one.put("blocks", hosted.pool.configuration.blocks)
        return one
      })
    return json.finished
  }

  // MARK: Looks

  /// The pool as it is now, or was up to `lookMilliseconds` ago; nil = there is none of that name.
  package func look(_ name: String) -> String? {
    guard let hosted = find(name) else {
      looks[name] = nil
      return nil
    }
    let now = service.clockNow
    // A tenth less: the timer that asks is not exact.
    if let known = looks[name], now < known.made + Self.lookMilliseconds * 9 / 10 {
      return known.text
    }
    let text = makeLook(hosted, at: now)
    looks[name] = (now, text)
    return text
  }

  private func makeLook(_ hosted: HostedPool, at now: UInt64) -> String {
    let pool = hosted.pool
    let tracker = service.tracker(of: hosted)
    let runs = tracker.runs(of: pool)
    let stats = pool.stats()
    let slots = tracker.layout(of: pool, withRuns: false, withSlots: true)
    var json = JSONText()
    json.put("t", now)
    json.put("pool", hosted.name)
    json.put("names", service.registry.pools.map(\.name))
    json.put("sampled", service.analyses != nil)
    json.put("strategy", PoolSize.strategies[Int(pool.configuration.strategy.rawValue) - 1])
    json.put("eviction", pool.configuration.eviction.label)
    json.put("needsRuns", pool.configuration.strategy.needsRuns)
    json.put("blockSize", stats.blockSize)
    json.put("watermark", pool.configuration.watermarkBlocks)
    json.put("mapMs", Self.mapMilliseconds(stats.blocks))
    Self.put(stats, in: &json)
    json.put("ext", runs.free.fragmentation)
    json.put("freeRuns", runs.free.count)
    json.put("largestFree", runs.free.largest)
    json.put("largestAvailable", runs.available.largest)
    json.put("meanFree", runs.free.mean)
    json.put("hist", runs.free.histogram)
    json.put("slotsHeld", slots.sequenceSlotsHeld)
    json.put("slotsUsed", slots.sequenceSlotsUsed)
    json.put("rawBlocks", slots.rawBlocks)
    json.put(
      "emptyBlocks", pool.unusedSlots().parts.reduce(0 as UInt64) { $0 + UInt64($1.emptyBlocks) })
    json.put("lat", latency())
    json.put("sequences", objects: sequences(pool, tracker, at: now))
    return json.finished
  }

  private static func put(_ stats: PoolStats, in json: inout JSONText) {
    json.put("revision", stats.revision)
    json.put("blocks", stats.blocks)
    json.put("free", stats.free)
    json.put("cached", stats.cached)
    json.put("active", stats.active)
    json.put("shared", stats.shared)
    json.put("pinned", stats.pinned)
    json.put("pending", stats.lazyPending)
    json.put("reserved", stats.reserved)
    json.put("high", stats.highWatermark)
    json.put("hostBlocks", stats.hostBlocks)
    json.put("hostFree", stats.hostFree)
    json.put("running", stats.runningSequences)
    json.put("waiting", stats.waitingSequences)
    json.put("preempted", stats.preemptedSequences)
    json.put("swapped", stats.swappedSequences)
    json.put("preemptions", stats.preemptions)
    json.put("evictions", stats.evictions)
    json.put("allocated", stats.allocatedBlocks)
    json.put("freed", stats.freedBlocks)
    json.put("copies", stats.copies)
    json.put("forks", stats.forks)
    json.put("queries", stats.prefixQueryTokens)
    json.put("hits", stats.prefixHitTokens)
    json.put("refusedLater", stats.refusals[Int(Refusal.Reason.later.rawValue)])
    json.put("refusedNever", stats.refusals[Int(Refusal.Reason.never.rawValue)])
    json.put("refusedRun", stats.refusals[Int(Refusal.Reason.noRun.rawValue)])
  }

  private func sequences(
    _ pool: KVPool, _ tracker: FragmentationTracker, at now: UInt64
  ) -> [JSONText] {
    var rows: [JSONText] = RequestBlockAnalyzer(pool, tracker).costliest(Self.mostSequences).map {
      var row = JSONText()
      row.put("id", "\($0.sequence)")
      row.put("session", "\($0.session)")
      row.put("label", String(decoding: $0.label, as: UTF8.self))
      row.put("state", "running")
      row.put("tokens", $0.tokens)
      row.put("blocks", $0.exclusiveBlocks + $0.sharedBlocks)
      row.put("shared", $0.sharedBlocks)
      row.put("runs", $0.runs)
      row.put("unused", $0.unusedSlots)
      row.put("age", $0.admittedMilliseconds.map { Double(now - min(now, $0)) / 1_000 } ?? .nan)
      let view = pool.describe(session: $0.session, sequence: $0.sequence)
      row.put("preemptions", view?.preemptions ?? 0)
      return row
    }
    if pool.stats().runningSequences == sequencesInAll(pool) { return rows }
    // The first that are found: there may be very many.
    var cursor: UInt32 = 0
    var looked = 0
    var found = 0
    while found < Self.mostWaiting, looked < 4_096,
      let (one, next) = pool.nextFootprint(from: cursor)
    {
      cursor = next
      looked += 1
      if one.state == .running { continue }
      found += 1
      var row = JSONText()
      row.put("id", "\(one.sequence)")
      row.put("session", "\(one.session)")
      row.put("label", String(decoding: one.label, as: UTF8.self))
      row.put("state", "\(one.state)")
      row.put("tokens", one.tokens)
      row.put("blocks", one.blocks)
      row.put("shared", 0)
      row.put("runs", 0)
      row.put("unused", 0)
      row.put("age", Double.nan)
      let view = pool.describe(session: one.session, sequence: one.sequence)
      row.put("preemptions", view?.preemptions ?? 0)
      rows.append(row)
    }
    return rows
  }

  private func sequencesInAll(_ pool: KVPool) -> UInt32 {
    let stats = pool.stats()
    return stats.runningSequences + stats.waitingSequences + stats.preemptedSequences
      + stats.swappedSequences
  }

  // MARK: The past

  /// Columns of the pool's history, oldest first; empty where it is not sampled.
  package func history(_ name: String) -> String? {
    guard let hosted = find(name) else { return nil }
    let samples =
      service.analyses?.history(of: hosted)?.samples(most: Self.mostHistory) ?? []
    var json = JSONText()
    json.put("t", samples.map(\.timeMilliseconds))
    json.put("free", samples.map(\.stats.free))
    json.put("cached", samples.map(\.stats.cached))
    json.put("active", samples.map(\.stats.active))
    json.put("shared", samples.map(\.stats.shared))
    json.put("pinned", samples.map(\.stats.pinned))
    json.put("preemptions", samples.map(\.stats.preemptions))
    json.put("refusedRun", samples.map { $0.stats.refusals[Int(Refusal.Reason.noRun.rawValue)] })
    json.put("ext", samples.map(\.externalFragmentation))
    json.put("int", samples.map(\.internalFragmentation))
    return json.finished
  }

  /// Who held most, over time: `[]` each where nobody looked.
  package func owners(_ name: String) -> String? {
    guard let hosted = find(name) else { return nil }
    let series = (service.analyses?.owners(of: hosted) ?? OwnerHistory())
      .series(most: Self.mostHistory, owners: OwnerHistory.mostAtOnce)
    var json = JSONText()
    json.put("t", series.times)
    json.put(
      "owners",
      objects: series.owners.map { owner in
        var one = JSONText()
        one.put("session", "\(owner.session)")
        one.put("label", String(decoding: owner.label, as: UTF8.self))
        one.put("blocks", owner.blocks)
        return one
      })
    return json.finished
  }

  /// The blocks of a sequence, as stretches `first, count` one after the other, as they are now or were up to
  /// `lookMilliseconds` ago; nil = there is none.
  package func sequence(_ name: String, session: UInt64, _ id: UInt64) -> String? {
    guard let hosted = find(name) else { return nil }
    return places.text(
      hosted.pool, session, id, at: service.clockNow,
      milliseconds: Self.lookMilliseconds * 9 / 10)
  }
}
