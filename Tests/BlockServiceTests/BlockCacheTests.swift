import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("The prefix cache by hashes")
struct BlockCacheTests {
  let harness = ServiceHarness(blocks: 8, blockSize: 4)

  /// Hashes of 32 bytes, each of one byte repeated.
  static func hashes(_ marks: UInt8..., bytes: Int = 32) -> [UInt8] {
    marks.flatMap { [UInt8](repeating: $0, count: bytes) }
  }

  /// Blocks 1 and 2 hold the contents 7 and 8 and are given back; revision 3.
  func cacheTwo() throws {
    let ids = try harness.allocate(2)
    // CacheBlocksReply { revision 2, cached_blocks 2 }
    #expect(
      harness.succeed("BlockPool/CacheBlocks", .cacheBlocks(ids, blockHashes: Self.hashes(7, 8)))
        == [8, 2, 16, 2])
    harness.succeed("BlockPool/Free", .freeBlocks(ids))
  }

  func lookup(_ hashes: [UInt8], pool: String = "") -> (status: Status, reply: [UInt8]) {
    harness.call(
      "BlockPool/LookupBlocks",
      harness.packed { $0.lookupBlocksRequest(call: CallFields(pool: pool), blockHashes: hashes) })
  }

  func resetCache(isDryRun: Bool = false) -> (status: Status, reply: [UInt8]) {
    harness.call(
      "Pools/ResetPrefixCache",
      harness.packed { $0.poolRequest(call: CallFields(isDryRun: isDryRun)) })
  }

  @Test("a lookup tells the longest prefix, who holds it, and changes nothing")
  func lookUp() throws {
    try cacheTwo()
    harness.succeed("BlockPool/Acquire", .acquire(blockHashes: Self.hashes(7)))
    let before = harness.pool.stateDigest()
    let found = try harness.decode(
      LookupBlocksReplyMessage.self, lookup(Self.hashes(7, 8, 9)).reply)
    #expect(found.revision == 4)
    #expect(Array(found.blockIDs) == [1, 2])
    #expect(Array(found.refCounts) == [1, 0])
    // A hole ends it.
    #expect(lookup(Self.hashes(9, 7)).reply == [8, 4])
    #expect(lookup([]).reply == [8, 4])
    #expect(harness.pool.stateDigest() == before)
  }

  @Test("a lookup that is none is refused and named")
  func badLookup() {
    let cut = lookup([UInt8](repeating: 7, count: 33))
    #expect(cut.status.code == .invalidArgument)
    #expect(
      cut.status.message == "lookup_blocks.block_hashes must be hashes of 32 bytes each")
    #expect(lookup(Self.hashes(7), pool: "other").status.code == .notFound)
    let missing = harness.call("BlockPool/LookupBlocks", [])
    #expect(missing.status.message == "lookup_blocks is missing")
  }

  @Test("an acquisition takes the hits and new blocks behind them")
  func acquire() throws {
    try cacheTwo()
    let bytes = harness.succeed(
      "BlockPool/Acquire", .acquire(blockHashes: Self.hashes(7, 8, 9), allocateCount: 3))
    let reply = try harness.decode(AcquireReplyMessage.self, bytes)
    #expect(reply.revision == 4)
    #expect(Array(reply.cachedBlockIDs) == [1, 2])
    #expect(Array(reply.newBlockIDs) == [3, 4, 5])
    #expect(reply.availableBlocks == 3)
    #expect(reply.evictedBlocks == 0)
  }

  @Test("new blocks evict what was cached longest ago, counted")
  func evictions() throws {
    try cacheTwo()
    // Free are 3 ... 8, then the cached 1 and 2.
    let bytes = harness.succeed("BlockPool/Allocate", .allocate(count: 7))
    // available_blocks 1, evicted_blocks 1 behind revision and ids
    #expect(bytes == [8, 4, 0x12, 7, 3, 4, 5, 6, 7, 8, 1, 24, 1, 32, 1])
    let stats = try harness.stats()
    #expect(stats.evictions == 1)
    #expect(stats.cachedBlocks == 1)
    #expect(stats.freeBlocks == 0)
  }

  @Test("an acquisition that does not fit counts its hits, and changes nothing")
  func acquireLater() throws {
    try cacheTwo()
    let status = harness.refuse(
      "BlockPool/Acquire", .acquire(blockHashes: Self.hashes(7, 8), allocateCount: 7))
    #expect(status.code == .resourceExhausted)
    #expect(status.message == "needs 9 blocks, 8 are available now")
    #expect(status.trailer("quire-needed") == "9")
    // The end of the refusal: needed 9, available 8, evictable_within_available 2.
    #expect(status.details.suffix(6) == [32, 9, 40, 8, 48, 2])
  }

  @Test("what is asked wrong of the cache is refused, named, and changes nothing")
  func refusals() throws {
    try cacheTwo()
    let held = try harness.allocate(1)
    harness.succeed("BlockPool/CacheBlocks", .cacheBlocks(held, blockHashes: Self.hashes(5)))
    let cases: [(String, OperationFields, StatusCode, String, String)] = [
      (
        "Acquire", .acquire(blockHashes: []), .invalidArgument, "INVALID",
        "acquire.allocate_count must be at least 1 where there are no hashes"
      ),
      (
        "Acquire", .acquire(blockHashes: [7]), .invalidArgument, "INVALID",
        "acquire.block_hashes must be hashes of 32 bytes each"
      ),
      (
        "Acquire", .acquire(blockHashes: [], allocateCount: 9), .failedPrecondition, "NEVER",
        "needs 9 blocks, more than the pool's 8"
      ),
      (
        "CacheBlocks", .cacheBlocks([], blockHashes: []), .invalidArgument, "INVALID",
        "cache_blocks.block_ids must name at least one block"
      ),
      (
        "CacheBlocks", .cacheBlocks(held, blockHashes: Self.hashes(5, 6)), .invalidArgument,
        "INVALID", "cache_blocks.block_hashes must have 32 bytes"
      ),
      (
        "CacheBlocks", .cacheBlocks([9], blockHashes: Self.hashes(5)), .invalidArgument,
        "INVALID", "cache_blocks.block_ids names block 9, outside 1...8"
      ),
      (
        "CacheBlocks", .cacheBlocks([1], blockHashes: Self.hashes(7)), .failedPrecondition,
        "NOT_HELD", "block 1 is not held by this session"
      ),
      (
        "CacheBlocks", .cacheBlocks(held, blockHashes: Self.hashes(6)), .failedPrecondition,
        "WRONG_STATE", "block 3 has other content already"
      ),
      (
        "EvictBlocks", .evictBlocks([]), .invalidArgument, "INVALID",
        "evict_blocks.block_ids must name at least one block"
      ),
      (
        "EvictBlocks", .evictBlocks([1, 0]), .invalidArgument, "INVALID",
        "evict_blocks.block_ids names block 0, outside 1...8"
      ),
    ]
    for (method, operation, code, reason, message) in cases {
      let status = harness.refuse("BlockPool/\(method)", operation)
      #expect(status.code == code)
      #expect(status.trailer("quire-reason") == reason)
      #expect(status.message == message)
    }
  }

  @Test("evicted blocks are hit no more")
  func evict() throws {
    try cacheTwo()
    // EvictBlocksReply { revision 4, evicted_blocks 1, available_blocks 8 }; 3 has no content.
    #expect(
      harness.succeed("BlockPool/EvictBlocks", .evictBlocks([2, 3])) == [8, 4, 16, 1, 24, 8])
    let found = try harness.decode(LookupBlocksReplyMessage.self, lookup(Self.hashes(7, 8)).reply)
    #expect(Array(found.blockIDs) == [1])
  }

  @Test("the cache is reset when nothing is held, and refuses while something is")
  func reset() throws {
    try cacheTwo()
    let held = try harness.allocate(3)
    let before = harness.pool.stateDigest()
    let (status, _) = resetCache()
    #expect(status.code == .failedPrecondition)
    #expect(status.message == "3 blocks are held; free them first")
    #expect(harness.pool.stateDigest() == before)

    harness.succeed("BlockPool/Free", .freeBlocks(held))
    // ResetPrefixCacheReply { revision, cleared_blocks 2 }; a dry run leaves the revision.
    #expect(resetCache(isDryRun: true).reply == [8, 5, 16, 2])
    #expect(resetCache().reply == [8, 6, 16, 2])
    #expect(lookup(Self.hashes(7)).reply == [8, 6])
    #expect(resetCache().reply == [8, 6])
  }

  @Test("a step has the same operations")
  func step() throws {
    let reply = try harness.step(
      StepFields(operations: [
        .init(.allocate(count: 2)), .init(.cacheBlocks([1, 2], blockHashes: Self.hashes(7, 8))),
        .init(.acquire(blockHashes: Self.hashes(7, 8), allocateCount: 1)),
        .init(.evictBlocks([1])), .init(.cacheBlocks([5], blockHashes: Self.hashes(1))),
      ]))
    #expect(reply.revision == 1)
    guard case .cacheBlocks(cachedBlocks: 2) = reply.result(1).reply,
      case .evictBlocks(evictedBlocks: 1) = reply.result(3).reply,
      case .acquire(let acquired) = reply.result(2).reply
    else {
      Issue.record("other replies")
      return
    }
    #expect(Array(acquired.cachedBlockIDs) == [1, 2])
    #expect(Array(acquired.newBlockIDs) == [3])
    #expect(reply.result(4).refusal?.detail == "block 5 is not held by this session")
  }

  // MARK: The pool's configuration

  func create(_ config: PoolConfigFields) -> (status: Status, reply: [UInt8]) {
    harness.call(
      "Pools/CreatePool", harness.packed { $0.createPoolRequest(name: "p", config: config) })
  }

  @Test("a pool tells its hash, watermark, longest sequence and eagle")
  func configuration() throws {
    let config = PoolConfigFields(
      blocks: 9, blockSize: 2, strategy: 1, eviction: 1, hash: 2, watermark: 0.25,
      maxModelTokens: 300, eagle: true, copyAck: 1, pinBudgetBlocks: 5)
    let (status, reply) = create(config)
    #expect(status == .ok)
    #expect(try harness.decode(PoolInfoMessage.self, reply).fields.config == config)
    #expect(lookup(Self.hashes(7, bytes: 16), pool: "p").status == .ok)
    #expect(
      lookup(Self.hashes(7, bytes: 17), pool: "p").status.message
        == "lookup_blocks.block_hashes must be hashes of 16 bytes each")
  }

  @Test("a pool that does not cache has no use for hashes")
  func disabled() {
    #expect(
      create(PoolConfigFields(blocks: 9, blockSize: 2, disablesPrefixCaching: true)).status == .ok)
    let problem = "is of no use: the pool caches no prefixes"
    #expect(
      lookup(Self.hashes(7), pool: "p").status.message == "lookup_blocks.block_hashes \(problem)")
    let call = CallFields(pool: "p")
    #expect(
      harness.refuse("BlockPool/Acquire", .acquire(blockHashes: Self.hashes(7)), call: call).message
        == "acquire.block_hashes \(problem)")
    #expect(
      harness.refuse(
        "BlockPool/CacheBlocks", .cacheBlocks([1], blockHashes: Self.hashes(7)), call: call
      ).message == "cache_blocks.block_hashes \(problem)")
  }

  @Test(
    "a watermark is a share of the pool",
    arguments: [-0.01, 1, 7, .infinity, .nan] as [Double])
  func badWatermark(_ watermark: Double) {
    let (status, _) = create(PoolConfigFields(blocks: 9, blockSize: 2, watermark: watermark))
    #expect(status.code == .invalidArgument)
    #expect(status.message == "config.watermark must be at least 0 and less than 1")
    #expect(harness.registry.pools.count == 1)
  }

  @Test("the watermark is kept back from admissions while something runs, unless they ignore it")
  func watermark() throws {
    // 9 blocks and the null block: a quarter of 10, rounded down, is 2.
    #expect(create(PoolConfigFields(blocks: 9, blockSize: 2, watermark: 0.25)).status == .ok)
    let call = CallFields(pool: "p")
    let first = AdmitFields(sequenceID: 1, add: AddFields(sequenceID: 1, tokenCount: 2))
    harness.succeed("Sequences/Admit", .admit(first), call: call)
    let second = AdmitFields(sequenceID: 2, add: AddFields(sequenceID: 2, tokenCount: 14))
    let status = harness.refuse("Sequences/Admit", .admit(second), call: call)
    #expect(status.message == "needs 7 blocks beside the watermark of 2, 8 are available now")
    // Refusal's watermark 2, sequence_id 2 at the end.
    #expect(status.details.suffix(4) == [64, 2, 72, 2])
    // The same with Admit.ignore_watermark (field 9).
    let request: [UInt8] = [
      0x0A, 3, 0x0A, 1, 0x70, 0x12, 10, 0x12, 6, 8, 2, 0x12, 2, 24, 14, 72, 1,
    ]
    #expect(harness.call("Sequences/Admit", request).status == .ok)
  }

  @Test("a sequence may not pass the model's length")
  func modelLength() {
    #expect(create(PoolConfigFields(blocks: 9, blockSize: 2, maxModelTokens: 1)).status == .ok)
    let status = harness.refuse(
      "Sequences/Add", .add(AddFields(sequenceID: 1, tokenCount: 2)), call: CallFields(pool: "p"))
    #expect(
      status.message == "add.content.token_count takes the sequence past the limit of 1 tokens")
  }
}
