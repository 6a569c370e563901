/// The block hashes of the sequences: of each the hashes of its full known blocks, in order, and the
/// token ids behind them.
///
/// Owns one chain per slot of the sequence table and the chains' memory. Exists only in pools that
/// cache prefixes. Never looks at a block or at the index.
final class HashChains {
  private(set) var chains: UnsafeMutablePointer<HashChain>
  let hashBytes: Int
  /// That of the size class at hand, as `keptBlocks`; in a pool without classes the pool's.
  private(set) var blockSize: UInt32
  /// Tokens behind a block that must be known before it has a hash.
  let lookahead: UInt32
  /// Full blocks behind which token ids are dropped; `.max` where all are kept.
  private(set) var keptBlocks: UInt32
  /// nil: token ids are counted, not hashed.
  let hasher: (any TokenHashing)?
  /// Whether a sequence ever came with extra keys; of no influence on what is answered.
  private(set) var hasKeys = false
  private(set) var sizeClass: UInt8 = 0
  private let keepsTokens: Bool
  private let classSizes: [UInt32]
  /// Hashes of a sequence that is not there yet.
  var fresh = FlatList<UInt8>(minimumCapacity: 1)
  private var capacity = 64
  let undo: UndoLog

  init(_ configuration: PoolConfiguration, hasher: (any TokenHashing)?, undo: UndoLog) {
    classSizes = configuration.sizeClasses.map(\.blockSize)
    keepsTokens = configuration.keepsTokens
    hashBytes = configuration.hashBytes
    blockSize = configuration.blockSize
    lookahead = configuration.hashLookaheadTokens
    keptBlocks = configuration.keepsTokens ? .max : Self.keptBlocks(configuration.blockSize)
    self.hasher = hasher
    self.undo = undo
    chains = .allocate(capacity: capacity)
    chains.initialize(repeating: HashChain(), count: capacity)
  }

  /// What follows is about sequences of this size class.
  func use(_ index: UInt8) {
    sizeClass = index
    blockSize = classSizes[Int(index)]
    if !keepsTokens { keptBlocks = Self.keptBlocks(blockSize) }
  }

  deinit {
    removeAll()
    chains.deallocate()
  }

  func removeAll() {
    for i in 0..<capacity {
      chains[i].bytes?.deallocate()
      chains[i].tokens?.deallocate()
      chains[i].keys?.deallocate()
      chains[i].retention?.deallocate()
      chains[i] = HashChain()
    }
  }

  /// To be called before a chain is changed.
  @inline(__always)
  func save(_ slot: UInt32) {
    if undo.isRecording { undo.chains.append(.init(index: slot, chain: chains[Int(slot)])) }
  }

