import Analysis
import KVBlocks
import Testing

/// A pool of 8 blocks of 4 tokens that is followed, and commands of one operation.
private final class Followed {
  let pool: KVPool
  let log: ChangeLog
  let outcome = Outcome()
  var now: UInt64 = 0
  var onChange: (ChangeLog, Revision, UInt64) -> Void = { _, _, _ in }

  init(blocks: UInt32 = 8) {
    pool = KVPool(
      PoolConfiguration(blocks: blocks, blockSize: 4, copyAck: .explicit, cachesPrefixes: true),
      secret: MapSecret(1, 2))
    log = pool.attachChangeLog()
  }

  func run(_ kind: KVBlocks.Operation.Kind, session: SessionID = 0) {
    #expect(pool.apply(one: kind, session: session, into: outcome) != nil)
    onChange(log, pool.revision, now)
  }

  func allocate(_ count: UInt32, session: SessionID = 0) {
    run(.allocate(count: count), session: session)
  }

  func free(_ ids: [BlockID], session: SessionID = 0) {
    ids.withUnsafeBufferPointer {
      run(.freeBlocks($0, generations: .init(start: nil, count: 0)), session: session)
    }
  }

  /// Block `ids[i]` gets the hash of 32 bytes `hashes[i]`.
  func cache(_ ids: [BlockID], _ hashes: [UInt8], session: SessionID = 0) {
    ids.withUnsafeBufferPointer { ids in
      bytes(hashes).withUnsafeBufferPointer {
        run(.cacheBlocks(ids, blockHashes: $0), session: session)
      }
    }
  }

  func acquire(_ hashes: [UInt8], session: SessionID = 0) {
    bytes(hashes).withUnsafeBufferPointer {
      run(.acquire(blockHashes: $0, count: 0), session: session)
    }
  }

  private func bytes(_ hashes: [UInt8]) -> [UInt8] {
    hashes.flatMap { [UInt8](repeating: $0, count: 32) }
  }
}

private func hash(_ byte: UInt8) -> BlockHash {
  let word = UInt64(byte) &* 0x0101_0101_0101_0101
  return BlockHash(word, word, word, word)
}

@Suite("incidents of blocks")
struct BlockIncidentsTests {
  private func lines(_ incidents: BlockIncidents, _ block: BlockID) -> [String] {
    incidents.incidents(of: block).map {
      "\($0.revision)@\($0.milliseconds) \($0.kind)"
        + ($0.cause == .none ? "" : ".\($0.cause)") + " \($0.owner.session)"
        + ($0.isTarget ? " target" : "")
    }
  }

  @Test("tell the life of a block: taken, cached, given back, hit, evicted for another")
  func life() {
    let followed = Followed(blocks: 2)
    let incidents = BlockIncidents()
    followed.onChange = { incidents.note($0, at: $1, $2) }
    followed.now = 10
    followed.allocate(1, session: 7)
    followed.cache([1], [5], session: 7)
    followed.now = 20
    followed.free([1], session: 7)
    followed.acquire([5], session: 8)
    followed.free([1], session: 8)
    followed.now = 30
    followed.allocate(2, session: 9)
    #expect(
      lines(incidents, 1) == [
        "1@10 handedOut 7", "2@10 stored 7", "3@20 released.free 7", "4@20 hit 8",
        "5@20 released.free 8", "6@30 evicted.handOut 9", "6@30 handedOut 9",
      ])
    #expect(lines(incidents, 2) == ["6@30 handedOut 9"])
    #expect(incidents.incidents(of: 1, limit: 2).map(\.kind) == [.evicted, .handedOut])
    #expect(incidents.incidents(of: 1, on: .host) == [])
  }

  @Test(
    "a reset of the pool happens to every block, and the past goes when another pool is followed")
  func cleared() {
    let followed = Followed()
    let incidents = BlockIncidents()
    followed.onChange = { incidents.note($0, at: $1, $2) }
    followed.allocate(1)
    followed.pool.reset()
    incidents.note(followed.log, at: followed.pool.revision, 3)
    #expect(lines(incidents, 1) == ["1@0 handedOut 0", "2@3 cleared.pool 0"])
    #expect(lines(incidents, 8) == ["2@3 cleared.pool 0"])
    incidents.forget()
    #expect(lines(incidents, 1) == [])
  }

  @Test("copies on write tell source and target apart")
  func copies() {
    let followed = Followed()
    let incidents = BlockIncidents()
    followed.onChange = { incidents.note($0, at: $1, $2) }
    followed.allocate(1)
    [BlockID(1)].withUnsafeBufferPointer {
      followed.run(.forkBlocks($0, generations: .init(start: nil, count: 0)))
    }
    followed.run(.copyOnWrite(1, filledTokens: 3))
    let target = followed.outcome.results[0].block
    #expect(incidents.incidents(of: 1).contains { $0.kind == .copied && !$0.isTarget })
    #expect(incidents.incidents(of: target).contains { $0.kind == .copied && $0.isTarget })
  }

  @Test("the newest push the oldest out, of whole entries and of single ids")
  func rings() {
    let followed = Followed()
    // Each command is one entry of 3 ids; 4 entries and 8 ids are kept.
    let incidents = BlockIncidents(notes: 4, ids: 8)
    followed.onChange = { incidents.note($0, at: $1, $2) }
    followed.allocate(3)  // 1: blocks 1, 2, 3
    followed.free([1, 2, 3])  // 2
    followed.allocate(3)  // 3: the same again, for what has no content goes first
    // Of 9 ids the first is gone: block 1 of revision 1.
    #expect(lines(incidents, 1) == ["2@0 released.free 0", "3@0 handedOut 0"])
    #expect(
      lines(incidents, 2) == ["1@0 handedOut 0", "2@0 released.free 0", "3@0 handedOut 0"])
    for _ in 0..<4 {
      followed.allocate(1)
      followed.free([4])
    }
    #expect(lines(incidents, 2) == [])
    #expect(lines(incidents, 4).count == 4)
  }
}

