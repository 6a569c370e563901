import KVBlocks
import Testing

/// Dumps come from the network, and anyone can give them the right checksum.
@Suite("a dump that somebody made up takes no memory, no time and no server with it")
struct DumpLimitTests {
  /// A dump, taken apart by its sections.
  private struct Crafted {
    var bytes: [UInt8]

    init(_ pool: KVPool) { bytes = dump(pool) }

    /// The first byte behind the section's name.
    func begin(_ section: String) -> Int {
      let name = Array(section.utf8)
      return (0..<bytes.count).first { bytes[$0...].starts(with: name) }.map { $0 + 4 } ?? 0
    }

    mutating func put(_ words: [UInt32], at offset: Int) {
      for (i, byte) in Self.bytes(words).enumerated() { bytes[offset + i] = byte }
    }

    mutating func insert(_ new: [UInt8], at offset: Int) {
      bytes.insert(contentsOf: new, at: offset)
    }

    static func bytes(_ words: [UInt32]) -> [UInt8] {
      words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    /// What it is refused with, once length and checksum are right.
    var refused: String? {
      var whole = self
      whole.put([UInt32(bytes.count), 0], at: bytes.count - 16)
      return refusal(of: sealed(whole.bytes))?.detail
    }
  }

  @Test("no more places for sequences than a pool has at once, used or not")
  func unusedSlots() {
    let count: UInt32 = 1_048_577
    var crafted = Crafted(KVPool(PoolConfiguration(blocks: 1, blockSize: 16)))
    let begin = crafted.begin("SEQS")
    crafted.put([count, 0], at: begin)
    var slots: [UInt8] = []
    for slot in 0..<count {
      slots += [0] + Crafted.bytes([slot + 1 == count ? .max : slot + 1])
    }
    // Behind the count, the first unused one and the number that came.
    crafted.insert(slots, at: begin + 16)
    #expect(crafted.refused?.hasSuffix("there are too many sequences") == true)
  }

  @Test("4,096 sessions that claim a million sequences each are counted, not trapped on")
  func sessions() {
    let bench = Bench(blocks: 4_096)
    for session in 1...4_096 as ClosedRange<SessionID> { bench.run(.allocate(1), session: session) }
    var crafted = Crafted(bench.pool)
    // Behind the copy ids and the count; the sequences are behind two ids and the raw blocks.
    let begin = crafted.begin("SESS") + 12
    for session in 0..<4_096 { crafted.put([1 << 20], at: begin + 32 * session + 20) }
    #expect(crafted.refused == "sequences are counted wrongly per session")
  }

  @Test("raw holds come by block and session, so that none counts twice")
  func holds() {
    let bench = Bench(blocks: 4)
    bench.run(.allocate(2), session: 1)
    bench.run(.forkBlocks([1, 2]), session: 2)
    bench.run(.forkBlocks([1, 2]), session: 3)
    let original = Crafted(bench.pool)
    let begin = original.begin("HOLD")
    for wrong: [[UInt32]] in [
      [[1, 1, 1 << 31], [2, 0, 1], [1, 2, 1 << 31]],
      [[1, 1, 1], [1, 0, 1]],
      [[1, 0, 1], [1, 0, 1]],
    ] {
      var crafted = original
      for (i, entry) in wrong.enumerated() { crafted.put(entry, at: begin + 4 + 12 * i) }
      #expect(crafted.refused?.hasSuffix("the holds of block 1 come out of order") == true)
    }
    #expect(original.refused == nil)
  }

  @Test("nothing is rounded up where the strategy needs no runs")
  func rounding() {
    let bench = Bench(PoolConfiguration(blocks: 8, blockSize: 16, strategy: .firstFit))
    bench.run(.allocate(2))
    let original = Crafted(bench.pool)
    var crafted = original
    // Behind the length of the run and its references.
    crafted.put([3 << 30 | 1], at: original.begin("BLKS") + 8)
    #expect(crafted.refused?.hasSuffix("block 1 has a holder that does not exist") == true)
    crafted = original
    let begin = original.begin("RUND")
    crafted.put([1], at: begin)
    crafted.insert(Crafted.bytes([1, 2, 1]), at: begin + 4)
    #expect(crafted.refused?.hasSuffix("the strategy rounds nothing up") == true)
  }

