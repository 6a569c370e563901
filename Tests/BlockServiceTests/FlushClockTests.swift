import BlockService
import KVBlocks
import Testing

@Suite("the server's own flushes")
struct FlushClockTests {
  @Test("leave the clock of a pool to those who call: what they pinned stays pinned")
  func clock() {
    let registry = PoolRegistry()
    var configuration = PoolConfiguration(
      blocks: 8, blockSize: 1, cachesPrefixes: true, pinBudgetBlocks: 4)
    configuration.admission.proactiveFreeBlocks = 7
    registry.add(name: "default", configuration)
    let service = QuireService(pools: registry, clock: { 1_700_000_000_000 })
    let pool = registry.pools[0].pool
    let outcome = Outcome()
    func apply(_ kind: Operation.Kind, now: UInt64) {
      [Operation(kind)].withUnsafeBufferPointer {
        pool.apply(Command(session: 0, operations: $0, now: now), into: outcome)
      }
      #expect(outcome.results[0].refusal == .none)
    }
    let hashes: [UInt8] = (1...4).flatMap { [UInt8](repeating: $0, count: 32) }
    apply(.allocate(count: 4), now: 1_000)
    [BlockID](1...4).withUnsafeBufferPointer { ids in
      hashes.withUnsafeBufferPointer { hashes in
        apply(.cacheBlocks(ids, blockHashes: hashes), now: 1_000)
        apply(.freeBlocks(ids, generations: .init(start: nil, count: 0)), now: 1_000)
        let first = UnsafeBufferPointer(rebasing: hashes[..<32])
        apply(.pin(PinPrefix(blockHashes: first, timeToLive: 60_000)), now: 1_000)
      }
    }
    #expect((pool.stats().pinned, pool.evictionDeficit) == (1, 3))
    service.evictAhead()
    #expect((pool.stats().pinned, pool.evictionDeficit) == (1, 0))
    // A second later, of sixty.
    apply(.allocate(count: 1), now: 2_000)
    #expect(pool.stats().pinned == 1)
    apply(.allocate(count: 1), now: 61_000)
    #expect(pool.stats().pinned == 0)
  }
}