@Suite("evicted contents")
struct EvictedContentsTests {
  @Test("are known with revision, time and for whom, until they are pushed out")
  func known() throws {
    let followed = Followed(blocks: 2)
    let evicted = EvictedContents(capacity: 2, secret: MapSecret(3, 4))
    followed.onChange = { evicted.note($0, at: $1, $2) }
    func fill(_ hashes: [UInt8]) {
      followed.allocate(2, session: UInt64(hashes[0]))
      followed.cache([1, 2], hashes, session: UInt64(hashes[0]))
      followed.free([1, 2], session: UInt64(hashes[0]))
    }
    fill([5, 6])  // Revisions 1, 2, 3.
    #expect(evicted.last(of: hash(5)) == nil)
    followed.now = 40
    followed.allocate(1, session: 9)  // Revision 4 takes block 1.
    let first = try #require(evicted.last(of: hash(5)))
    #expect(first.block == 1)
    #expect(evicted.last(of: hash(6)) == nil)
    #expect(first.revision == 4)
    #expect(first.milliseconds == 40)
    #expect(first.cause == .handOut)
    #expect(first.owner == BlockOwner(.raw, session: 9))
    #expect(evicted.count == 1)
    #expect(evicted.forgotten == 0)
    followed.free([1], session: 9)
    fill([7, 8])
    followed.allocate(2)
    // 5 and 6 were the first two of four, and two are kept.
    #expect(evicted.count == 4)
    #expect(evicted.forgotten == 2)
    #expect(evicted.last(of: hash(5)) == nil)
    #expect(evicted.last(of: hash(6)) == nil)
    #expect(evicted.last(of: hash(7))?.cause == .handOut)
    #expect(evicted.last(of: hash(8)) != nil)
  }

  @Test("are none of them while another block has the same")
  func twins() {
    let followed = Followed(blocks: 2)
    let evicted = EvictedContents(secret: MapSecret(3, 4))
    followed.onChange = { evicted.note($0, at: $1, $2) }
    followed.allocate(2)
    followed.cache([1], [5])
    followed.cache([2], [5])
    followed.free([1])
    followed.allocate(1)
    #expect(evicted.count == 0)
    followed.free([2])
    followed.allocate(1)
    #expect(evicted.last(of: hash(5))?.block == 2)
  }

  @Test("are forgotten when the pool begins anew, which is known")
  func cleared() {
    let followed = Followed(blocks: 1)
    let evicted = EvictedContents(secret: MapSecret(3, 4))
    followed.onChange = { evicted.note($0, at: $1, $2) }
    followed.allocate(1)
    followed.cache([1], [5])
    followed.free([1])
    followed.allocate(1)
    #expect(evicted.last(of: hash(5))?.revision == 4)
    followed.pool.reset()
    evicted.note(followed.log, at: followed.pool.revision, 0)
    #expect(evicted.last(of: hash(5)) == nil)
    #expect(evicted.clearedAt == 5)
  }
}

@Suite("lifetimes of blocks")
struct BlockLifetimesTests {
  private func followed(
    blocks: UInt32, every: UInt32 = 1
  ) -> (Followed, BlockLifetimes) {
    let followed = Followed(blocks: blocks)
    let lifetimes = BlockLifetimes(blocks: blocks, every: every, seed: 42)
    followed.onChange = { log, _, now in lifetimes.note(log, now) }
    return (followed, lifetimes)
  }

