import KVBlocks
import Testing

extension ModelTests {
  /// A log that never had an entry of a kind proves nothing of it.
  func checkEntries(_ mirror: ChangeMirror, _ setup: Setup, pins: Bool) {
    var kinds: [ChangeLog.Kind] = [.handedOut, .shared, .released, .sequenceForked, .unpinned]
    var causes: [ChangeLog.Cause] = [.free, .preemption, .acknowledgement]
    if setup.caches {
      kinds += [.evicted, .hit, .stored]
      causes.append(.request)
    }
    if !setup.strategy.reservesAtAdmission {
      kinds += setup.moves ? [.copied, .moveOrdered, .moved] : [.copied]
      causes.append(.copy)
    }
    if pins && setup.caches {
      kinds.append(.pinned)
      causes.append(.prefix)
    }
    if setup.host > 0 { causes += [.swapOut, .swapIn] }
    if setup.window > 0 && setup.window < 100 { causes.append(.window) }
    if setup.strategy == .buddy { causes.append(.rounding) }
    if setup.options.lazyFreeBatch > 0 { kinds += [.lazilyFreed, .flushed] }
    if setup.options.proactiveFreeBlocks > 0 { causes.append(.ahead) }
    for kind in kinds {
      #expect(mirror.kinds[kind, default: 0] > 0, "seed \(setup.seed) never logged \(kind)")
    }
    for cause in causes {
      #expect(mirror.causes[cause, default: 0] > 0, "seed \(setup.seed) never logged \(cause)")
    }
  }

  /// Where a walk ends everything is given back, and the cache and the pool are reset: walks meet that
  /// too rarely.
  func checkEnd(_ pool: KVPool, _ model: Model, _ mirror: inout ChangeMirror, _ log: ChangeLog) {
    let bench = Bench(pool)
    for session in Walk.sessions {
      let copies = model.state.copies.filter { $0.session == session }.map(\.id)
      let sequences = model.state.sequences.keys.filter { $0.session == session }.map(\.id)
      let raw = (model.state.raw[session] ?? [:]).flatMap {
        Array(repeating: $0.key, count: $0.value)
      }
      let steps: [TestOperation.Kind] = [
        .acknowledge(copies.sorted()), .freeBlocks(raw.sorted()), .free(sequences.sorted()),
      ]
      for kind in steps {
        let before = pool.revision
        bench.run(kind, session: session)
        #expect(mirror.follow(log, pool, changed: pool.revision != before) == nil)
      }
    }
    #expect(pool.hasHeldBlocks == (pool.stats().pinned > 0))
    let before = pool.revision
    bench.run(.resetPrefixCache)
    #expect(mirror.follow(log, pool, changed: pool.revision != before) == nil)
    bench.run(.allocate(2))
    #expect(mirror.follow(log, pool, changed: true) == nil)
    pool.reset()
    #expect(mirror.follow(log, pool, changed: true) == nil)
  }
}
