/// Swapping: sequences leave the device for the host tier and come back, by copies.
///
/// The rules are those of vLLM's v0 (`BlockSpaceManagerV1.swap_out`, `can_swap_in`, `swap_in`), with
/// both ends of every copy pinned until it is acknowledged; `Tiers.md` lists them.
extension KVPool {
  /// Running to swapped, all of the list or none: a host block and one copy for each distinct block.
  ///
  /// O(table entries of the list).
  func swapOut(
    _ ids: UnsafeBufferPointer<SequenceID>, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    let host = try checkSwap(ids, .running)
    var set = SwapSet()
    try collect(ids, blocks, into: &set)
    let needed = UInt32(set.blocks.count)
    if needed > host.capacity {
      throw Refusal(.never, needed: needed, available: host.available, sequence: ids[0])
    }
    if needed > host.available {
      throw Refusal(.later, needed: needed, available: host.available, sequence: ids[0])
    }
    take(&set, from: host)
    // The last blocks first: that is the order in which they become available again, so that of
    // what stays cached the head of a chain is the last to go.
    orderSwap(set, .swapOut, inReverse: true, outcome)
    result.copies = slice(outcome.copies.count - set.blocks.count, outcome.copies.count)
    let pinned = blocks.counters.pinned
    for id in ids {
      let slot = try slot(of: id)
      let old = keepTable(of: slot, &set)
      noteHittable(slot)
      _ = cutTable(of: slot, to: 0, .swapOut)
      fillTable(of: slot, old, set, host)
      sessions.removeRunning(slot, in: sequences)
      sequences.setState(.swapped, of: slot)
      settle(slot)
    }
    finishSwap(ids, set, pinned: blocks.counters.pinned - pinned, &result)
    activity.swappedOutBlocks += UInt64(set.blocks.count)
  }

  /// Swapped to running, all of the list or none. It fits where, beside the blocks, one more for each
  /// sequence and the watermark are available: each is about to be extended.
  ///
  /// Content that was cached before is so again, at once: in the new blocks, once the copies are made.
  /// O(table entries of the list).
  func swapIn(
    _ ids: UnsafeBufferPointer<SequenceID>, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    let host = try checkSwap(ids, .swapped)
    var set = SwapSet()
    try collect(ids, host, into: &set)
    try checkFit(of: set, ids)
    take(&set, from: blocks)
    orderSwap(set, .swapIn, inReverse: false, outcome)
    result.copies = slice(outcome.copies.count - set.blocks.count, outcome.copies.count)
    let pinned = host.counters.pinned
    for id in ids {
      let slot = try slot(of: id)
      let old = keepTable(of: slot, &set)
      dropHostTable(of: slot, .swapIn)
      fillTable(of: slot, old, set, blocks)
      sequences.slots[Int(slot)].admittedRevision = revision + 1
      sequences.setState(.running, of: slot)
      sessions.appendRunning(slot, in: sequences)
      releasePromise(of: id)
      settle(slot)
      cacheAgain(slot)
    }
    finishSwap(ids, set, pinned: host.counters.pinned - pinned, &result)
    activity.swappedInBlocks += UInt64(set.blocks.count)
  }

  private func finishSwap(
    _ ids: UnsafeBufferPointer<SequenceID>, _ set: borrowing SwapSet, pinned: UInt32,
    _ result: inout OperationResult
  ) {
    run.blocks += set.entries
    result.affected = UInt32(ids.count)
    result.freedBlocks = pinned
    result.availableHostBlocks = host?.available ?? 0
    run.changed = true
  }

  // MARK: Checks

  private func checkSwap(
    _ ids: UnsafeBufferPointer<SequenceID>, _ state: SequenceState
  ) throws(Refusal) -> BlockPool {
    guard let host else { throw Refusal(.wrongState, field: .hostBlocks) }
    try checkList(ids)
    for id in ids {
      let slot = try slot(of: id)
      if sequences.slots[Int(slot)].state != state { throw Refusal(.wrongState, sequence: id) }
    }
    return host
  }

