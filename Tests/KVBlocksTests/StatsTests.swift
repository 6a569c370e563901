import KVBlocks
import Testing

/// Every field of the stats, found by reflection, so that a new one cannot be forgotten.
@Suite("what a pool counts")
struct StatsTests {
  /// A pool that has everything that goes together, and one whose allocations are rounded up.
  private static let configurations: [PoolConfiguration] = {
    var all = PoolConfiguration(
      blocks: 44, blockSize: 4, copyAck: .explicit, cachesPrefixes: true, eviction: .lfu,
      hostBlocks: 24, zeroesOnFree: true, pinBudgetBlocks: 12)
    all.admission = AdmissionOptions(threshold: 0.9, lazyFreeBatch: 8, proactiveFreeBlocks: 9)
    let rounded = PoolConfiguration(
      blocks: 48, blockSize: 4, copyAck: .explicit, cachesPrefixes: false, strategy: .buddy)
    return [all, rounded]
  }()

  /// A random walk through a pool, looked at after every tenth command.
  private func walk(_ configuration: PoolConfiguration, _ look: (KVPool) -> Void) -> KVPool {
    let pool = KVPool(configuration, hasher: TestHasher(configuration))
    var model = Model(configuration)
    let blocks = configuration.blocks
    var walk = Walk(seed: 161, blocks: blocks, size: 4, caches: configuration.cachesPrefixes)
    walk.pins = configuration.cachesPrefixes
    walk.swaps = configuration.hostBlocks > 0
    walk.admission = true
    walk.lazies = configuration.admission.lazyFreeBatch > 0
    walk.flushes = walk.lazies
    walk.moves = configuration.cachesPrefixes
    let outcome = Outcome()
    for step in 0..<2_000 {
      let command = walk.command(model)
      pool.apply(command, into: outcome)
      _ = model.apply(command)
      if step % 10 == 9 { look(pool) }
    }
    return pool
  }

  /// The fields that say anything but 0.
  private func told(_ stats: PoolStats) -> Set<String> {
    let fields = Mirror(reflecting: stats).children.filter { field in
      !"\(field.value)".allSatisfy { "0[], ".contains($0) }
    }
    return Set(fields.compactMap(\.label))
  }

  private func different(_ a: PoolStats, _ b: PoolStats) -> [String] {
    zip(Mirror(reflecting: a).children, Mirror(reflecting: b).children).compactMap {
      "\($0.value)" == "\($1.value)" ? nil : "\($0.label ?? ""): \($1.value), not \($0.value)"
    }
  }

  @Test("survives a dump, field by field, and each field was met with something in it")
  func survivesDumps() throws {
    var met: Set<String> = []
    func look(_ pool: KVPool) {
      let stats = pool.stats()
      met.formUnion(told(stats))
      do throws(StateFailure) {
        let loaded = try load(dump(pool))
        #expect(different(stats, loaded.stats()) == [])
      } catch {
        Issue.record("\(error)")
      }
    }
    for configuration in Self.configurations { _ = walk(configuration, look) }
    // Rare in a walk: two sequences leave the device together that share their blocks.
    let shared = Bench(
      PoolConfiguration(blocks: 8, blockSize: 4, copyAck: .explicit, hostBlocks: 4))
    shared.admit(1, 8)
    shared.run(.fork(1, [2]))
    shared.run(.swapOut([1, 2]))
    #expect(shared.pool.stats().hostShared == 2)
    look(shared.pool)
    let all = Set(Mirror(reflecting: PoolStats()).children.compactMap(\.label))
    #expect(all.subtracting(met) == [])
    #expect(all.count > 40)
  }

  @Test("is 0 after a reset, but for what the pool is made of")
  func reset() {
    for configuration in Self.configurations {
      let pool = walk(configuration) { _ in }
      pool.reset()
      let made: Set = [
        "revision", "blocks", "blockSize", "free", "hostBlocks", "hostFree", "admissionLimit",
      ]
      #expect(told(pool.stats()).subtracting(made) == [])
    }
  }
}
