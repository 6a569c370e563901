/// Pins: cached prefixes that no allocation may evict, kept by sessions within a budget.
///
/// `EvictionPolicies.md` has the rules.
extension KVPool {
  /// Pins what is cached of a prefix, from its first block on, as far as the session's budget goes;
  /// or takes the pin of that prefix away. Pinning again begins anew: what is cached now, with the
  /// new time-to-live.
  func pin(_ request: PinPrefix, _ result: inout OperationResult) throws(Refusal) {
    try useClass(number: request.sizeClass)
    let size = configuration.hashBytes
    let hashes = try hashes(of: request)
    guard let bytes = hashes.baseAddress, hashes.count % size == 0 else {
      throw Refusal(.invalid, field: .blockHashes, limit: UInt64(size))
    }
    let asked = UInt32(clamping: hashes.count / size)
    let content = BlockHash(bytes + (hashes.count - size), size)
    let old =
      run.slot == SequenceSlot.none
      ? PrefixPin.none : pins.find(content, asked: asked, session: run.slot)
    if request.unpins {
      if old != PrefixPin.none {
        var batch = blocks.beginUnpinning()
        drop(old, &batch)
        blocks.finish(batch)
        result.freedBlocks = batch.freed
        run.changed = true
      }
    } else {
      hits.removeAll()
      findPrefix(hashes, limit: Int(Self.maximumBlocksPerCommand), into: &hits)
      let pinned = pinHits(content, asked: asked, request.timeToLive, replacing: old)
      result.tokens = tokensOfHits(Int(pinned))
    }
    report(&result)
  }