  /// v0's `can_swap_in`: never where the pool is too small, now where the watermark stays. What was
  /// promised to others stays too; what was promised to these has paid the watermark. Each size class
  /// for itself.
  private func checkFit(
    of set: borrowing SwapSet, _ ids: UnsafeBufferPointer<SequenceID>
  ) throws(Refusal) {
    if !hasClasses { return try checkFit(UInt32(set.blocks.count) + UInt32(ids.count), ids) }
    var needed = Array(repeating: UInt32(0), count: shapes.count)
    for i in 0..<set.blocks.count {
      needed[Int(sequences.slots[Int(set.blocks[i].slot)].sizeClass)] += 1
    }
    for id in ids { needed[Int(sequences.slots[Int(try slot(of: id))].sizeClass)] += 1 }
    for i in needed.indices where needed[i] > 0 {
      useClass(UInt8(i))
      try checkFit(needed[i], ids)
    }
  }

  private func checkFit(
    _ needed: UInt32, _ ids: UnsafeBufferPointer<SequenceID>
  ) throws(Refusal) {
    var own: UInt32 = 0
    for id in ids { own += promised(to: id) }
    let available = self.available
    let others = promisedHere - own
    let watermark = needed <= own ? 0 : watermarkBlocks
    if needed > capacity
      || UInt64(needed) + UInt64(watermark) + UInt64(others) > UInt64(available)
    {
      throw Refusal(
        needed > capacity ? .never : .later, needed: needed, available: available,
        reserved: others, watermark: watermark, sequence: ids[0])
    }
  }

  // MARK: The set of blocks that move

  /// The distinct blocks of a list of sequences, in the order in which their tables meet them.
  private struct SwapSet: ~Copyable {
    var blocks = FlatList<SwapBlock>()
    /// (block, 0) -> place in `blocks` + 1.
    let places = WideMap(.swaps, undo: UndoLog())
    /// Entries of all tables.
    var entries: UInt32 = 0
    /// The table at hand, as places in `blocks` + 1; 0 for the null block.
    var table = FlatList<UInt32>()
  }

  private struct SwapBlock: BitwiseCopyable {
    var source: BlockID
    var target: BlockID = 0
    /// Slots that the fullest of its tables uses.
    var tokens: UInt32
    /// Whose table met it first, and where.
    var slot: UInt32
    var tableIndex: UInt32
  }

  /// Changes nothing. Refuses what would pass a limit.
  private func collect(
    _ ids: UnsafeBufferPointer<SequenceID>, _ pool: BlockPool, into set: inout SwapSet
  ) throws(Refusal) {
    for id in ids {
      let slot = try slot(of: id)
      let sequence = sequences.slots[Int(slot)]
      try checkBlocks(UInt64(set.entries) + UInt64(sequence.blockCount), .sequenceIDs, id)
      try spend(sequence.blockCount, id)
      set.entries += sequence.blockCount
      for (i, block) in sequence.blocks.enumerated() where block != 0 {
        let tokens = filled(sequence.computed, UInt32(i), size: blockSize(of: slot))
        let place = set.places.value(UInt64(block), 0)
        if place > 0 {
          set.blocks[Int(place) - 1].tokens = max(set.blocks[Int(place) - 1].tokens, tokens)
          continue
        }
        // One more than that, where a session pins its content, too.
        if pool.records[Int(block)].pins >= BlockPool.maximumPins {
          throw Refusal(
            .quota, limit: UInt64(BlockPool.maximumPins), sequence: id, subject: UInt64(block))
        }
        set.blocks.append(
          SwapBlock(source: block, tokens: tokens, slot: slot, tableIndex: UInt32(i)))
        set.places.set(UInt64(block), 0, to: UInt32(set.blocks.count))
      }
    }
  }

  /// Slots of entry `i` of a table that hold one of the first `tokens` tokens.
  func filled(_ tokens: UInt32, _ i: UInt32, size: UInt32) -> UInt32 {
    let size = UInt64(size)
    let begin = UInt64(i) * size
    return UInt64(tokens) > begin ? UInt32(min(UInt64(tokens) - begin, size)) : 0
  }

  private func take(_ set: inout SwapSet, from pool: BlockPool) {
    for i in 0..<set.blocks.count {
      let holder = Holder.sequence(set.blocks[i].slot)
      useClass(of: set.blocks[i].slot)
      var target: BlockID = 0
      withUnsafeMutablePointer(to: &target) {
        pool.take(1, for: holder, generation: generation, into: $0)
      }
      set.blocks[i].target = target
    }
  }

  private func orderSwap(
    _ set: borrowing SwapSet, _ kind: CopyKind, inReverse: Bool, _ outcome: Outcome
  ) {
    for i in 0..<set.blocks.count {
      let block = set.blocks[inReverse ? set.blocks.count - 1 - i : i]
      pool(kind.sourceTier).addPin(block.source)
      pool(kind.targetTier).addPin(block.target)
      let sequence = sequences.slots[Int(block.slot)]
      order(
        source: block.source, target: block.target, tokens: block.tokens, sequence: sequence.id,
        tableIndex: block.tableIndex, isRaw: false, kind: kind, sequence.session, outcome)
    }
  }

