/// Block hashes of the sequences in a dump, and their token ids and extra keys, in the order of their
/// slots.
extension HashChains {
  func write(to writer: StateWriter, _ sequences: SequenceTable) {
    writer.section("HASH")
    for slot in 0..<sequences.slotCount where sequences.slots[Int(slot)].isUsed {
      let chain = chains[Int(slot)]
      writer.u32(chain.cachedBlocks)
      writer.u32(chain.hittableAtSwap)
      writer.flag(chain.skipsLookup)
      writer.u32(chain.count)
      writer.raw(bytes(of: slot))
      writer.u32(chain.tokensEnd)
      writer.list(chain.keptTokens)
      writer.list(chain.keyBytes)
      writeRetention(of: slot, to: writer)
    }
  }

  /// `use` brings the size class of a slot to hand.
  func read(
    from reader: inout StateReader, _ sequences: SequenceTable, use: (UInt32) -> Void
  ) throws(StateFailure) {
    try reader.section("HASH")
    // Hashes are made again from the ids that are kept, to compare them. A key counts for each block.
    var hashed: UInt64 = 0
    let most = UInt64(reader.remaining) * 64 + KVPool.maximumKeyBytesPerCommand
    for slot in 0..<sequences.slotCount {
      use(slot)
      // An unused slot has a place for its chain, too.
      start(slot, .init(start: nil, count: 0), skipsLookup: false)
      if !sequences.slots[Int(slot)].isUsed { continue }
      let cached = try reader.u32()
      let hittable = try reader.u32("blocks hit-able at the swap", through: cached)
      let skips = try reader.flag("skips_lookup")
      let count = try reader.count("hashes", bytesEach: hashBytes)
      let hashes = try reader.raw(Int(count) * hashBytes)
      let end = try reader.u32("the last token", through: sequences.slots[Int(slot)].tokens)
      let ids = try readTokens(from: &reader, through: end)
      let keys = try reader.list("bytes of extra keys", through: .max)
      if let hasher, keys.count > 0, !hasher.accepts(extraKeys: keys) {
        throw reader.failure("the extra keys of slot \(slot) are none")
      }
      if let hasher, keys.count > 0, ids.count > 0 {
        let begin = (Int(end) - ids.count) / Int(blockSize) * Int(blockSize)
        hashed += hasher.keyBytes(
          keys, from: begin, to: Int(hashable(end) * blockSize), sizeClass: sizeClass)
        if hashed > most { throw reader.failure("the extra keys of slot \(slot) are too long") }
      }
      start(slot, hashes, extraKeys: keys, skipsLookup: skips)
      let ranges = try readRetention(from: &reader)
      ranges.withUnsafeBufferPointer { startRetention($0, of: slot) }
      chains[Int(slot)].cachedBlocks = cached
      chains[Int(slot)].hittableAtSwap = hittable
      restoreTokens(ids, before: end, of: slot)
    }
  }

  private func readTokens(
    from reader: inout StateReader, through end: UInt32
  ) throws(StateFailure) -> [UInt32] {
    let count = try reader.count("token ids", bytesEach: 4)
    if count > end { throw reader.failure("\(count) token ids end at token \(end)") }
    var ids: [UInt32] = []
    ids.reserveCapacity(Int(count))
    for _ in 0..<count {
      ids.append(try reader.u32("a token id", through: KVPool.largestTokenID))
    }
    return ids
  }
}
