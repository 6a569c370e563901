/// What a pool is made with.
package struct PoolConfiguration: Equatable {
  /// Usable blocks N, 1 ... `maximumBlocks`; their ids are 1 ... N.
  package var blocks: UInt32
  /// Tokens per block, 1 ... `maximumBlockSize`; with size classes those of the first.
  package var blockSize: UInt32
  /// Blocks of several sizes, as `SizeClass.checked` has them; empty = all are of one.
  package var sizeClasses: [SizeClass]
  package var copyAck: CopyAck
  /// Blocks keep their content when they are given back, to be hit by later sequences.
  package var cachesPrefixes: Bool
  /// Bytes of one block hash, 32 or 16.
  package var hashBytes: Int
  /// UTF-8 of the text that seeds the first hash of every chain; empty = the algorithm's own. For who
  /// makes the hashes: the pool itself never looks at it. Bytes, because texts that look alike are
  /// equal as `String`s and give other hashes.
  package var hashSeed: [UInt8]
  /// The seed was not asked for but drawn; it is nobody's business.
  package var isHashSeedDrawn: Bool
  /// Tokens behind a block that enter its hash: without them it has none.
  package var hashLookaheadTokens: UInt32
  /// All token ids are kept, not just those that the next hash or a short rewind needs.
  package var keepsTokens: Bool
  /// A lookup drops the last block it matched, as vLLM does for EAGLE.
  package var eagle: Bool
  /// Share of the pool, 0 ..< 1, that admissions leave alone while anything runs.
  package var watermark: Double
  /// Most tokens of a sequence, and most slots that it is ever given; 0 = no limit.
  package var maxModelTokens: UInt32
  /// Which free blocks an allocation gets.
  package var strategy: AllocationStrategy
  /// Which cached block is evicted next; `lru` where nothing is cached.
  package var eviction: EvictionPolicy
  /// Blocks of the host tier, to which sequences are swapped out; 0 = there is none.
  package var hostBlocks: UInt32
  /// Tokens that a token attends to, itself included; 0 = all before it.
  package var slidingWindow: UInt32
  /// With a window: most tokens that are scheduled and not settled at any time; 0 = as many as a
  /// sequence may have. The gate for whole sequences counts on it.
  package var maxInFlightTokens: UInt32
  /// Who is let in, and how blocks come back.
  package var admission = AdmissionOptions()
  /// Blocks that were handed out before are marked to be zeroed when they are again.
  package var zeroesOnFree: Bool
  /// Blocks that one session may pin.
  package var pinBudgetBlocks: UInt32

  /// Gives blocks a size in bytes; nil = they have none.
  package var geometry: KVGeometry?
  /// Where `blocks` came from; nil = it was given.
  package var budget: KVBudget?

  package static let maximumBlocks: UInt32 = 1 << 28
  package static let maximumBlockSize: UInt32 = 1 << 16
  /// Every block hashes that many tokens more; a draft looks no further ahead.
  package static let maximumHashLookahead: UInt32 = 64

  package init(
    blocks: UInt32, blockSize: UInt32, sizeClasses: [SizeClass] = [],
    copyAck: CopyAck = .nextStep, cachesPrefixes: Bool = false,
    hashBytes: Int = 32, hashSeed: [UInt8] = [], isHashSeedDrawn: Bool = false,
    hashLookaheadTokens: UInt32 = 0, keepsTokens: Bool = false, eagle: Bool = false,
    watermark: Double = 0, maxModelTokens: UInt32 = 0, strategy: AllocationStrategy = .freeQueue,
    eviction: EvictionPolicy = .lru, hostBlocks: UInt32 = 0, zeroesOnFree: Bool = false,
    slidingWindow: UInt32 = 0,
    maxInFlightTokens: UInt32 = 0, pinBudgetBlocks: UInt32 = 0, geometry: KVGeometry? = nil,
    budget: KVBudget? = nil
  ) {
    precondition(blocks >= 1 && blocks <= Self.maximumBlocks, "blocks out of range")
    precondition(blockSize >= 1 && blockSize <= Self.maximumBlockSize, "block size out of range")
    precondition(
      sizeClasses.isEmpty
        || (blockSize == sizeClasses[0].blockSize
          && sizeClasses.reduce(0) { $0 + $1.blocks } == blocks
          && strategy == .freeQueue && eviction == .lru),
      "size classes that contradict the rest")
    precondition(hashBytes == 32 || hashBytes == 16, "a hash has 32 or 16 bytes")
    precondition(hostBlocks <= Self.maximumBlocks, "host blocks out of range")
    precondition(hashLookaheadTokens <= Self.maximumHashLookahead, "hash lookahead out of range")
    precondition(watermark >= 0 && watermark < 1, "watermark out of range")
    precondition(eviction == .lru || cachesPrefixes, "an eviction policy without a cache")
    precondition(
      Self.conflict(
        strategy, cachesPrefixes: cachesPrefixes, maxModelTokens: maxModelTokens,
        slots: UInt64(blocks) * UInt64(blockSize), hostBlocks: hostBlocks,
        slidingWindow: slidingWindow) == nil,
      "a strategy that contradicts the rest")
    if let geometry {
      let largest = sizeClasses.last?.blockSize ?? blockSize
      guard let bytes = geometry.bytesPerBlock(largest),
        bytes <= KVGeometry.maximumBytes / (UInt64(blocks) + 1)
      else { preconditionFailure("more bytes than there can be") }
    }
    self.geometry = geometry
    self.budget = budget
    self.blocks = blocks
    self.blockSize = blockSize
    self.sizeClasses = sizeClasses
    self.copyAck = copyAck
    self.cachesPrefixes = cachesPrefixes
    self.hashBytes = hashBytes
    self.hashSeed = hashSeed
    self.isHashSeedDrawn = isHashSeedDrawn
    self.hashLookaheadTokens = hashLookaheadTokens
    self.keepsTokens = keepsTokens
    self.eagle = eagle
    self.watermark = watermark
    self.maxModelTokens = maxModelTokens
    self.pinBudgetBlocks = pinBudgetBlocks == 0 ? blocks / 4 : pinBudgetBlocks
    self.hostBlocks = hostBlocks
    self.zeroesOnFree = zeroesOnFree
    self.slidingWindow = slidingWindow
    self.maxInFlightTokens = maxInFlightTokens
    self.strategy = strategy
    self.eviction = eviction
  }

  /// The watermark in blocks, as vLLM counts it: of N + 1, with the null block, and rounded down.
  package var watermarkBlocks: UInt32 { UInt32(watermark * Double(blocks + 1)) }

  /// Blocks before a token that its window can reach into, when the token begins a block; with EAGLE
  /// one more, because the last is dropped.
  func windowReach(_ blockSize: UInt32) -> UInt32 {
    let before = UInt64(max(slidingWindow, 1)) - 1
    return UInt32((before + UInt64(blockSize) - 1) / UInt64(blockSize)) + (eagle ? 1 : 0)
  }
}

/// When an ordered copy counts as done.
package enum CopyAck: UInt8 {
  /// When its session steps again (or acknowledges it).
  case nextStep
  /// Only when it is acknowledged.
  case explicit
}