  /// The chain of a new sequence.
  func start(
    _ slot: UInt32, _ hashes: UnsafeBufferPointer<UInt8>,
    extraKeys: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0), skipsLookup: Bool
  ) {
    while Int(slot) >= capacity { grow() }
    save(slot)
    chains[Int(slot)] = HashChain()
    chains[Int(slot)].skipsLookup = skipsLookup
    if let source = extraKeys.baseAddress, extraKeys.count > 0 {
      let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: extraKeys.count)
      copy.initialize(from: source, count: extraKeys.count)
      undo.created(copy)
      hasKeys = true
      chains[Int(slot)].keys = copy
      chains[Int(slot)].keysCount = UInt32(extraKeys.count)
    }
    append(hashes, to: slot)
  }

  func end(_ slot: UInt32) {
    save(slot)
    undo.retire(chains[Int(slot)].bytes)
    undo.retire(chains[Int(slot)].tokens)
    undo.retire(chains[Int(slot)].keys)
    undo.retire(chains[Int(slot)].retention)
    chains[Int(slot)] = HashChain()
  }

  func append(_ hashes: UnsafeBufferPointer<UInt8>, to slot: UInt32) {
    guard let source = hashes.baseAddress, hashes.count > 0 else { return }
    extend(slot, by: UInt32(hashes.count / hashBytes)).update(from: source, count: hashes.count)
  }

  /// Room for so many more hashes at the end of the chain; the caller fills it.
  func extend(_ slot: UInt32, by added: UInt32) -> UnsafeMutablePointer<UInt8> {
    save(slot)
    let chain = chains + Int(slot)
    if chain.pointee.count + added > chain.pointee.capacity {
      growChain(of: slot, to: chain.pointee.count + added)
    }
    guard let bytes = chain.pointee.bytes else { preconditionFailure("hashes without memory") }
    let place = bytes + Int(chain.pointee.count) * hashBytes
    if undo.isRecording {
      for i in 0..<Int(added) {
        let old = place + i * hashBytes
        undo.chainHashes.append(.init(place: old, hash: BlockHash(old, hashBytes)))
      }
    }
    chain.pointee.count += added
    return place
  }

  /// Puts back a hash that an appended one overwrote.
  func restore(_ saved: UndoLog.SavedHash) {
    withUnsafeBytes(of: saved.hash.words) { words in
      UnsafeMutableRawBufferPointer(start: saved.place, count: hashBytes)
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: words[..<hashBytes]))
    }
  }

  func bytes(of slot: UInt32) -> UnsafeBufferPointer<UInt8> {
    let chain = chains[Int(slot)]
    return .init(start: chain.bytes, count: Int(chain.count) * hashBytes)
  }

  @inline(__always)
  func hash(_ i: UInt32, of slot: UInt32) -> BlockHash {
    BlockHash(place(i, of: slot), hashBytes)
  }

  /// Where its bytes are.
  @inline(__always)
  func place(_ i: UInt32, of slot: UInt32) -> UnsafePointer<UInt8> {
    guard let bytes = chains[Int(slot)].bytes, i < chains[Int(slot)].count else {
      preconditionFailure("asked for a hash that is not known")
    }
    return UnsafePointer(bytes + Int(i) &* hashBytes)
  }

  private func growChain(of slot: UInt32, to needed: UInt32) {
    let chain = chains + Int(slot)
    let capacity = max(needed, min(chain.pointee.capacity * 2, 1 << 30), 4)
    let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: Int(capacity) * hashBytes)
    larger.initialize(repeating: 0, count: Int(capacity) * hashBytes)
    if let old = chain.pointee.bytes {
      larger.update(from: old, count: Int(chain.pointee.count) * hashBytes)
    }
    undo.created(larger)
    undo.retire(chain.pointee.bytes)
    chain.pointee.bytes = larger
    chain.pointee.capacity = capacity
  }

  private func grow() {
    let larger = UnsafeMutablePointer<HashChain>.allocate(capacity: capacity * 2)
    larger.moveInitialize(from: chains, count: capacity)
    (larger + capacity).initialize(repeating: HashChain(), count: capacity)
    chains.deallocate()
    chains = larger
    capacity *= 2
  }
}

/// What the prefix cache knows of one sequence: 64 bytes.
struct HashChain: BitwiseCopyable {
  var bytes: UnsafeMutablePointer<UInt8>?
  /// Hashes known; never more than the sequence has full blocks of tokens.
  var count: UInt32 = 0
  var capacity: UInt32 = 0
  /// Leading blocks of the table that were hit or cached (vLLM's `num_cached_block`): a block is
  /// cached once, and not again when its content was taken away.
  var cachedBlocks: UInt32 = 0
  /// Of a swapped sequence: leading blocks that could still be hit, or were null, as it left.
  var hittableAtSwap: UInt32 = 0
  var skipsLookup = false

  // Token ids: the `tokensCount` ones that end before token `tokensEnd` of the sequence, from
  // `tokensSkip` on in memory for `tokensCapacity`. See HashChains+Tokens.swift.
  var tokens: UnsafeMutablePointer<UInt32>?
  var tokensEnd: UInt32 = 0
  var tokensCount: UInt32 = 0
  var tokensSkip: UInt32 = 0
  var tokensCapacity: UInt32 = 0
  /// Opaque bytes that go to the hasher with each block.
  var keys: UnsafeMutablePointer<UInt8>?
  var keysCount: UInt32 = 0

  /// The first token that is kept.
  var tokensBegin: UInt32 { tokensEnd - tokensCount }
  var keyBytes: UnsafeBufferPointer<UInt8> { .init(start: keys, count: Int(keysCount)) }
  var keptTokens: UnsafeBufferPointer<UInt32> {
    .init(start: tokens.map { $0 + Int(tokensSkip) }, count: Int(tokensCount))
  }
  var retentionCount: UInt32 = 0
  /// What the sequence wants of its blocks once nobody holds them.
  var retention: UnsafeMutablePointer<RetentionRange>?
}
