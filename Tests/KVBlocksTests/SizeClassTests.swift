import KVBlocks
import Testing

/// Blocks of several sizes in one pool, worked out by hand: 10 blocks of 8 tokens (ids 1 to 10) and 6
/// of 32 (11 to 16) unless said.
@Suite("size classes")
struct SizeClassTests {
  static let two = [
    SizeClass(blockSize: 8, blocks: 10, maxExpectedTokens: 199),
    SizeClass(blockSize: 32, blocks: 6),
  ]

  func bench(
    _ classes: [SizeClass] = two, caches: Bool = false, watermark: Double = 0, host: UInt32 = 0,
    window: UInt32 = 0, geometry: KVGeometry? = nil, batch: UInt32 = 0
  ) -> Bench {
    var configuration = PoolConfiguration(
      blocks: classes.reduce(0) { $0 + $1.blocks }, blockSize: classes[0].blockSize,
      sizeClasses: classes, copyAck: .explicit, cachesPrefixes: caches, watermark: watermark,
      hostBlocks: host, slidingWindow: window, geometry: geometry)
    configuration.admission.lazyFreeBatch = batch
    return Bench(configuration)
  }

  func refusal(_ classes: [SizeClass]) -> SizeClass.Problem? {
    do throws(SizeClass.Problem) {
      _ = try SizeClass.checked(classes)
      return nil
    } catch {
      return error
    }
  }

  func new(_ id: SequenceID, _ tokens: UInt32, expected: UInt32, _ sizeClass: UInt32 = 0)
    -> TestOperation.Kind
  {
    .admit(
      .init(
        id: id, add: .init(id: id, tokens: tokens, expected: expected, sizeClass: sizeClass)))
  }

  // MARK: The rule

