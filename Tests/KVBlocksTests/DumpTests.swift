import KVBlocks
import Testing
import TestSupport

/// A dump is the whole pool, and nothing else is one.
@Suite("a pool comes out of its dump as it was")
struct DumpTests {
  /// Sequences that run, wait, were preempted and swapped out, raw holds of two sessions, shared and
  /// cached blocks with a twin, copies under way on both tiers, a promise, token ids, unused slots.
  private func busy(_ caches: Bool = true, _ strategy: AllocationStrategy = .freeQueue) -> Bench {
    let bench = Bench(
      PoolConfiguration(
        blocks: 64, blockSize: 16, copyAck: .explicit, cachesPrefixes: caches, watermark: 0.02,
        maxModelTokens: 900, strategy: strategy, hostBlocks: 12))
    func hashes(_ first: UInt64) -> [UInt64] { caches ? [first, first + 1, first + 2] : [] }
    bench.run(.allocate(5), session: 7)
    bench.run(.forkBlocks([2, 3]), session: 1 << 40)
    bench.run(.forkBlocks([2]), session: 1 << 40)
    for id in [1, 2, 3, 4] as [SequenceID] {
      bench.run(
        .admit(
          .init(
            id: id,
            add: .init(
              id: id, tokens: 50, priority: -3, label: Array("chat".utf8),
              hashes: hashes(id == 3 ? 90 : 1),
              skips: id == 2))))
    }
    bench.run(.fork(1, [11, 12]))
    bench.run(.extend(Extend(sequence: 11, appendTokens: 3)))
    bench.run(.extend(Extend(sequence: 12, appendTokens: 3)))
    bench.run(.free([3]))
    bench.run(.preempt([4]))
    bench.run(.add(.init(id: 20, tokens: 40)))
    bench.run(.copyOnWrite(3, filled: 9), session: 7)
    for id in [30, 31] as [SequenceID] {
      let ids = caches ? (1...38).map { UInt32($0) * 3 } : []
      let keys = caches ? Array("lora".utf8) : []
      bench.run(
        .admit(.init(id: id, add: .init(id: id, tokens: 38, tokenIDs: ids, keys: keys))))
    }
    bench.run(.swapOut([31]))
    bench.run(.reserve(Reserve(sequence: 40, blocks: 2)))
    bench.run(.reserve(Reserve(sequence: 1, blocks: 3)), session: 7)
    if caches {
      bench.run(.pin([1, 2, 3, 4], ttl: 100))
      bench.run(.pin([90, 91]), session: 7)
    }
    bench.run(.allocate(1_000))
    return bench
  }

  @Test(
    "a busy pool, with all that it counted", arguments: [false, true],
    [AllocationStrategy.freeQueue, .firstFit])
  func busyPool(caches: Bool, strategy: AllocationStrategy) {
    let bench = busy(caches, strategy)
    let stats = bench.pool.stats()
    // Three of writes, and of the three blocks of the sequence that is swapped out.
    #expect(stats.pendingCopies == 6)
    #expect(stats.preemptedSequences == 1)
    #expect(stats.swappedSequences == 1 && stats.hostActive == 3)
    #expect(bench.pool.promisedBlocks(session: 0, sequence: 40) == 2)
    #expect(stats.refusals[Int(Refusal.Reason.never.rawValue)] == 1)
    #expect((stats.shared > 0) && ((stats.cached > 0) == caches))
    guard let loaded = reloaded(bench.pool) else { return }
    #expect(loaded.describe(session: 0, sequence: 1)?.label.elementsEqual("chat".utf8) == true)
  }

  @Test("a new pool of a million blocks takes less than 1,000 bytes")
  func newPool() {
    let pool = KVPool(PoolConfiguration(blocks: 1_000_000, blockSize: 16))
    #expect(dump(pool).count < 1_000)
  }

