internal import BlockMessages
internal import KVBlocks

/// The blocks and sequences of a pool as fields of `StateChunk`s.
struct StateDump: ~Copyable {
  final class Chunk {
    fileprivate(set) var bytes = FlatList<UInt8>(minimumCapacity: DumpStream.chunkBytes)
    fileprivate init() {}
  }

  /// Whole fields only. There is one at least.
  private(set) var chunks: [Chunk] = [Chunk()]
  /// Bytes that are counted as part of all transfers.
  private(set) var taken = 0
  private var packer = MessagePacker()

  /// O(blocks + entries of all tables).
  ///
  /// - Throws: Where the dumps of all calls together would take too much memory.
  mutating func take(
    _ pool: KVPool, tokenIDs: Bool, parentHashes: Bool, _ transfers: DumpTransfers
  ) throws(CallFailure) {
    if tokenIDs || parentHashes {
      try takeBlocks(pool, tokenIDs: tokenIDs, parentHashes: parentHashes, transfers)
    } else {
      try takeBlocks(pool, transfers)
    }
    try takeHost(pool, transfers)
    var cursor: UInt32 = 0
    while let (view, next) = pool.nextSequence(from: cursor) {
      cursor = next
      packer.reset()
      packer.stateSequence(SequenceFields(view, withBlockIDs: true))
      try addPacked(transfers)
    }
    try settle(transfers)
  }

  /// Nobody needs a chunk any more that is sent. Returns how many bytes that gives back.
  mutating func forget(_ index: Int) -> Int {
    let count = chunks[index].bytes.count
    chunks[index].bytes.removeAll(keepingAtMost: 0)
    taken -= count
    return count
  }

  // MARK: Parts

  /// What takes the time of a dump: each block without a packer in between.
  private mutating func takeBlocks(
    _ pool: KVPool, _ transfers: DumpTransfers
  ) throws(CallFailure) {
    let hashBytes = pool.configuration.hashBytes
    var chunk = chunks[0]
    for id in 1...pool.configuration.blocks {
      let block = pool.block(id)
      if block.state == .free { continue }
      if chunk.bytes.count + BlockRecordFields.mostPlainBytes > DumpStream.chunkBytes {
        chunk = try next(transfers)
      }
      let fields = BlockRecordFields(
        id: id, references: block.refCount, generation: block.generation,
        pins: UInt32(block.pins))
      let count = chunk.bytes.count
      let place = chunk.bytes.extend(by: BlockRecordFields.mostPlainBytes)
      let end = Self.withBytes(of: pool.content(id), hashBytes) {
        fields.writePlain(to: place, hash: $0)
      }
      chunk.bytes.removeLast(chunk.bytes.count - count - end)
    }
  }

  private mutating func takeBlocks(
    _ pool: KVPool, tokenIDs: Bool, parentHashes: Bool, _ transfers: DumpTransfers
  ) throws(CallFailure) {
    let sources = pool.contentSources()
    let hashBytes = pool.configuration.hashBytes
    for id in 1...pool.configuration.blocks {
      let block = pool.block(id)
      if block.state == .free { continue }
      var fields = BlockRecordFields(
        id: id, references: block.refCount, generation: block.generation,
        pins: UInt32(block.pins))
      let source = sources[Int(id)]
      if tokenIDs { fields.tokenIDs = pool.tokenIDs(source) }
      packer.reset()
      Self.withBytes(of: parentHashes ? pool.parentHash(source) : nil, hashBytes) { parent in
        fields.parentHash = parent
        Self.withBytes(of: pool.content(id), hashBytes) { packer.stateBlock(fields, hash: $0) }
      }
      try addPacked(transfers)
    }
  }

  private mutating func takeHost(
    _ pool: KVPool, _ transfers: DumpTransfers
  ) throws(CallFailure) {
    if pool.configuration.hostBlocks == 0 { return }
    for id in 1...pool.configuration.hostBlocks {
      let block = pool.hostBlock(id)
      if block.refCount == 0 && block.pins == 0 { continue }
      var fields = BlockRecordFields(
        id: id, references: block.refCount, generation: block.generation,
        pins: UInt32(block.pins))
      fields.tier = UInt32(Tier.host.rawValue)
      packer.reset()
      packer.stateBlock(fields, hash: .init(start: nil, count: 0))
      try addPacked(transfers)
    }
  }

  private mutating func addPacked(_ transfers: DumpTransfers) throws(CallFailure) {
    var chunk = chunks[chunks.count - 1]
    let count = packer.byteCount
    if chunk.bytes.count > 0 && chunk.bytes.count + count > DumpStream.chunkBytes {
      chunk = try next(transfers)
    }
    packer.copy(to: chunk.bytes.extend(by: count))
  }

  private mutating func next(_ transfers: DumpTransfers) throws(CallFailure) -> Chunk {
    try settle(transfers)
    let chunk = Chunk()
    chunks.append(chunk)
    return chunk
  }

  /// The latest chunk is full: it counts.
  private mutating func settle(_ transfers: DumpTransfers) throws(CallFailure) {
    let count = chunks[chunks.count - 1].bytes.count
    try transfers.take(count)
    taken += count
  }

  private static func withBytes<Result>(
    of hash: BlockHash?, _ byteCount: Int, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    guard let words = hash?.words else {
      return body(UnsafeRawBufferPointer(start: nil, count: 0))
    }
    return withUnsafeBytes(of: words) {
      body(UnsafeRawBufferPointer(rebasing: $0[..<byteCount]))
    }
  }
}
