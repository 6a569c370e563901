/// The prefix cache of sequences: what is looked up, what is cached and when, what is forgotten.
///
/// The rules are vLLM's (`get_computed_blocks`, `cache_full_blocks`, `evict_blocks`,
/// `reset_prefix_cache`); `Design.md` lists them.
extension KVPool {
  // MARK: Hashes that come with tokens

  /// Hashes are given for all blocks that are full with `tokens` and whose hash is not known yet, or
  /// not at all. `slot` is `SequenceSlot.none` for a sequence to come.
  func checkHashes(
    _ hashes: UnsafeBufferPointer<UInt8>, of slot: UInt32, tokens: UInt32, _ id: SequenceID
  ) throws(Refusal) {
    if hashes.count == 0 { return }
    var limit: UInt64 = 0
    if let chains {
      let known = slot == SequenceSlot.none ? 0 : chains.chains[Int(slot)].count
      limit = UInt64(chains.hashable(tokens) - known) * UInt64(chains.hashBytes)
    }
    if UInt64(hashes.count) != limit || limit == 0 {
      throw Refusal(.invalid, field: .blockHashes, limit: limit, sequence: id)
    }
  }

  // MARK: Looking up

  /// Appends the blocks of the longest cached prefix: from the first on, up to the first hole.
  ///
  /// - Parameter limit: At most this many.
  /// - Complexity: O(blocks found).
  func findPrefix(
    _ hashes: UnsafeBufferPointer<UInt8>, limit: Int, into list: inout FlatList<BlockID>
  ) {
    guard let index = blocks.index, let bytes = hashes.baseAddress else { return }
    let count = min(hashes.count / index.hashBytes, limit)
    let old = list.count
    for i in 0..<count {
      let block = index.first(
        BlockHash(bytes + i * index.hashBytes, index.hashBytes), group: run.sizeClass)
      if block == 0 { break }
      list.append(block)
    }
    run.work += UInt64(list.count - old)
  }

  /// The hits of a sequence of `tokens`: at least one token is always left to compute, so that there
  /// are logits, and with EAGLE one block less is used.
  ///
  /// - Returns: Blocks of the prefix before those in the list, which a sliding window is past.
  @discardableResult
  func findHits(
    _ hashes: UnsafeBufferPointer<UInt8>, tokens: UInt32, into list: inout FlatList<BlockID>
  ) -> UInt32 {
    let limit = Int((tokens - 1) / blockSize)
    if window > 0 { return findWindow(hashes, limit: limit, into: &list) }
    let old = list.count
    findPrefix(hashes, limit: limit, into: &list)
    if configuration.eagle && list.count > old { list.removeLast(1) }
    return 0
  }

  @inline(__always)
  func evictable(_ ids: UnsafeBufferPointer<BlockID>) -> UInt32 {
    var count: UInt32 = 0
    for id in ids where blocks.isEvictable(id) { count += 1 }
    return count
  }

  // MARK: Caching

  /// Makes the full blocks of the first `tokens` tokens hit-able that are not yet.
  ///
  /// - Returns: Blocks that became hit-able.
  @inline(__always)
  @discardableResult
  func cacheFull(_ slot: UInt32, tokens: UInt32) -> UInt32 {
    guard let chains = unretainedChains else { return 0 }
    return chains._withUnsafeGuaranteedRef { chains in
      let chain = chains.chains + Int(slot)
      if chain.pointee.cachedBlocks >= chain.pointee.count { return 0 }
      let full = min(tokens / blockSize, chain.pointee.count)
      if chain.pointee.cachedBlocks >= full { return 0 }
      return cache(slot, upTo: full, chains)
    }
  }

  @inline(never)
  private func cache(_ slot: UInt32, upTo full: UInt32, _ chains: HashChains) -> UInt32 {
    let new = chains.chains[Int(slot)].cachedBlocks..<full
    // With a reach of 0 no block would be needed for a hit, and vLLM caches none.
    let made = reach == 0 ? 0 : store(new, of: slot, chains)
    run.work += UInt64(full - chains.chains[Int(slot)].cachedBlocks)
    chains.save(slot)
    chains.chains[Int(slot)].cachedBlocks = full
    run.changed = true
    return made
  }

  /// The blocks of this range of the table have their content from here on, but for those that have
  /// some already: from a raw holder, or from a fork that was faster. Returns how many have it now.
  @inline(__always)
  func store(_ range: Range<UInt32>, of slot: UInt32, _ chains: HashChains) -> UInt32 {
    if isFollowed && range.count > 1 { return storeFollowed(range, of: slot, chains) }
    let made = store(range, of: slot, chains, isFollowed: false)
    // One block, which is what a decode fills.
    if isFollowed && made == 1 { noteOneStored(at: range.lowerBound, of: slot, chains) }
    return made
  }

