import KVBlocks
import Testing

/// A share of the pool that admissions may fill, over a running sum. Blocks of 16 tokens.
@Suite("Memory-aware admission")
struct ThresholdTests {
  private func bench(
    _ blocks: UInt32, _ threshold: Double, caches: Bool = false, host: UInt32 = 0
  ) -> Bench {
    var configuration = PoolConfiguration(
      blocks: blocks, blockSize: 16, copyAck: .explicit, cachesPrefixes: caches, hostBlocks: host)
    configuration.admission.threshold = threshold
    return Bench(configuration)
  }

  private func later(
    _ needed: UInt32, _ available: UInt32, kept: UInt32, reserved: UInt32 = 0, _ id: SequenceID
  ) -> Refusal {
    Refusal(
      .later, field: .admissionThreshold, needed: needed, available: available,
      reserved: reserved, watermark: kept, sequence: id)
  }

  /// The seed let all ten in, 150 % of the pool.
  @Test("of ten requests of 15 % each, six fill 90 % and the others wait")
  func runningSum() {
    let bench = bench(100, 0.9)
    for id in 1...6 {
      // 15 blocks each, of which one has slots now.
      let seen = bench.run(
        .admit(.init(id: UInt64(id), add: .init(id: UInt64(id), tokens: 240), maxTokensNow: 1)))
      #expect(seen.refusal == .none)
    }
    // 6 are used and 84 owed: 90 of 100, which is not more than the share.
    #expect((bench.pool.stats().active, bench.pool.stats().owed) == (6, 84))
    for id in 7...10 {
      #expect(bench.admit(UInt64(id), 1).refusal == later(1, 94, kept: 94, UInt64(id)))
    }
    // One that goes makes room for one more.
    bench.run(.free([3]))
    #expect(bench.admit(7, 240).refusal == .none)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("strictly more than the share is refused, and a share that is met exactly is not")
  func limits() {
    #expect(AdmissionOptions(threshold: 0.9).limit(of: 10) == 9)
    #expect(AdmissionOptions(threshold: 0.29).limit(of: 100) == 29)
    #expect(AdmissionOptions(threshold: 0.7).limit(of: 10) == 7)
    #expect(AdmissionOptions(threshold: 1).limit(of: 7) == 7)
    #expect(AdmissionOptions(threshold: 0.5).limit(of: 7) == 3)
    #expect(AdmissionOptions().limit(of: 7) == 7)
  }

  @Test("what a strategy rounds up is charged: it is taken as well")
  func rounded() {
    func bench(_ threshold: Double) -> Bench {
      var configuration = PoolConfiguration(
        blocks: 32, blockSize: 16, copyAck: .explicit, strategy: .buddy)
      configuration.admission.threshold = threshold
      return Bench(configuration)
    }
    // 17 blocks would take a run of 32, all of the pool; 0.6 of it are 19.
    #expect(
      bench(0.6).admit(1, 17 * 16).refusal
        == Refusal(
          .never, field: .admissionThreshold, needed: 32, available: 32, watermark: 13, sequence: 1)
    )
    // 8 and then 5, for which 8 are taken; 14 are the most.
    let two = bench(14.0 / 32)
    #expect(two.admit(1, 8 * 16).refusal == .none)
    #expect(two.admit(2, 5 * 16).refusal == later(8, 24, kept: 18, 2))
    #expect(two.admit(2, 4 * 16).refusal == .none)
  }

  @Test("what is appended is owed until it has slots; what runs may grow past the share")
  func growth() {
    let bench = bench(10, 0.5)
    bench.admit(1, 32)
    bench.run(.append(1, 33))
    #expect(bench.pool.stats().owed == 3)
    #expect(bench.admit(2, 1).refusal == later(1, 8, kept: 8, 2))
    bench.run(.extend(Extend(sequence: 1, appendTokens: 32)))
    // 97 tokens: 7 blocks.
    #expect((bench.pool.stats().active, bench.pool.stats().owed) == (7, 0))
    bench.run(.rewind(Rewind(sequence: 1, dropTokens: 65, releasesBlocks: true)))
    #expect(bench.admit(2, 48).refusal == .none)
  }

  @Test("what is preempted, swapped out or freed is owed nothing; a fork owes for itself")
  func states() {
    let bench = bench(20, 1, host: 8)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 64), maxTokensNow: 16)))
    bench.run(.fork(1, [2]))
    #expect(bench.pool.stats().owed == 6)
    bench.run(.preempt([2]))
    #expect(bench.pool.stats().owed == 3)
    bench.run(.swapOut([1]))
    #expect(bench.pool.stats().owed == 0)
    bench.run(.swapIn([1]))
    #expect(bench.pool.stats().owed == 3)
    bench.run(.free([1]))
    #expect(bench.pool.stats().owed == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("promises fill the share too, and an admission within its own has passed")
  func promises() {
    let bench = bench(10, 0.8)
    bench.run(.reserve(Reserve(sequence: 1, blocks: 6)))
    #expect(
      bench.run(.reserve(Reserve(sequence: 2, blocks: 3))).refusal
        == later(3, 10, kept: 2, reserved: 6, 2))
    #expect(bench.admit(2, 33).refusal == later(3, 10, kept: 2, reserved: 6, 2))
    bench.admit(2, 32)
    #expect(bench.admit(1, 96).refusal == .none)
  }

  @Test("what is larger than the share never gets in")
  func never() {
    let bench = bench(10, 0.8)
    #expect(
      bench.admit(1, 129).refusal
        == Refusal(
          .never, field: .admissionThreshold, needed: 9, available: 10, watermark: 2, sequence: 1))
    #expect(
      bench.run(.reserve(Reserve(sequence: 1, blocks: 9))).refusal.reason == .never)
    #expect(bench.admit(1, 128).refusal == .none)
  }

  @Test("hits that others hold cost nothing, those that nobody holds do")
  func hits() {
    let bench = bench(10, 0.5, caches: true)
    let chain: [UInt64] = [11, 12, 13, 14]
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 64, hashes: chain))))
    bench.run(.admit(.init(id: 2, add: .init(id: 2, tokens: 65, hashes: chain))))
    #expect(bench.pool.stats().shared == 4)
    bench.run(.free([1, 2]))
    bench.admit(3, 16)
    let add = TestOperation.New(id: 4, tokens: 65, hashes: chain)
    #expect(
      bench.run(.admit(.init(id: 4, add: add))).refusal
        == Refusal(
          .later, field: .admissionThreshold, needed: 5, available: 9, evictable: 4, watermark: 5,
          sequence: 4))
  }

  @Test("without a threshold nothing is summed up")
  func off() {
    let bench = Bench(blocks: 10)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 160), maxTokensNow: 1)))
    #expect((bench.pool.stats().owed, bench.pool.stats().admissionLimit) == (0, 0))
  }

  @Test("a dry run and a reset leave no debt")
  func undone() {
    let bench = bench(10, 0.9)
    let admit = TestOperation(
      .admit(.init(id: 1, add: .init(id: 1, tokens: 80), maxTokensNow: 1)))
    _ = bench.apply(TestCommand(isDryRun: true, operations: [admit]))
    #expect(bench.pool.stats().owed == 0)
    _ = bench.apply(TestCommand(operations: [admit]))
    #expect(bench.pool.stats().owed == 4)
    bench.pool.reset()
    #expect(bench.pool.stats().owed == 0)
    #expect(bench.pool.checkInvariants() == nil)
  }
}
