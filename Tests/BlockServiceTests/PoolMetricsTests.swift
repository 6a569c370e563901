import Analysis
import BlockMessages
import BlockService
import KVBlocks
@testable import Metrics
import Testing

@Suite("Metrics of pools")
struct PoolMetricsTests {
  private func exposition(_ registry: PoolRegistry, vllm: Bool = false) -> [Substring] {
    var text = MetricsText(.prometheus)
    PoolMetrics(registry, addsVLLMNames: vllm).write(to: &text)
    return String(decoding: text.finished(), as: UTF8.self).split(separator: "\n")
  }

  @discardableResult
  private func apply(_ kind: Operation.Kind, to pool: KVPool) -> [BlockID] {
    let outcome = Outcome()
    guard let result = pool.apply(one: kind, into: outcome) else { return [] }
    return Array(outcome.blocks.elements(result.pointee.newBlocks))
  }

  private func registry(_ blocks: UInt32 = 10) throws -> (PoolRegistry, KVPool) {
    let registry = PoolRegistry()
    #expect(registry.add(name: "a", PoolConfiguration(blocks: blocks, blockSize: 4)) == nil)
    return (registry, try #require(registry.pools.first).pool)
  }

  @Test("blocks are counted by state, and what is used is a share of all")
  func blocks() throws {
    let (registry, pool) = try registry()
    let taken = apply(.allocate(count: 4), to: pool)
    taken[..<1].withUnsafeBufferPointer {
      _ = apply(.forkBlocks($0, generations: .init(start: nil, count: 0)), to: pool)
    }
    let lines = exposition(registry)
    // 4 of 10 taken, one of them with two references.
    for line in [
      "quire_cache_usage_ratio{pool=\"a\"} 0.4",
      "quire_blocks{pool=\"a\",state=\"free\"} 6",
      "quire_blocks{pool=\"a\",state=\"cached\"} 0",
      "quire_blocks{pool=\"a\",state=\"active\"} 3",
      "quire_blocks{pool=\"a\",state=\"shared\"} 1",
      "quire_pool_blocks{pool=\"a\"} 10",
      "quire_block_size_tokens{pool=\"a\"} 4",
      "quire_available_blocks{pool=\"a\"} 6",
      "quire_high_watermark_blocks{pool=\"a\"} 4",
      "quire_block_allocations_total{pool=\"a\"} 4",
      "quire_block_forks_total{pool=\"a\"} 1",
      "quire_commands_total{pool=\"a\"} 2",
    ] { #expect(lines.contains(Substring(line)), "\(line)") }
  }

  @Test("refusals for want of room are counted by what was missing, the others apart")
  func refusals() throws {
    let (registry, pool) = try registry()
    for count in [8, 3, 11] as [UInt32] { apply(.allocate(count: count), to: pool) }
    apply(.append(99, tokens: 1), to: pool)
    let lines = exposition(registry)
    for line in [
      "quire_admission_rejections_total{pool=\"a\",reason=\"no_blocks\"} 1",
      "quire_admission_rejections_total{pool=\"a\",reason=\"never_fits\"} 1",
      "quire_admission_rejections_total{pool=\"a\",reason=\"contiguous_fragmentation\"} 0",
      "quire_invalid_operations_total{pool=\"a\"} 1",
    ] { #expect(lines.contains(Substring(line)), "\(line)") }
  }

  @Test("runs are told as they were sampled last, by powers of two")
  func runs() throws {
    let (registry, pool) = try registry()
    let service = QuireService(pools: registry)
    service.startSampling(intervalMilliseconds: 1_000)
    let metrics = PoolMetrics(registry) { service.analyses }
    func lines() -> [Substring] {
      var text = MetricsText(.prometheus)
      metrics.write(to: &text)
      return String(decoding: text.finished(), as: UTF8.self).split(separator: "\n")
    }
    // Nothing was sampled yet.
    #expect(!lines().contains { $0.hasPrefix("quire_free_runs{") })
    let taken = apply(.allocate(count: 10), to: pool).sorted()
    // 1, 2 and 3 in one run, 5 alone, 7 and 8.
    let freed = [1, 2, 3, 5, 7, 8].map { taken[$0 - 1] }
    freed.withUnsafeBufferPointer {
      _ = apply(.freeBlocks($0, generations: .init(start: nil, count: 0)), to: pool)
    }
    service.analyses?.sample()
    let found = lines()
    for line in [
      "quire_external_fragmentation_ratio{pool=\"a\"} 0.5",
      "quire_internal_fragmentation_ratio{pool=\"a\"} 0",
      "quire_free_run_blocks_max{pool=\"a\"} 3",
      "quire_available_run_blocks_max{pool=\"a\"} 3",
      "quire_free_runs{pool=\"a\",order=\"0\"} 1",
      "quire_free_runs{pool=\"a\",order=\"1\"} 2",
      "quire_free_runs{pool=\"a\",order=\"3\"} 0",
    ] { #expect(found.contains(Substring(line)), "\(line)") }
  }

  @Test("lifetimes are told where they are measured")
  func lifetimes() throws {
    let harness = ServiceHarness(blocks: 1, blockSize: 4)
    let metrics = PoolMetrics(harness.registry)
    func lines() -> [Substring] {
      var text = MetricsText(.prometheus)
      metrics.write(to: &text)
      return String(decoding: text.finished(), as: UTF8.self).split(separator: "\n")
    }
    _ = try harness.allocate(1)
    harness.succeed("BlockPool/Free", .freeBlocks([1]))
    #expect(!lines().contains { $0.hasPrefix("quire_block_lifetime_seconds_count") })
    harness.service.measureLifetimes(every: 1)
    #expect(lines().contains("quire_block_lifetime_seconds_count{pool=\"default\"} 0"))
    harness.clock.now = 1_000
    _ = try harness.allocate(1)
    harness.succeed(
      "BlockPool/CacheBlocks", .cacheBlocks([1], blockHashes: .init(repeating: 1, count: 32)))
    harness.succeed("BlockPool/Free", .freeBlocks([1]))
    harness.clock.now = 4_000
    harness.succeed(
      "BlockPool/Acquire", .acquire(blockHashes: .init(repeating: 1, count: 32)))
    harness.succeed("BlockPool/Free", .freeBlocks([1]))
    harness.clock.now = 13_000
    _ = try harness.allocate(1)
    // Handed out at 1 s, hit at 4 s, evicted at 13 s.
    let found = lines()
    for line in [
      "quire_block_reuse_gap_seconds_sum{pool=\"default\"} 3",
      "quire_block_reuse_gap_seconds_bucket{pool=\"default\",le=\"2.0\"} 0",
      "quire_block_reuse_gap_seconds_bucket{pool=\"default\",le=\"4.0\"} 1",
      "quire_block_idle_before_evict_seconds_sum{pool=\"default\"} 9",
      "quire_block_lifetime_seconds_sum{pool=\"default\"} 12",
      "quire_block_lifetime_seconds_bucket{pool=\"default\",le=\"+Inf\"} 1",
      "quire_block_evictions_unused_total{pool=\"default\"} 0",
    ] { #expect(found.contains(Substring(line)), "\(line)") }
  }

  @Test("vLLM's names are there when they are asked for, and only then")
  func vllm() throws {
    let (registry, pool) = try registry()
    apply(.allocate(count: 5), to: pool)
    #expect(!exposition(registry).contains { $0.contains("vllm:") })
    let lines = exposition(registry, vllm: true)
    for line in [
      "vllm:kv_cache_usage_perc{model_name=\"a\",engine=\"0\"} 0.5",
      "vllm:num_requests_running{model_name=\"a\",engine=\"0\"} 0",
      "vllm:num_preemptions_total{model_name=\"a\",engine=\"0\"} 0",
      "vllm:prefix_cache_queries_total{model_name=\"a\",engine=\"0\"} 0",
      "# TYPE vllm:prefix_cache_hits_total counter",
    ] { #expect(lines.contains(Substring(line)), "\(line)") }
  }
}