  @inline(never)
  private func storeFollowed(
    _ range: Range<UInt32>, of slot: UInt32, _ chains: HashChains
  ) -> UInt32 {
    store(range, of: slot, chains, isFollowed: true)
  }

  @inline(never)
  private func noteOneStored(at i: UInt32, of slot: UInt32, _ chains: HashChains) {
    let block = sequences.slots[Int(slot)].blocks[Int(i)]
    noteStored(block, at: i, of: slot, chains, goesOn: false)
  }

  /// A block of a sequence has its content. `goesOn`: so has the one before, by the same call.
  @inline(__always)
  private func noteStored(
    _ block: BlockID, at i: UInt32, of slot: UInt32, _ chains: HashChains, goesOn: Bool
  ) {
    let place = chains.place(i, of: slot)
    // In a chain the hash before is that of the block before.
    let parent = i == 0 ? nil : place - chains.hashBytes
    if touched != nil {
      blocks.index?.setParent(
        of: block, parent.map { BlockHash($0, chains.hashBytes).words.0 } ?? 0)
    }
    if !isLogging { return }
    let hash = BlockHash(place, chains.hashBytes)
    if goesOn { return log.goOnStored(block, hash, copies: blocks.cachedCopies) }
    let sequence = sequences.slots + Int(slot)
    log.beginStored(
      block, hash, copies: blocks.cachedCopies,
      by: BlockOwner(
        .sequence, session: sessions.slots[Int(sequence.pointee.session)].id,
        sequence: sequence.pointee.id),
      at: i, parent: parent, chains.hashBytes, blocks)
  }

  /// Where nobody follows a loop that does not ask.
  @inline(__always)
  private func store(
    _ range: Range<UInt32>, of slot: UInt32, _ chains: HashChains, isFollowed: Bool
  ) -> UInt32 {
    let table = sequences.slots[Int(slot)].blocks
    var made: UInt32 = 0
    // Whether the block before was stored: then the entry of the log goes on.
    var isOpen = false
    for i in range where table[Int(i)] != 0 {
      let block = table[Int(i)]
      let isNew = blocks.cache(block, chains.hash(i, of: slot))
      if isNew { made += 1 }
      claim(block, at: i, of: slot)
      if !isFollowed { continue }
      if isNew { noteStored(block, at: i, of: slot, chains, goesOn: isOpen) }
      isOpen = isNew
    }
    return made
  }

  func commit(
    _ id: SequenceID, _ tokens: UInt32, _ result: inout OperationResult
  ) throws(Refusal) {
    let slot = try slot(of: id)
    let sequence = sequences.slots[Int(slot)]
    guard sequence.isRunning else { throw Refusal(.wrongState, sequence: id) }
    if tokens > sequence.computed {
      throw Refusal(
        .invalid, field: .tokenCount, limit: UInt64(sequence.computed), sequence: id)
    }
    let written = tokens == 0 ? sequence.computed : tokens
    result.affected = cacheFull(slot, tokens: written)
    result.tokens = written
    if let chains {
      let cached = chains.chains[Int(slot)].cachedBlocks * blockSize
      result.tokens = max(written, cached)
    }
  }

  // MARK: Forgetting

  /// After a rewind: hashes of tokens that are gone go, and blocks that were cached and are not full
  /// any more lose their content, unless others hold or pin them too.
  func rewindChain(_ slot: UInt32) {
    guard let chains else { return }
    let sequence = sequences.slots[Int(slot)]
    let chain = chains.chains + Int(slot)
    let known = min(chain.pointee.count, chains.hashable(sequence.tokens))
    let cached = min(
      chain.pointee.cachedBlocks, sequence.computed / blockSize, known)
    if known == chain.pointee.count && cached == chain.pointee.cachedBlocks
      && chain.pointee.tokensEnd <= sequence.tokens
    {
      return
    }
    chains.save(slot)
    run.work += UInt64(chain.pointee.cachedBlocks - cached)
    for i in cached..<chain.pointee.cachedBlocks {
      let block = sequence.blocks[Int(i)]
      if block != 0 && blocks.records[Int(block)].refCount == 1 && !pins.isPinned(block) {
        blocks.forget(block, .rewind, for: .sequence(slot))
      }
    }
    chains.cut(slot, hashes: known, tokens: sequence.tokens)
    chain.pointee.cachedBlocks = cached
  }