  /// The bins that have any, as bound and count.
  private func bins(_ histogram: DurationHistogram) -> [Double: UInt64] {
    var bins: [Double: UInt64] = [:]
    for (i, count) in histogram.counts.enumerated() where count > 0 {
      bins[i < DurationHistogram.bounds.count ? DurationHistogram.bounds[i] : .infinity] = count
    }
    return bins
  }

  @Test("run from one hand-out to the next or to the eviction, idle times from the last hit")
  func one() {
    let (followed, lifetimes) = followed(blocks: 1)
    followed.now = 1_000
    followed.allocate(1)
    followed.cache([1], [5])
    followed.free([1])
    followed.now = 4_000
    followed.acquire([5])  // A gap of 3 s.
    followed.free([1])
    followed.now = 12_000
    followed.acquire([5])  // A gap of 8 s.
    followed.free([1])
    followed.now = 101_000
    followed.allocate(1)  // 100 s old, 89 s idle.
    #expect(bins(lifetimes.reuseGaps) == [4: 1, 8: 1])
    #expect(lifetimes.reuseGaps.mean == 5.5)
    #expect(bins(lifetimes.idleBeforeEvict) == [128: 1])
    #expect(bins(lifetimes.lifetimes) == [128: 1])
    #expect(lifetimes.lifetimes.sum == 100_000)
    #expect((lifetimes.evicted, lifetimes.evictedUnused) == (1, 0))
    // Without content a life ends with the next hand-out, and nothing was idle.
    followed.free([1])
    followed.now = 102_000
    followed.allocate(1)
    #expect(bins(lifetimes.lifetimes) == [1: 1, 128: 1])
    #expect(lifetimes.idleBeforeEvict.count == 1)
  }

  @Test("evictions of what nobody ever hit are counted of all blocks, sampled or not")
  func unused() {
    let (followed, lifetimes) = followed(blocks: 2, every: 0)
    followed.allocate(2)
    followed.cache([1, 2], [5, 6])
    followed.acquire([5])
    followed.free([1, 1, 2])
    followed.allocate(2)
    #expect((lifetimes.evicted, lifetimes.evictedUnused) == (2, 1))
    #expect(lifetimes.lifetimes.count == 0)
  }

  @Test(
    "of a thousand hand-outs one in ten is sampled, give or take, and the same by the same seed")
  func share() {
    func sampled(seed: UInt64) -> UInt64 {
      let followed = Followed(blocks: 1)
      let lifetimes = BlockLifetimes(blocks: 1, every: 10, seed: seed)
      followed.onChange = { log, _, now in lifetimes.note(log, now) }
      for _ in 0..<1_000 {
        followed.allocate(1)
        followed.free([1])
      }
      return lifetimes.lifetimes.count
    }
    #expect((80...120).contains(sampled(seed: 42)))
    #expect(sampled(seed: 42) == sampled(seed: 42))
  }

  @Test("a reset of the pool ends them without counting them")
  func reset() {
    let (followed, lifetimes) = followed(blocks: 2)
    followed.allocate(2)
    followed.pool.reset()
    lifetimes.note(followed.log, 5)
    followed.now = 9_000
    followed.allocate(2)
    #expect(lifetimes.lifetimes.count == 0)
    followed.free([1, 2])
    followed.now = 11_000
    followed.allocate(2)
    #expect(bins(lifetimes.lifetimes) == [2: 2])
  }
}

@Suite("histograms of durations")
struct DurationHistogramTests {
  @Test("have powers of two of a second as inclusive bounds, and a bin for what is longer")
  func bounds() {
    var histogram = DurationHistogram()
    for milliseconds: UInt64 in [0, 1_000, 1_001, 2_000, 4_096_000, 4_096_001, 999_999_999] {
      histogram.add(milliseconds: milliseconds)
    }
    #expect(histogram.counts == [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2])
    #expect(histogram.count == 7)
  }

  @Test("name the bound under which a share of all lies")
  func quantiles() {
    var histogram = DurationHistogram()
    #expect(histogram.quantileBound(0.5) == 0)
    for seconds: UInt64 in [1, 1, 1, 3, 9_000] { histogram.add(milliseconds: seconds * 1_000) }
    #expect(histogram.quantileBound(0.5) == 1)
    #expect(histogram.quantileBound(0.61) == 4)
    #expect(histogram.quantileBound(0.8) == 4)
    #expect(histogram.quantileBound(1) == .infinity)
  }
}