  /// The table as places in the set, before it is cut. Returns its length.
  private func keepTable(of slot: UInt32, _ set: inout SwapSet) -> UInt32 {
    set.table.removeAll()
    for block in sequences.slots[Int(slot)].blocks {
      set.table.append(block == 0 ? 0 : set.places.value(UInt64(block), 0))
    }
    return UInt32(set.table.count)
  }

  /// The cut table once more, of the other tier. Whoever did not meet a block first takes one more
  /// reference to its successor.
  private func fillTable(
    of slot: UInt32, _ count: UInt32, _ set: borrowing SwapSet, _ pool: BlockPool
  ) {
    if count == 0 { return }
    let room = sequences.extendTable(of: slot, by: count)
    for i in 0..<count {
      let place = set.table[Int(i)]
      if place == 0 {
        room[Int(i)] = 0
        sequences.slots[Int(slot)].nullBlocks += 1
        continue
      }
      let block = set.blocks[Int(place) - 1]
      room[Int(i)] = block.target
      if block.slot != slot || block.tableIndex != i {
        pool.addReference(block.target, touch: generation)
        if blocks.logsReferences {
          log.note(.shared, .none, by: .sequence(slot), one: block.target, of: pool)
        }
      }
    }
  }

  /// Content that was taken away while the sequence ran does not come back with it.
  private func noteHittable(_ slot: UInt32) {
    guard let chains else { return }
    let sequence = sequences.slots[Int(slot)]
    let cached = chains.chains[Int(slot)].cachedBlocks
    var count: UInt32 = 0
    while count < cached {
      let block = sequence.blocks[Int(count)]
      if block != 0 && blocks.records[Int(block)].twin == 0 { break }
      count += 1
    }
    if chains.chains[Int(slot)].hittableAtSwap == count { return }
    chains.save(slot)
    chains.chains[Int(slot)].hittableAtSwap = count
  }

  /// The leading blocks that could be hit as the sequence left can be so in their new places.
  private func cacheAgain(_ slot: UInt32) {
    guard let chains else { return }
    _ = store(0..<chains.chains[Int(slot)].hittableAtSwap, of: slot, chains)
    if chains.chains[Int(slot)].hittableAtSwap == 0 { return }
    chains.save(slot)
    chains.chains[Int(slot)].hittableAtSwap = 0
  }

  // MARK: The host tier

  func pool(_ tier: Tier) -> BlockPool {
    guard tier == .host else { return blocks }
    guard let host else { preconditionFailure("asked for a tier that does not exist") }
    return host
  }

  /// The blocks that a sequence's table names.
  func pool(of sequence: SequenceSlot) -> BlockPool {
    pool(sequence.stateBits == SequenceState.swapped.rawValue ? .host : .device)
  }

  /// Gives a swapped sequence's blocks back, tail first; those with copies under way stay pinned.
  func dropHostTable(of slot: UInt32, _ cause: ChangeLog.Cause) {
    let sequence = sequences.slots[Int(slot)]
    sequences.save(slot)
    sequences.slots[Int(slot)].blockCount = 0
    sequences.slots[Int(slot)].nullBlocks = 0
    let first = Int(sequence.nullBlocks)
    guard let table = sequence.table, first < sequence.blocks.count else { return }
    pool(.host).dropReferences(
      table + sequence.blocks.count - 1, sequence.blocks.count - first, stride: -1,
      by: .sequence(slot), cause)
  }

  func addHost(to stats: inout PoolStats) {
    stats.swappedOutBlocks = activity.swappedOutBlocks
    stats.swappedInBlocks = activity.swappedInBlocks
    guard let host else { return }
    stats.hostBlocks = host.capacity
    stats.hostFree = host.counters.free
    stats.hostActive = host.counters.active
    stats.hostShared = host.counters.shared
    stats.hostPinned = host.counters.pinned
  }

  /// The host's ids that the next swaps take, in order. O(free blocks); for tests.
  package func hostQueue() -> [BlockID] { host?.freeQueue() ?? [] }

  /// The state, references, generation and pins of a host block, 1 ... `hostBlocks`.
  package func hostBlock(_ id: BlockID) -> BlockView { pool(.host).view(id) }
}