  @Test("the rest of a rounded run is nobody's, and no end of a copy")
  func roundingCopied() {
    let bench = Bench(
      PoolConfiguration(blocks: 8, blockSize: 4, copyAck: .explicit, strategy: .buddy))
    bench.run(.allocate(3))
    bench.run(.allocate(1))
    bench.run(.forkBlocks([5]))
    #expect(bench.run(.copyOnWrite(5)).block == 6)
    var crafted = Crafted(bench.pool)
    #expect(crafted.refused == nil)
    // Behind the count of copies, the id and the kind: the source becomes 4, the rest of 1 to 4.
    crafted.put([4], at: crafted.begin("COPY") + 4 + 9)
    // Records of 24 bytes, alike ones together: 1 to 3, 4, 5. The pin goes with the copy.
    crafted.bytes[crafted.begin("BLKS") + 24 + 20] = 1
    crafted.bytes[crafted.begin("BLKS") + 48 + 20] = 0
    #expect(
      crafted.refused?.hasSuffix("block 4 is the rest of a run, and somebody has it") == true)
  }

  @Test("options that a new pool could not have")
  func contradictions() {
    var lazy = PoolConfiguration(blocks: 8, blockSize: 4, strategy: .buddy)
    lazy.admission.lazyFreeBatch = 4
    #expect(
      Crafted(KVPool(lazy)).refused?.hasSuffix("lazyFreeBatch contradicts the rest") == true)
    var proactive = PoolConfiguration(blocks: 8, blockSize: 4)
    proactive.admission.proactiveFreeBlocks = 4
    #expect(
      Crafted(KVPool(proactive)).refused?.hasSuffix("proactiveFreeBlocks contradicts the rest")
        == true)
  }

  /// Says that a key is so long that 100 blocks of it are a gigabyte.
  private final class Costly: TokenHashing {
    let hasher: TestHasher
    init(_ configuration: PoolConfiguration) { hasher = TestHasher(configuration) }
    func hash(_ job: TokenHashJob, into hashes: UnsafeMutablePointer<UInt8>) -> Int {
      hasher.hash(job, into: hashes)
    }
    func keyBytes(
      _ extraKeys: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int, sizeClass: UInt8
    ) -> UInt64 { UInt64(end - start) * 10_000_000 }
    func accepts(extraKeys: UnsafeBufferPointer<UInt8>) -> Bool { true }
  }

  @Test("keys are not hashed with every block for more than 64 times the dump")
  func keys() throws {
    let bench = Bench(
      PoolConfiguration(blocks: 4, blockSize: 1, cachesPrefixes: true, keepsTokens: true))
    bench.run(.add(.init(id: 1, tokens: 100, tokenIDs: Array(1...100), keys: [7])))
    let bytes = dump(bench.pool)
    #expect(refusal(of: bytes) == nil)
    let failure = #expect(throws: StateFailure.self) {
      try bytes.withUnsafeBytes { try KVPool(loading: $0) { Costly($0) } }
    }
    #expect(failure?.detail.hasSuffix("the extra keys of slot 0 are too long") == true)
  }

  @Test("a block is an end of no more copies than a pool allows")
  func copies() {
    let bench = Bench(blocks: 1_100)
    bench.run(.allocate(1))
    bench.run(.forkBlocks(Array(repeating: 1, count: 1_030)))
    var step = TestCommand()
    step.operations = Array(repeating: TestOperation(.copyOnWrite(1)), count: 1_024)
    #expect(bench.apply(step).results[1_023].refusal == .none)
    let original = Crafted(bench.pool)
    #expect(original.refused == nil)
    // One more, as if block 1 had been copied to block 2 once more: it has one pin more then, too.
    var crafted = original
    let begin = original.begin("COPY")
    let copy = Array(original.bytes[begin + 4 + 21 * 1_023..<begin + 4 + 21 * 1_024])
    crafted.put([1_025], at: begin)
    crafted.insert(Crafted.bytes([1_025, 0]) + copy[8...], at: begin + 4 + 21 * 1_024)
    // The last copy id of the one session.
    crafted.put([1_025], at: original.begin("SESS") + 12 + 8)
    // Pins, of block 1 behind its five words, and of the block that the last two copies write to.
    let records = original.begin("BLKS")
    #expect(Array(original.bytes[records + 20..<records + 22]) == [0, 4])
    crafted.bytes[records + 20] = 1
    #expect(crafted.refused == "block 1 is an end of 1025 copies")
  }

  // MARK: Size classes, of 10 blocks of 8 tokens and 6 of 32

  private func classes(caches: Bool = false, host: UInt32 = 0) -> Bench {
    Bench(
      PoolConfiguration(
        blocks: 16, blockSize: 8,
        sizeClasses: [
          SizeClass(blockSize: 8, blocks: 10, maxExpectedTokens: 199),
          SizeClass(blockSize: 32, blocks: 6),
        ], copyAck: .explicit, cachesPrefixes: caches, hostBlocks: host))
  }

  private func new(_ id: SequenceID, _ tokens: UInt32) -> TestOperation.Kind {
    .admit(.init(id: id, add: .init(id: id, tokens: tokens)))
  }

  @Test("content is of the class of its block, and of none where there are none")
  func groups() {
    // Block 1 is a run of its own, whose 24 bytes end with its class and its group.
    let plain = Bench(PoolConfiguration(blocks: 4, blockSize: 8, cachesPrefixes: true))
    for bench in [classes(caches: true), plain] {
      bench.run(.allocate(1))
      bench.run(.cacheBlocks([1], [77]))
      var crafted = Crafted(bench.pool)
      #expect(crafted.refused == nil)
      crafted.bytes[crafted.begin("BLKS") + 23] = 1
      #expect(
        crafted.refused?.hasSuffix("the content of block 1 is of another size class") == true)
    }
  }

  @Test("a block is moved to one of its size, with the tokens that it has room for")
  func moves() {
    let bench = classes()
    bench.run(new(1, 8))
    let move = BlockMove(source: 1, target: 10)
    #expect(bench.run(.applyDefragment(bench.pool.revision, [move])).refusal == .none)
    let original = Crafted(bench.pool)
    #expect(original.refused == nil)
    var crafted = original
    // Behind the count, the id and the kind of the one copy, and its two blocks.
    crafted.put([9], at: original.begin("COPY") + 4 + 9 + 8)
    #expect(crafted.refused?.hasSuffix("9 tokens of block 1 are moved, it has 8") == true)
    // As if block 10 were the first of the second class: 9 and 7 blocks.
    crafted = original
    crafted.put([9], at: original.begin("CLAS") + 1 + 4)
    crafted.put([7], at: original.begin("CLAS") + 1 + 12 + 4)
    // The third run: 1, 2 to 9, 10.
    #expect(crafted.bytes[original.begin("BLKS") + 2 * 24] == 1)
    crafted.bytes[original.begin("BLKS") + 2 * 24 + 22] = 1
    #expect(crafted.refused?.hasSuffix("block 1 is moved to one of another size class") == true)
  }

  @Test("sequences that share a host block are of one class")
  func hostClasses() {
    let bench = classes(host: 4)
    bench.run(new(1, 8))
    bench.run(.fork(1, [2]))
    bench.run(.swapOut([1, 2]))
    bench.run(.acknowledge([], upTo: 1))
    var crafted = Crafted(bench.pool)
    #expect(crafted.refused == nil)
    // The second slot: the first takes 58 bytes, two counts and a block. Its state is before its class.
    let place = crafted.begin("SEQS") + 16 + 58 + 8 + 4 + 1
    #expect(crafted.bytes[place] == 0)
    crafted.bytes[place] = 1
    #expect(
      crafted.refused?.hasSuffix("host block 1 is held by sequences of different size classes")
        == true)
  }
}
