/// The prefix cache for schedulers that keep their own tables: the same content, found by its hashes.
extension KVPool {
  /// The blocks of the longest cached prefix of `hashes` into `list`. Changes nothing.
  ///
  /// - Parameter sizeClass: The number of the size class, from 1; 0 = the first.
  package func lookupBlocks(
    _ hashes: UnsafeBufferPointer<UInt8>, sizeClass: UInt32 = 0, into list: inout FlatList<BlockID>
  ) throws(Refusal) -> PrefixLookup {
    try useClass(number: sizeClass)
    try checkShape(hashes)
    list.removeAll()
    findPrefix(hashes, limit: .max, into: &list)
    return PrefixLookup(
      cachedTokens: tokensOfHits(list.count),
      evictableBlocks: evictable(list.elements),
      blocksNeeded: UInt32(hashes.count / configuration.hashBytes - list.count))
  }

  /// One more reference to each block of the longest cached prefix, then `count` new blocks: all or
  /// nothing. What a hit takes out of the queue is charged like a new block.
  func acquire(
    _ hashes: UnsafeBufferPointer<UInt8>, _ count: UInt32, sizeClass: UInt32,
    _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    try useClass(number: sizeClass)
    try checkShape(hashes)
    if count == 0 && hashes.count == 0 { throw Refusal(.invalid, field: .count, limit: 1) }
    hits.removeAll()
    findPrefix(hashes, limit: .max, into: &hits)
    let available = self.available
    let evictable = evictable(hits.elements)
    let takes = blocks.rounded(count)
    if takes > capacity {
      throw Refusal(
        .never, needed: takes, available: available, evictable: evictable, reserved: promisedHere)
    }
    try checkBlocks(UInt64(count) + UInt64(hits.count), .count)
    if UInt64(takes) + UInt64(evictable) > UInt64(unpromised) {
      throw Refusal(
        .later, needed: takes + evictable, available: available, evictable: evictable,
        reserved: promisedHere)
    }
    if blocks.searches && count > 0 { try spend(0, 0) }
    if blocks.needsRuns && count > 0 { try checkRun(of: count) }
    for id in hits.elements {
      let references = UInt64(blocks.records[Int(id)].refCount) + UInt64(hits.count)
      if references > UInt64(BlockPool.maximumReferences) {
        throw Refusal(
          .quota, field: .blockHashes, limit: UInt64(BlockPool.maximumReferences),
          subject: UInt64(id))
      }
    }
    if hits.count == 0 && count == 0 { return }
    let session = ensureSession()
    sessions.save(session)
    run.blocks += count + UInt32(hits.count)
    for id in hits.elements {
      if blocks.rawReferences(id, by: session) == 0 { sessions.slots[Int(session)].rawBlocks += 1 }
      blocks.touch(id, for: .raw(session), generation: generation)
    }
    if blocks.logsReferences {
      log.note(.hit, by: .raw(session), hits.base, hits.count, of: blocks)
    }
    result.cachedBlocks = listHits(outcome)
    result.cachedTokens = tokensOfHits(hits.count)
    run.changed = true
    if count == 0 { return }
    let start = outcome.blocks.count
    blocks.take(
      count, for: .raw(session), generation: generation,
      into: outcome.blocks.extend(by: Int(count)))
    sessions.slots[Int(session)].rawBlocks += count
    result.newBlocks = Slice32(start: UInt32(start), count: count)
  }

  /// Their number is the client's choice, equal hashes included, so it can pass 32 bits.
  func tokensOfHits(_ count: Int) -> UInt32 {
    UInt32(clamping: UInt64(count) * UInt64(blockSize))
  }

  /// The hits at hand, into the outcome's list.
  func listHits(_ outcome: Outcome) -> Slice32 {
    let start = outcome.cached.count
    for id in hits.elements { outcome.cached.append(id) }
    return slice(start, outcome.cached.count)
  }

  /// These held blocks now have this content. A block keeps what it has: the same again is no
  /// change, other content is refused, and a block named twice keeps the first.
  func cacheBlocks(
    _ ids: UnsafeBufferPointer<BlockID>, _ hashes: UnsafeBufferPointer<UInt8>,
    _ parent: UnsafeBufferPointer<UInt8>, _ result: inout OperationResult
  ) throws(Refusal) {
    if ids.count == 0 { throw Refusal(.invalid, field: .blockIDs, limit: 1) }
    let size = configuration.hashBytes
    let limit = blocks.index == nil ? 0 : ids.count * size
    guard let bytes = hashes.baseAddress, hashes.count == limit else {
      throw Refusal(.invalid, field: .blockHashes, limit: UInt64(limit))
    }
    if parent.count > 0 && parent.count != size {
      throw Refusal(.invalid, field: .parentHash, limit: UInt64(size))
    }
    for i in 0..<ids.count {
      try checkBlock(ids[i], .blockIDs)
      let isHeld = run.slot != SequenceSlot.none && blocks.rawReferences(ids[i], by: run.slot) > 0
      guard isHeld else { throw Refusal(.notHeld, subject: UInt64(ids[i])) }
      if let content = blocks.content(ids[i]), content != BlockHash(bytes + i * size, size) {
        throw Refusal(.wrongState, subject: UInt64(ids[i]))
      }
    }
    let before = parent.count == 0 ? nil : parent.baseAddress
    result.affected =
      isFollowed
      ? store(ids, bytes, before, isFollowed: true) : store(ids, bytes, before, isFollowed: false)
    if result.affected > 0 { run.changed = true }
  }

  @inline(__always)
  private func store(
    _ ids: UnsafeBufferPointer<BlockID>, _ bytes: UnsafePointer<UInt8>,
    _ parent: UnsafePointer<UInt8>?,
    isFollowed: Bool
  ) -> UInt32 {
    var stored: UInt32 = 0
    // Whether the block before was stored, in the same size class: then the entry goes on.
    var isOpen = false
    let size = configuration.hashBytes
    for i in 0..<ids.count {
      let hash = BlockHash(bytes + i * size, size)
      let isNew = blocks.cache(ids[i], hash)
      if isNew { stored += 1 }
      if !isFollowed { continue }
      let before = i == 0 ? parent : bytes + (i - 1) * size
      if isNew && touched != nil {
        blocks.index?.setParent(of: ids[i], before.map { BlockHash($0, size).words.0 } ?? 0)
      }
      if !isLogging { continue }
      if i > 0 && blocks.sizeClass(of: ids[i]) != blocks.sizeClass(of: ids[i - 1]) {
        isOpen = false
      }
      if isNew && isOpen {
        log.goOnStored(ids[i], hash, copies: blocks.cachedCopies)
      } else if isNew {
        log.beginStored(
          ids[i], hash, copies: blocks.cachedCopies, by: log.owner(of: holderOfCommand), at: 0,
          parent: before, size, blocks)
      }
      isOpen = isNew
    }
    return stored
  }

  private func checkShape(_ hashes: UnsafeBufferPointer<UInt8>) throws(Refusal) {
    if hashes.count == 0 { return }
    let limit = blocks.index == nil ? 0 : configuration.hashBytes
    if limit == 0 || hashes.count % limit != 0 {
      throw Refusal(.invalid, field: .blockHashes, limit: UInt64(limit))
    }
  }
}