  /// Written down by hand from `Dumps.md`.
  @Test("the bytes of a pool of three blocks, one of them allocated")
  func bytes() {
    let pool = Bench(blocks: 3, copyAck: .explicit)
    pool.run(.allocate(1), session: 9)
    func le(_ value: UInt64, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
    func name(_ name: String) -> [UInt8] { Array(name.utf8) }
    let none: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]
    var expected = name("quirepool") + le(1, 2)
    expected += name("CONF") + le(3, 4) + le(16, 4) + [1, 0, 32, 0] + le(0, 8) + le(0, 12)
    expected += [1, 0, 0, 0]
    expected += name("POOL") + le(1, 8) + le(0, 8) + le(1, 8) + le(0, 88)
    expected += name("SESS") + le(0, 8) + le(1, 4)
    expected += le(9, 8) + le(0, 8) + le(1, 4) + le(0, 4) + none + none
    expected += name("SEQS") + le(0, 4) + none + le(0, 8)
    expected += name("BLKS")
    expected += le(1, 4) + le(1, 4) + le(1 << 30, 4) + le(1, 4) + le(1, 4) + le(0, 4)
    expected += le(2, 4) + le(0, 4) + le(0, 4) + le(0, 4) + le(0, 4) + le(0, 4)
    expected += name("QUEU") + le(2, 4) + le(2, 4) + le(0, 4)
    expected += name("HOLD") + le(0, 4)
    expected += name("BCNT") + le(2, 4) + le(0, 4) + le(1, 4) + le(0, 4) + le(0, 4) + le(1, 4)
    expected += le(1, 8) + le(0, 24)
    expected += name("COPY") + le(0, 4)
    expected += name("PAST")
    let bytes = dump(pool.pool)
    #expect(Array(bytes.prefix(expected.count)) == expected)
    // The history digest, 17 counts, the length and the checksum.
    #expect(bytes.count == expected.count + 8 + 17 * 8 + 16)
    #expect(Array(bytes[(expected.count + 144)...].prefix(8)) == le(UInt64(bytes.count), 8))
  }

  @Test("equal states have equal digests, whatever the history and the refusals")
  func digestOfState() {
    let one = Bench(blocks: 8)
    let other = Bench(blocks: 8)
    one.run(.allocate(2))
    one.run(.allocate(100))
    other.run(.allocate(2))
    #expect(one.pool.stateDigest() == other.pool.stateDigest())
    #expect(one.pool.stats() != other.pool.stats())
    one.run(.allocate(1))
    #expect(one.pool.stateDigest() != other.pool.stateDigest())
  }

  // MARK: Bytes that are no dump