  func evictBlocks(
    _ ids: UnsafeBufferPointer<BlockID>, _ result: inout OperationResult
  ) throws(Refusal) {
    if ids.count == 0 { throw Refusal(.invalid, field: .blockIDs, limit: 1) }
    for id in ids { try checkBlock(id, .blockIDs) }
    for id in ids where blocks.forget(id, .request, for: holderOfCommand) { result.affected += 1 }
    if result.affected > 0 { run.changed = true }
    dropPins(of: ids)
  }

  /// Forgets all content, if nobody holds a block (vLLM returns False otherwise). Pins hold nothing
  /// against it: they keep content from eviction, not from who says that it is worth nothing any
  /// more. The queue keeps its order; blocks that were pinned go to its front, by their ids.
  func resetPrefixCache(
    _ preemptsRunning: Bool, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    try spend(0, 0)
    run.work += UInt64(blocks.capacity / 8)
    if preemptsRunning { try preemptEverything(&result, outcome) }
    if blocks.counters.active + blocks.counters.shared > 0 || copies.count > 0 {
      throw Refusal(.wrongState, needed: blocks.capacity, available: blocks.available)
    }
    try checkHostIsFree()
    guard blocks.index != nil, blocks.counters.cached + blocks.counters.pinned > 0 else { return }
    // Nobody holds a block, and no copy is under way: what is cached or pinned has content. To try
    // that out takes no memory for undoing it.
    if run.countsOnly {
      result.affected = blocks.counters.cached + blocks.counters.pinned
    } else {
      for id in 1...blocks.capacity where blocks.forget(id, .reset, for: holderOfCommand) {
        result.affected += 1
      }
      if isLogging { log.noteCleared(.reset) }
    }
    dropAllPins()
    run.changed = true
  }

  /// What is swapped out comes back with its content, so that a reset would not reach it.
  func checkHostIsFree() throws(Refusal) {
    if let host, host.available != host.capacity {
      throw Refusal(.wrongState, needed: host.capacity, available: host.available)
    }
  }
}

// MARK: - Reads

/// What a lookup found.
package struct PrefixLookup: Equatable {
  /// Tokens of the longest cached prefix that an admission would use.
  package var cachedTokens: UInt32
  /// Of its blocks, those without a reference: an admission takes them from the queue.
  package var evictableBlocks: UInt32
  /// Blocks for the rest of the tokens.
  package var blocksNeeded: UInt32
  /// Blocks of the prefix before those found: a sliding window is past them.
  package var nullBlocks: UInt32 = 0
}

extension KVPool {
  /// What an admission of the session's sequence would hit, its blocks into `list`; nil when there
  /// is no such sequence. Changes nothing: neither references nor the order of the queue.
  package func lookup(
    session: SessionID, sequence: SequenceID, into list: inout FlatList<BlockID>
  ) -> PrefixLookup? {
    let owner = sessions.find(session)
    if owner == SequenceSlot.none { return nil }
    let slot = sequences.find(sequence, session: owner)
    if slot == SequenceSlot.none { return nil }
    useClass(of: slot)
    list.removeAll()
    let tokens = sequences.slots[Int(slot)].tokens
    var nulls: UInt32 = 0
    if let chains, !chains.chains[Int(slot)].skipsLookup {
      nulls = findHits(chains.bytes(of: slot), tokens: tokens, into: &list)
    }
    return describe(list.elements, nulls, tokens)
  }

  /// The same for a sequence to come, which is checked as one, but for its id.
  package func lookup(
    _ new: AddSequence, into list: inout FlatList<BlockID>
  ) throws(Refusal) -> PrefixLookup {
    run.keyBytes = 0
    try checkContent(of: new)
    list.removeAll()
    var nulls: UInt32 = 0
    if !new.skipsPrefixLookup {
      nulls = findHits(hashes(of: new), tokens: new.tokens, into: &list)
    }
    return describe(list.elements, nulls, new.tokens)
  }

  private func describe(
    _ hits: UnsafeBufferPointer<BlockID>, _ nulls: UInt32, _ tokens: UInt32
  ) -> PrefixLookup {
    let count = UInt32(hits.count) + nulls
    return PrefixLookup(
      cachedTokens: count * blockSize, evictableBlocks: evictable(hits),
      blocksNeeded: blocksFor(UInt64(tokens)) - count, nullBlocks: nulls)
  }
}