  /// The hashes that the prefix comes with, or those of its tokens' full blocks.
  private func hashes(of request: PinPrefix) throws(Refusal) -> UnsafeBufferPointer<UInt8> {
    guard let chains else { throw Refusal(.invalid, field: .blockHashes) }
    if request.tokens > tokenLimit {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(tokenLimit))
    }
    if request.tokenIDs.count == 0 {
      if request.tokens > 0 {
        try checkHashes(
          request.blockHashes, of: SequenceSlot.none, tokens: request.tokens, 0)
      }
      return request.blockHashes
    }
    try checkTokenIDs(request.tokenIDs, tokens: request.tokens, request.blockHashes, 0)
    let hashes = chains.hashesOfNew(request.tokenIDs, extraKeys: request.extraKeys)
    if hashes.count == 0 { throw Refusal(.invalid, field: .tokenIDs) }
    return hashes
  }

  /// Pins the first of the blocks in `hits`. Returns how many.
  private func pinHits(
    _ content: BlockHash, asked: UInt32, _ timeToLive: UInt64, replacing old: UInt32
  ) -> UInt32 {
    var expires: UInt64 = 0
    if timeToLive > 0 {
      let (sum, overflow) = readClock().addingReportingOverflow(timeToLive)
      expires = overflow ? .max : sum
    }
    var pinned: UInt32 = 0
    var pin = PrefixPin.none
    for block in hits.elements {
      guard mayPin(block) else { break }
      if pin == PrefixPin.none {
        pin = pins.create(content, asked: asked, expires: expires, session: ensureSession())
      }
      if pins.append(block, to: pin) { blocks.pinContent(block) }
      pinned += 1
    }
    if blocks.logsReferences {
      log.note(.pinned, .prefix, by: holderOfCommand, hits.base, Int(pinned), of: blocks)
    }
    // The new one first, so that what both hold never leaves and comes back.
    if old != PrefixPin.none {
      var batch = blocks.beginUnpinning()
      drop(old, &batch)
      blocks.finish(batch)
    }
    if pinned > 0 || old != PrefixPin.none { run.changed = true }
    return pinned
  }

  /// Whether the session's budget has room for this block, and the pool can spare it.
  private func mayPin(_ block: BlockID) -> Bool {
    if blocks.isEvictable(block) && unpromised == 0 { return false }
    if run.slot == SequenceSlot.none { return configuration.pinBudgetBlocks > 0 }
    let owner = sessions.slots[Int(run.slot)]
    if owner.pinLinks == Self.maximumBlocksPerCommand { return false }
    return pins.holds.value(UInt64(block), run.slot) > 0
      || owner.pinnedBlocks < configuration.pinBudgetBlocks
  }

  private func report(_ result: inout OperationResult) {
    let budget = configuration.pinBudgetBlocks
    let used = run.slot == SequenceSlot.none ? 0 : sessions.slots[Int(run.slot)].pinnedBlocks
    result.affected = used
    result.budgetBlocks = budget - min(budget, used)
  }

  /// Takes a pin away, its blocks from the last of the prefix on.
  private func drop(_ pin: UInt32, _ batch: inout BlockPool.Unpinning) {
    var link = pins.pins[Int(pin)].lastLink
    let holder = Holder.raw(pins.pins[Int(pin)].session)
    while link != PrefixPin.none {
      let next = pins.links[Int(link)].nextInPin
      let block = pins.links[Int(link)].block
      if block != 0 && pins.release(link) { blocks.dropPin(block, &batch, by: holder, .prefix) }
      link = next
    }
    pins.remove(pin)
  }

  /// At the start of a command: pins whose time is over go, in the order in which they end.
  func expirePins() {
    if pins.timed == 0 { return }
    let now = readClock()
    if pins.firstExpired(now) == PrefixPin.none { return }
    var batch = blocks.beginUnpinning()
    while case let pin = pins.firstExpired(now), pin != PrefixPin.none { drop(pin, &batch) }
    blocks.finish(batch)
    run.changed = true
  }

  /// All pins of a session go, the last one made first. For sessions that end.
  func dropPins(ofSession slot: UInt32) {
    var batch = blocks.beginUnpinning()
    while case let pin = sessions.slots[Int(slot)].lastPin, pin != PrefixPin.none {
      drop(pin, &batch)
      run.changed = true
    }
    blocks.finish(batch)
  }

  /// Blocks that lost their content are nobody's prefix any more.
  func dropPins(of ids: UnsafeBufferPointer<BlockID>) {
    if pins.count == 0 { return }
    var batch = blocks.beginUnpinning()
    for id in ids { unpin(id, &batch) }
    blocks.finish(batch)
  }

  /// The same for all blocks there are.
  func dropAllPins() {
    if pins.count == 0 { return }
    var batch = blocks.beginUnpinning()
    for id in 1...blocks.capacity { unpin(id, &batch) }
    blocks.finish(batch)
  }

  private func unpin(_ block: BlockID, _ batch: inout BlockPool.Unpinning) {
    while case let link = pins.firstLink(of: block), link != PrefixPin.none {
      let pin = pins.links[Int(link)].pin
      let holder = Holder.raw(pins.pins[Int(pin)].session)
      if pins.release(link) { blocks.dropPin(block, &batch, by: holder, .prefix) }
      if pins.pins[Int(pin)].blocks == 0 { pins.remove(pin) }
    }
  }

  // MARK: Reads

  /// The session's pins in the order they were made. O(its pins + their blocks); for reports, and
  /// for whoever takes a session's things from it.
  package func pinnedPrefixes(session: SessionID) -> [PinnedPrefix] {
    let slot = sessions.find(session)
    if slot == SequenceSlot.none { return [] }
    var found: [PinnedPrefix] = []
    var pin = sessions.slots[Int(slot)].firstPin
    while pin != PrefixPin.none {
      let one = pins.pins[Int(pin)]
      var held: [BlockID] = []
      var link = one.lastLink
      while link != PrefixPin.none {
        if pins.links[Int(link)].block != 0 { held.append(pins.links[Int(link)].block) }
        link = pins.links[Int(link)].nextInPin
      }
      found.append(
        PinnedPrefix(
          content: one.content, askedBlocks: one.asked, expires: one.expires,
          blocks: held.reversed()))
      pin = one.nextInSession
    }
    return found
  }

  /// Blocks that the session pins. O(1).
  package func pinnedBlocks(session: SessionID) -> UInt32 {
    let slot = sessions.find(session)
    return slot == SequenceSlot.none ? 0 : sessions.slots[Int(slot)].pinnedBlocks
  }
}

/// One pin of a session.
package struct PinnedPrefix: Equatable {
  /// The hash of the last block that was asked for, and how many were.
  package var content: BlockHash
  package var askedBlocks: UInt32
  /// The clock at which it ends; 0 = until it is taken away.
  package var expires: UInt64
  /// What it holds, from the start of the prefix; fewer than asked for a partial pin.
  package var blocks: [BlockID]
}