  @Test("of two classes without limits the smaller one takes sequences under 200 tokens")
  func defaultRule() throws {
    let classes = try SizeClass.checked([
      SizeClass(blockSize: 8, blocks: 100), SizeClass(blockSize: 32, blocks: 100),
    ])
    #expect(classes.map(\.maxExpectedTokens) == [199, 0])
    let bench = bench(classes)
    #expect(bench.run(new(1, 16)).newBlocks == [1, 2])
    #expect(bench.run(new(2, 16, expected: 199)).newBlocks == [3, 4])
    #expect(bench.run(new(3, 16, expected: 200)).newBlocks == [101])
    #expect(bench.run(new(4, 199)).newBlocks.count == 25)
    #expect(bench.run(new(5, 200)).newBlocks == [102, 103, 104, 105, 106, 107, 108])
    // What it has counts where it is more than what it says.
    #expect(bench.run(new(6, 200, expected: 10)).newBlocks.first == 109)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a class by its number goes before the expected length")
  func explicitClass() {
    let bench = bench()
    #expect(bench.run(new(1, 16, 2)).newBlocks == [11])
    #expect(bench.run(new(2, 40, expected: 5_000, 1)).newBlocks == [1, 2, 3, 4, 5])
    #expect(bench.pool.describe(session: 0, sequence: 1)?.sizeClass == 2)
    #expect(bench.pool.describe(session: 0, sequence: 2)?.sizeClass == 1)
  }

  func new(
    _ id: SequenceID, _ tokens: UInt32, _ sizeClass: UInt32 = 0
  ) -> TestOperation.Kind {
    new(id, tokens, expected: 0, sizeClass)
  }

  @Test("a class that does not exist is refused, with how many there are")
  func unknownClass() {
    let bench = bench()
    let before = bench.pool.stateDigest()
    #expect(
      bench.run(new(1, 16, 3)).refusal
        == Refusal(.invalid, field: .sizeClass, limit: 2, sequence: 1))
    #expect(
      bench.run(.place(1, sizeClass: 3)).refusal == Refusal(.invalid, field: .sizeClass, limit: 2))
    #expect(
      bench.run(.reserve(Reserve(sequence: 1, blocks: 1, sizeClass: 9))).refusal
        == Refusal(.invalid, field: .sizeClass, limit: 2))
    #expect(bench.pool.stateDigest() == before)
    let plain = Bench(blocks: 8)
    #expect(
      plain.run(.place(1, sizeClass: 1)).refusal == Refusal(.invalid, field: .sizeClass, limit: 0))
    #expect(
      plain.run(new(1, 16, 1)).refusal
        == Refusal(.invalid, field: .sizeClass, limit: 0, sequence: 1))
  }

  @Test("classes contradict one another: too many, sizes and limits that do not ascend")
  func contradictions() {
    let eight = SizeClass(blockSize: 8, blocks: 4, maxExpectedTokens: 100)
    #expect(
      refusal([eight, SizeClass(blockSize: 8, blocks: 4)])
        == .init(index: 1, field: .blockSize, limit: 8))
    #expect(refusal([SizeClass(blockSize: 0, blocks: 4)])?.field == .blockSize)
    #expect(refusal([SizeClass(blockSize: 8, blocks: 0)])?.field == .blocks)
    #expect(
      refusal([eight, SizeClass(blockSize: 16, blocks: 4, maxExpectedTokens: 300)])?.field
        == .lastMaxExpectedTokens)
    #expect(
      refusal([
        eight, SizeClass(blockSize: 16, blocks: 4, maxExpectedTokens: 100),
        SizeClass(blockSize: 32, blocks: 4),
      ]) == .init(index: 1, field: .maxExpectedTokens, limit: 100))
    #expect(
      refusal([
        SizeClass(blockSize: 1 << 10, blocks: 1 << 28, maxExpectedTokens: 9),
        SizeClass(blockSize: 1 << 11, blocks: 1),
      ])?.field == .blocks)
    // A promise of a class has 28 bits for its blocks.
    let most = UInt32(1 << 28 - 1)
    #expect(refusal([SizeClass(blockSize: 8, blocks: most)]) == nil)
    #expect(
      refusal([SizeClass(blockSize: 8, blocks: most + 1)])
        == .init(index: 0, field: .blocks, limit: 268_435_455))
    let many = (1...17).map {
      SizeClass(blockSize: $0, blocks: 1, maxExpectedTokens: $0 == 17 ? 0 : $0)
    }
    #expect(refusal(many)?.field == .count)
    #expect(refusal(Array(many[..<15]) + [SizeClass(blockSize: 99, blocks: 1)]) == nil)
  }

  // MARK: Blocks

  @Test("ids run on from class to class, and each class has its own order")
  func ids() {
    let bench = bench()
    #expect(bench.run(.allocate(2)).newBlocks == [1, 2])
    #expect(bench.run(.place(2, sizeClass: 2)).newBlocks == [11, 12])
    // Of one list, the blocks of each class keep their order.
    bench.run(.freeBlocks([2, 12, 1, 11]))
    #expect(bench.queue == [2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 11, 13, 14, 15, 16])
    #expect(bench.run(.place(1, sizeClass: 1)).newBlocks == [2])
    #expect(bench.run(.place(1, sizeClass: 2)).newBlocks == [12])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("an operation that names no class is of the first, whatever those before it looked at")
  func operationsOfAStep() {
    let bench = bench()
    let step = TestCommand(operations: [
      .init(new(1, 40, 2)), .init(.allocate(1)), .init(new(2, 300)), .init(.allocate(11)),
      .init(.place(1, sizeClass: 2)), .init(.reserve(Reserve(sequence: 9, blocks: 9))),
    ])
    let results = bench.apply(step).results
    #expect(results.map(\.newBlocks) == [[11, 12], [1], [], [], [13], []])
    #expect(results.map(\.refusal.sizeClass) == [0, 0, 2, 1, 0, 0])
    #expect(bench.pool.classes().map(\.reserved) == [9, 0])
  }

  @Test("a class that is full is refused by its number, whatever the others have")
  func refusals() {
    let bench = bench()
    bench.run(.place(5, sizeClass: 2))
    var later = Refusal(.later, needed: 2, available: 1, sequence: 1)
    later.sizeClass = 2
    #expect(bench.run(new(1, 50, 2)).refusal == later)
    var never = Refusal(.never, needed: 7, available: 1, sequence: 1)
    never.sizeClass = 2
    #expect(bench.run(new(1, 200)).refusal == never)
    never = Refusal(.never, needed: 11, available: 10)
    never.sizeClass = 1
    #expect(bench.run(.allocate(11)).refusal == never)
    #expect(bench.run(new(1, 80)).refusal == .none)
  }

  @Test("the watermark is a share of each class: int(0.2 x (6 + 1)) = 1 block of the second")
  func watermark() {
    let bench = bench(watermark: 0.2)
    bench.run(new(1, 8))
    // 6 of 6 would leave nothing; 5 leave the one block of the watermark.
    var refused = Refusal(.later, needed: 6, available: 6, watermark: 1, sequence: 2)
    refused.sizeClass = 2
    #expect(bench.run(new(2, 192, 2)).refusal == refused)
    #expect(bench.run(new(2, 160, 2)).newBlocks.count == 5)
  }

  @Test("promises are of a class, that of the sequence where there is one")
  func promises() {
    let bench = bench()
    #expect(bench.run(.reserve(Reserve(sequence: 1, blocks: 4, sizeClass: 2))).refusal == .none)
    var refused = Refusal(.later, needed: 3, available: 6, reserved: 4)
    refused.sizeClass = 2
    #expect(bench.run(.place(3, sizeClass: 2)).refusal == refused)
    #expect(bench.run(.allocate(10)).newBlocks.count == 10)
    bench.run(.add(.init(id: 7, tokens: 250)))
    #expect(
      bench.run(.reserve(Reserve(sequence: 7, blocks: 1, sizeClass: 1))).refusal
        == Refusal(.invalid, field: .sizeClass, limit: 2, sequence: 7, subject: 2))
    #expect(bench.run(.reserve(Reserve(sequence: 7, blocks: 2))).refusal == .none)
    #expect(bench.pool.classes().map(\.reserved) == [0, 6])
    #expect(bench.pool.stats().reserved == 6)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a promise keeps its class where a new one names none, and always becomes smaller")
  func promiseClass() {
    let bench = bench()
    bench.run(.reserve(Reserve(sequence: 1, blocks: 3, sizeClass: 2)))
    bench.run(.allocate(10))
    #expect(bench.run(.reserve(Reserve(sequence: 1, blocks: 2))).refusal == .none)
    #expect(bench.pool.classes().map(\.reserved) == [0, 2])
    var refused = Refusal(.later, needed: 1, available: 0, sequence: 1)
    refused.sizeClass = 1
    #expect(bench.run(.reserve(Reserve(sequence: 1, blocks: 1, sizeClass: 1))).refusal == refused)
    #expect(bench.pool.classes().map(\.reserved) == [0, 2])
    bench.run(.reserve(Reserve(sequence: 1, releases: true)))
    #expect(bench.pool.classes().map(\.reserved) == [0, 0])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a lack of host blocks is that of no class")
  func hostBlocks() {
    let bench = bench(host: 2)
    bench.run(new(1, 24, 1))
    bench.run(new(2, 16, 1))
    #expect(
      bench.run(.swapOut([1])).refusal
        == Refusal(.never, needed: 3, available: 2, sequence: 1))
    #expect(bench.run(.swapOut([2])).refusal == .none)
    bench.run(new(3, 8, 1))
    #expect(
      bench.run(.swapOut([3])).refusal
        == Refusal(.later, needed: 1, available: 0, sequence: 3))
  }

  @Test("a fork is of its parent's class, and copies on write within it")
  func forks() {
    let bench = bench()
    bench.run(new(1, 40, 2))
    bench.run(.fork(1, [2]))
    let extended = bench.run(.extend(Extend(sequence: 2, appendTokens: 1)))
    #expect(extended.copies.map(\.target) == [13])
    #expect(extended.copies.map(\.tokens) == [8])
    #expect(bench.table(2) == [11, 13])
    bench.run(.place(1, sizeClass: 1))
    bench.run(.forkBlocks([1]))
    let copied = bench.run(.copyOnWrite(1, filled: 9))
    #expect(copied.refusal == Refusal(.invalid, field: .filledTokens, limit: 8))
    #expect(bench.run(.copyOnWrite(1)).block == 2)
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("who makes room is of the same class: another one's blocks are of no help")
  func victims() {
    let bench = bench()
    bench.run(new(1, 96, 2))
    bench.run(new(2, 96, 2))
    bench.run(new(3, 8))
    let result = bench.apply(
      TestCommand(
        onRefusal: .preempt,
        operations: [.init(.extend(Extend(sequence: 1, appendTokens: 1)))]))
    #expect(result.results[0].preempted == [2])
    #expect(bench.state(3) == .running)
    let decoded = bench.apply(
      TestCommand(
        onRefusal: .preempt,
        operations: [.init(.decode(.init(ids: [3, 1], append: [80, 1], victims: [1, 3])))]))
    // Eleven blocks of 8 are more than there are, and sequence 1 would not make them.
    #expect(decoded.results[0].preempted == [])
    #expect(decoded.results[0].firstRefusal.reason == .never)
    #expect(decoded.results[0].firstRefusal.sizeClass == 1)
  }

  // MARK: Content

  @Test("blocks of different size never match: the same hash is another content in another class")
  func content() {
    let bench = bench(caches: true)
    let small = TestOperation.New(id: 1, tokens: 16, hashes: [1, 2], sizeClass: 1)
    bench.run(.admit(.init(id: 1, add: small)))
    let large = TestOperation.New(id: 2, tokens: 65, hashes: [1, 2], sizeClass: 2)
    let other = bench.run(.admit(.init(id: 2, add: large)))
    #expect(other.cached == [])
    #expect(other.newBlocks == [11, 12, 13])
    let third = TestOperation.New(id: 3, tokens: 65, hashes: [1, 2], sizeClass: 2)
    let hit = bench.run(.admit(.init(id: 3, add: third)))
    #expect(hit.cached == [11, 12])
    #expect(hit.cachedTokens == 64)
    #expect(bench.run(.acquire([1, 2, 3], 0, sizeClass: 1)).cached == [1, 2])
    #expect(bench.run(.acquire([1, 2, 3], 0, sizeClass: 2)).cached == [11, 12])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("an allocation evicts in its own class")
  func eviction() {
    let bench = bench(caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 64, hashes: [1, 2], sizeClass: 2))))
    bench.run(.free([1]))
    #expect(bench.pool.classes().map(\.cached) == [0, 2])
    #expect(bench.run(.allocate(10)).evicted == 0)
    let taken = bench.run(.place(5, sizeClass: 2))
    #expect(taken.newBlocks == [13, 14, 15, 16, 12])
    #expect(taken.evicted == 1)
  }

  // MARK: With the rest

  @Test("a sequence goes to the host and comes back in blocks of its class")
  func swaps() {
    let bench = bench(host: 8)
    bench.run(new(1, 40, 2))
    bench.run(new(2, 16, 1))
    let out = bench.run(.swapOut([1, 2]))
    #expect(out.copies.count == 4)
    bench.run(.acknowledge([], upTo: 4))
    #expect(bench.pool.classes().map(\.free) == [10, 6])
    let taken = bench.run(.place(4, sizeClass: 2)).newBlocks
    var refused = Refusal(.later, needed: 3, available: 2, sequence: 1)
    refused.sizeClass = 2
    #expect(bench.run(.swapIn([1, 2])).refusal == refused)
    bench.run(.freeBlocks([taken[0]]))
    #expect(bench.run(.swapIn([1, 2])).refusal == .none)
    #expect(bench.table(1).allSatisfy { $0 > 10 })
    #expect(bench.table(2).allSatisfy { $0 <= 10 })
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a window counts in blocks of the sequence's class")
  func window() {
    let bench = bench(window: 16)
    bench.run(new(1, 64, 1))
    bench.run(.extend(Extend(sequence: 1, appendTokens: 1)))
    // 64 - 16 + 1 = 49 tokens are skipped: 6 blocks of 8, 1 of 32.
    #expect(bench.table(1).prefix(7) == [0, 0, 0, 0, 0, 0, 7])
    bench.run(new(2, 64, 2))
    bench.run(.extend(Extend(sequence: 2, appendTokens: 1)))
    // What it gave back is the first to be taken again.
    #expect(bench.table(2) == [0, 12, 11])
  }

  @Test("bytes: a class behind the other, behind a null block as large as the largest")
  func bytes() {
    // 2 x 2 layers x size x 1 head x 4 x 2 bytes = 32 bytes a token.
    let geometry = KVGeometry(layers: 2, kvHeads: 1, headSize: 4, dtypeBytes: 2)
    let configuration = bench(geometry: geometry).pool.configuration
    #expect(configuration.bytesPerBlock == 0)
    #expect(configuration.capacityBytes == 10 * 256 + 6 * 1_024)
    #expect(configuration.bufferBytes == 1_024 + 10 * 256 + 6 * 1_024)
    #expect(configuration.offset(ofClass: 0) == 1_024)
    #expect(configuration.offset(ofClass: 1) == 1_024 + 2_560)
  }

  @Test("each class adds up, and so do its slots")
  func stats() {
    let bench = bench()
    bench.run(new(1, 12))
    bench.run(new(2, 40, 2))
    bench.run(.place(1, sizeClass: 2))
    let classes = bench.pool.layout().classes
    #expect(classes.map(\.active) == [2, 3])
    #expect(classes.map(\.free) == [8, 3])
    #expect(classes.map(\.sequenceSlotsHeld) == [16, 64])
    #expect(classes.map(\.sequenceSlotsUsed) == [12, 40])
    #expect(classes.map(\.rawBlocks) == [0, 1])
    #expect(classes.map(\.firstBlock) == [1, 11])
  }

  @Test("the last block wastes (B - L mod B) mod B slots: 3.5 of 8 and 15.5 of 32 on average")
  func tailWaste() {
    let classes = [
      SizeClass(blockSize: 8, blocks: 100, maxExpectedTokens: 199),
      SizeClass(blockSize: 32, blocks: 100),
    ]
    let bench = bench(classes)
    for length in 1...32 as ClosedRange<UInt32> {
      if length <= 8 { bench.run(new(SequenceID(length), length, 1)) }
      bench.run(new(SequenceID(100 + length), 64 + length, 2))
    }
    let wasted = bench.pool.layout().classes.map { $0.sequenceSlotsHeld - $0.sequenceSlotsUsed }
    // 8 x 3.5 and 32 x 15.5.
    #expect(wasted == [28, 496])
    let exact = self.bench(classes)
    exact.run(new(1, 192))
    exact.run(new(2, 320))
    #expect(exact.pool.layout().classes.map(\.sequenceSlotsHeld) == [192, 320])
    #expect(exact.pool.layout().classes.map(\.sequenceSlotsUsed) == [192, 320])
  }

  @Test("a run lies in one class")
  func runs() {
    let bench = bench()
    // 9, 10 and 11 are adjacent ids of two classes.
    bench.run(.allocate(10))
    bench.run(.place(6, sizeClass: 2))
    bench.run(.freeBlocks([9, 10, 11]))
    #expect(bench.pool.layout().freeRuns == 2)
    #expect(bench.pool.layout().largestFreeRun == 2)
    #expect(bench.run(.place(3, contiguous: true, sizeClass: 1)).refusal.reason == .later)
    #expect(bench.run(.place(2, contiguous: true, sizeClass: 1)).newBlocks == [9, 10])
  }

  @Test("what is undone is undone in every class, and a dump brings the classes back")
  func undoAndDump() {
    let bench = bench(caches: true)
    bench.run(.admit(.init(id: 1, add: .init(id: 1, tokens: 64, hashes: [1, 2], sizeClass: 2))))
    bench.run(.free([1]))
    let before = bench.pool.stateDigest()
    var dry = TestCommand(operations: [
      .init(.place(6, sizeClass: 2)), .init(.allocate(10)),
      .init(.reserve(Reserve(sequence: 5, blocks: 1, sizeClass: 2))),
    ])
    dry.isDryRun = true
    _ = bench.apply(dry)
    #expect(bench.pool.stateDigest() == before)
    #expect(bench.pool.checkInvariants() == nil)
    guard let loaded = reloaded(bench.pool) else { return }
    #expect(loaded.configuration == bench.pool.configuration)
    #expect(loaded.freeQueue() == bench.queue)
    #expect(loaded.classes() == bench.pool.classes())
  }

  @Test("a dump with classes and what they exclude is refused")
  func contradictoryDumps() {
    let good = bench(caches: true).pool.configuration
    #expect(KVBlocksTests.refusal(of: dump(KVPool(good))) == nil)
    var configurations = Array(repeating: good, count: 5)
    configurations[0].admission.threshold = 0.9
    configurations[1].admission.proactiveFreeBlocks = 1
    configurations[2].eviction = .lfu
    configurations[3].budget = KVBudget(bytes: 1 << 20, utilization: 0.9)
    configurations[4].sizeClasses[1].blockSize = 8
    for configuration in configurations {
      #expect(
        KVBlocksTests.refusal(of: dump(KVPool(configuration)))?.detail.contains("size class")
          == true)
    }
  }

  @Test("a policy is not switched in a pool with size classes")
  func policy() {
    let bench = bench(caches: true)
    #expect(
      bench.run(.updatePool(PoolUpdate(eviction: .lfu))).refusal
        == Refusal(.invalid, field: .eviction, limit: 2))
  }
}