  @Test("what is wrong is named")
  func refusals() {
    let bytes = dump(busy().pool)
    #expect(refusal(of: [])?.kind == .wrongLength)
    #expect(refusal(of: Array("quirepool".utf8) + [1, 0])?.kind == .wrongLength)
    #expect(refusal(of: Array("{\"pool\": \"default\"}".utf8))?.kind == .notADump)
    var newer = bytes
    newer[9] = 2
    #expect(refusal(of: newer)?.kind == .notADump)
    #expect(
      refusal(of: newer)?.detail == "the dump is of version 2, this server reads version 1")
    #expect(refusal(of: Array(bytes.dropLast()))?.kind == .wrongChecksum)
    #expect(refusal(of: bytes + [0])?.kind == .wrongChecksum)
    var changed = bytes
    changed[bytes.count / 2] ^= 16
    #expect(refusal(of: changed)?.kind == .wrongChecksum)
    #expect(refusal(of: sealed(Array(bytes.dropLast(20)) + bytes.suffix(16)))?.kind == .wrongLength)
  }

  @Test("values that no pool has are refused by section and value, checksum or not")
  func impossible() {
    func refused(_ offset: Int, _ new: [UInt8]) -> String? {
      var bytes = dump(KVPool(PoolConfiguration(blocks: 300, blockSize: 16)))
      bytes.replaceSubrange(offset..<(offset + new.count), with: new)
      let failure = refusal(of: sealed(bytes))
      #expect(failure?.kind == .invalid)
      return failure?.detail
    }
    #expect(
      refused(15, [0, 0, 0, 0])
        == "section CONF, before byte 19: blocks is 0, must be 1...268435456")
    #expect(
      refused(19, [0, 0, 0, 0])
        == "section CONF, before byte 23: block_size is 0, must be 1...65536")
    #expect(refused(23, [9]) == "section CONF, before byte 24: copy_ack is unknown")
    #expect(refused(24, [2])?.hasSuffix("prefix caching is 2, must be 0 or 1") == true)
    #expect(refused(25, [20])?.hasSuffix("a hash has 20 bytes, must be 16 or 32") == true)
    #expect(refused(47, [9])?.hasSuffix("the strategy is unknown") == true)
    #expect(refused(48, [2])?.hasSuffix("a geometry is 2, must be 0 or 1") == true)
    #expect(refused(50, [2])?.hasSuffix("zero_on_free is 2, must be 0 or 1") == true)
    #expect(refused(51, [0])?.hasSuffix("section POOL should begin here") == true)
    #expect(refused(62, [0x80])?.contains("the revision is 9223372036854775808") == true)
  }

  private func blocks(of bytes: [UInt8]) -> UInt32? {
    bytes.withUnsafeBytes { raw in
      do throws(StateFailure) {
        return try KVPool.configuration(inDump: raw).blocks
      } catch {
        return nil
      }
    }
  }

  private func loaded(_ bytes: [UInt8]) -> KVPool? {
    do throws(StateFailure) { return try load(bytes) } catch { return nil }
  }

  /// With and without a checksum that fits: the first is what a bad disk does, the second reaches
  /// every check behind it. 16,000 of them in `make soak`, which is built for speed: it does not check
  /// exclusive access, as these do.
  @Test(
    "changed and shortened bytes are refused or are the pool they say",
    arguments: 1...8 as ClosedRange<UInt64>)
  func fuzz(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let strategies: [AllocationStrategy] = [.freeQueue, .firstFit]
    let strategy = seed < 7 ? strategies[Int(seed + 1) % 2] : seed == 7 ? .bestFit : .buddy
    let original = dump(busy(seed % 3 != 0 && seed < 8, strategy).pool)
    let outcome = Outcome()
    var accepted = 0
    let rounds = ModelTests.soak == nil ? 400 : 2_000
    for _ in 0..<rounds {
      var bytes = original
      switch random.next() % 8 {
      case 0: bytes.removeLast(Int(random.next() % UInt64(bytes.count)))
      case 1:
        let start = Int(random.next() % UInt64(bytes.count))
        let end = min(bytes.count, start + 1 + Int(random.next() % 40))
        bytes.removeSubrange(start..<end)
      case 2:
        let value = UInt8(truncatingIfNeeded: random.next())
        bytes.insert(value, at: Int(random.next() % UInt64(bytes.count)))
      case 3:
        // A word of ones, of zeros or of a neighbour's value.
        let at = Int(random.next() % UInt64(bytes.count - 4))
        let from = Int(random.next() % UInt64(bytes.count - 4))
        for i in 0..<4 {
          bytes[at + i] = [0xFF, 0, original[from + i]][Int(seed + random.next() % 3) % 3]
        }
      default:
        for _ in 0...(random.next() % 3) {
          bytes[Int(random.next() % UInt64(bytes.count))] ^= 1 << UInt8(random.next() % 8)
        }
      }
      if bytes == original { continue }
      #expect(refusal(of: bytes) != nil)
      bytes = sealed(bytes)
      // A size in the configuration is memory to be taken; the service checks it before.
      if (blocks(of: bytes) ?? 0) > 1_000 { continue }
      guard let pool = loaded(bytes) else { continue }
      accepted += 1
      #expect(dump(pool) == bytes)
      // And it goes on as a pool does.
      pool.apply(
        TestCommand(
          session: 7,
          operations: [
            .init(.allocate(1)), .init(.freeBlocks([1])), .init(.acknowledge([], upTo: 1)),
            .init(.admit(.init(id: 20))), .init(.free([1, 2, 11], ignoresMissing: true)),
          ]), into: outcome)
      #expect(pool.checkInvariants() == nil)
    }
    // Counters, labels, priorities and the like are free to be anything.
    #expect(accepted > rounds / 100)
  }
}
