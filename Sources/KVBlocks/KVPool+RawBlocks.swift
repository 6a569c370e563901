/// Raw blocks, for schedulers that keep their own tables, and the copies of either layer.
extension KVPool {
  func allocate(
    _ count: UInt32, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    if blocks.needsRuns { return try place(PlaceBlocks(count), &result, outcome) }
    guard count > 0 else { throw Refusal(.invalid, field: .count, limit: 1) }
    let available = self.available
    if count > capacity {
      throw Refusal(.never, needed: count, available: available, reserved: promisedHere)
    }
    try checkBlocks(UInt64(count), .count)
    if count > unpromised {
      throw Refusal(.later, needed: count, available: available, reserved: promisedHere)
    }
    if blocks.searches { try spend(0, 0) }
    let session = ensureSession()
    run.blocks += count
    let start = outcome.blocks.count
    blocks.take(
      count, for: .raw(session), generation: generation,
      into: outcome.blocks.extend(by: Int(count)))
    sessions.save(session)
    sessions.slots[Int(session)].rawBlocks += count
    result.newBlocks = Slice32(start: UInt32(start), count: count)
    run.changed = true
  }

  func freeBlocks(
    _ ids: UnsafeBufferPointer<BlockID>, _ generations: UnsafeBufferPointer<UInt32>,
    _ result: inout OperationResult
  ) throws(Refusal) {
    try checkShape(ids, generations)
    guard let first = ids.baseAddress else { return }
    let session = run.slot
    if generations.count == 0 && session != SequenceSlot.none
      && blocks.freeExclusive(first, ids.count, heldBy: session)
    {
      result.freedBlocks = UInt32(ids.count)
      sessions.slots[Int(session)].rawBlocks -= UInt32(ids.count)
      run.changed = true
      return
    }
    var gone: UInt32 = 0
    // The books first: they tell how often each block may still be given back, and are easily put
    // right again when one block of the list is refused.
    for i in 0..<ids.count {
      let held = takeHold(first[i], i, generations)
      if held == 0 {
        let refusal = refusalToFree(first[i], i, generations)
        for j in (0..<i).reversed() { blocks.returnRawHold(first[j], to: session) }
        throw refusal
      }
      if held == 1 { gone &+= 1 }
    }
    result.freedBlocks = blocks.dropReferences(first, ids.count, by: .raw(session))
    sessions.save(session)
    sessions.slots[Int(session)].rawBlocks -= gone
    run.changed = true
  }

  /// Takes one raw hold of `id`, the list's number `i`, off the session's books. Returns how many
  /// there were; 0, and nothing changed, when the block is refused.
  @inline(__always)
  private func takeHold(
    _ id: BlockID, _ i: Int, _ generations: UnsafeBufferPointer<UInt32>
  ) -> UInt32 {
    if id == 0 || id > blocks.capacity || run.slot == SequenceSlot.none { return 0 }
    if generations.count > 0 {
      let expected = generations[generations.count == 1 ? 0 : i]
      if blocks.records[Int(id)].generation != expected { return 0 }
    }
    return blocks.takeRawHold(id, from: run.slot)
  }

  /// Why `takeHold` took nothing.
  private func refusalToFree(
    _ id: BlockID, _ i: Int, _ generations: UnsafeBufferPointer<UInt32>
  ) -> Refusal {
    do throws(Refusal) {
      try checkBlock(id, .blockIDs)
      let isHeld = run.slot != SequenceSlot.none && blocks.rawReferences(id, by: run.slot) > 0
      guard isHeld else { throw Refusal(.notHeld, subject: UInt64(id)) }
      try checkGeneration(of: id, i, generations)
      preconditionFailure("refused a block that may be freed")
    } catch {
      return error
    }
  }

  func forkBlocks(
    _ ids: UnsafeBufferPointer<BlockID>, _ generations: UnsafeBufferPointer<UInt32>,
    _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    try checkShape(ids, generations)
    for i in 0..<ids.count {
      try checkBlock(ids[i], .blockIDs)
      let references = blocks.records[Int(ids[i])].refCount
      guard references > 0 && blocks.records[Int(ids[i])].holder != .rounding else {
        throw Refusal(.notHeld, subject: UInt64(ids[i]))
      }
      try checkGeneration(of: ids[i], i, generations)
      try checkShareable(ids[i])
      if UInt64(references) + UInt64(ids.count) > UInt64(BlockPool.maximumReferences) {
        throw Refusal(
          .quota, field: .blockIDs, limit: UInt64(BlockPool.maximumReferences),
          subject: UInt64(ids[i]))
      }
    }
    let session = ensureSession()
    sessions.save(session)
    let start = outcome.counts.count
    for i in 0..<ids.count {
      if blocks.rawReferences(ids[i], by: session) == 0 {
        sessions.slots[Int(session)].rawBlocks += 1
      }
      blocks.addReference(ids[i], touch: generation)
      blocks.addRawHold(ids[i], by: session)
      outcome.counts.append(blocks.records[Int(ids[i])].refCount)
    }
    if blocks.logsReferences, let first = ids.baseAddress {
      log.note(.shared, by: .raw(session), first, ids.count, of: blocks)
    }
    result.counts = Slice32(start: UInt32(start), count: UInt32(ids.count))
    activity.forks += 1
    run.changed = true
  }

  func copyOnWrite(
    _ id: BlockID, _ filledTokens: UInt32, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    try checkBlock(id, .blockID)
    useClass(ofBlock: id)
    if filledTokens > blockSize {
      throw Refusal(.invalid, field: .filledTokens, limit: UInt64(blockSize))
    }
    let session = run.slot
    let held = session == SequenceSlot.none ? 0 : blocks.rawReferences(id, by: session)
    guard held > 0 else { throw Refusal(.notHeld, subject: UInt64(id)) }
    // A block whose fill is not told may be written anywhere.
    if isWritable(id, from: filledTokens) {
      if filledTokens < blockSize && blocks.forget(id, .overwrite, for: .raw(session)) {
        run.changed = true
      }
      result.block = id
      return
    }
    try checkPins(of: id)
    try checkBlocks(1)
    if unpromised == 0 {
      throw Refusal(.later, needed: 1, available: available, reserved: promisedHere)
    }
    if blocks.searches { try spend(0, 0) }
    sessions.save(session)
    _ = blocks.takeRawHold(id, from: session)
    if held > 1 { sessions.slots[Int(session)].rawBlocks += 1 }
    let target = moveReference(from: id, to: .raw(session))
    order(
      source: id, target: target,
      tokens: filledTokens == 0 ? blockSize : filledTokens,
      sequence: 0, tableIndex: 0, isRaw: true, session, outcome)
    result.block = target
    result.copies = Slice32(start: UInt32(outcome.copies.count - 1), count: 1)
  }

  // MARK: Copy on write, of both layers

  /// Whether slots of `id` from `slot` on may be written in place: nobody else refers to it, no
  /// session pins its content, and no copy under way reads or writes there.
  @inline(__always)
  func isWritable(_ id: BlockID, from slot: UInt32) -> Bool {
    let record = blocks.records + Int(id)
    if record.pointee.refCount != 1 { return false }
    return record.pointee.pins == 0
      || (!pins.isPinned(id) && !copies.conflicts(id, writingFrom: slot))
  }

  func checkPins(of id: BlockID) throws(Refusal) {
    if blocks.records[Int(id)].pins >= BlockPool.maximumPins {
      throw Refusal(.quota, limit: UInt64(BlockPool.maximumPins), subject: UInt64(id))
    }
  }

  /// Takes a block for `holder`, pins both and drops one reference of `source` in its favour.
  func moveReference(from source: BlockID, to holder: Holder) -> BlockID {
    var target: BlockID = 0
    withUnsafeMutablePointer(to: &target) {
      blocks.take(1, for: holder, generation: generation, into: $0)
    }
    blocks.addPin(source)
    blocks.addPin(target)
    withUnsafePointer(to: source) { _ = blocks.dropReferences($0, 1, by: holder, .copy) }
    blocks.counters.releasedReferences -= 1
    run.blocks += 1
    run.changed = true
    return target
  }

  func order(
    source: BlockID, target: BlockID, tokens: UInt32, sequence: SequenceID, tableIndex: UInt32,
    isRaw: Bool, kind: CopyKind = .write, _ session: UInt32, _ outcome: Outcome
  ) {
    let id = copies.order(
      session: session, source: source, target: target, tokens: tokens, kind: kind,
      tableIndex: tableIndex)
    activity.copies += 1
    let copy = CopyOrder(
      id: id, source: source, target: target, tokens: tokens, sequence: sequence,
      tableIndex: tableIndex, isRaw: isRaw, kind: kind)
    outcome.copies.append(copy)
    if isLogging { noteOrder(copy, session) }
  }

  func lastCopyID(of session: SessionID) -> UInt64 {
    let slot = sessions.find(session)
    return slot == SequenceSlot.none
      ? sessions.spentCopyIDs : sessions.slots[Int(slot)].lastCopyID
  }

  func acknowledgeCopies(
    _ ids: UnsafeBufferPointer<UInt64>, _ upTo: UInt64, _ result: inout OperationResult
  ) throws(Refusal) {
    if ids.count == 0 && upTo == 0 { throw Refusal(.invalid, field: .copyIDs, limit: 1) }
    try spend(0, 0)
    let session = run.slot
    let last = lastCopyID(of: run.session)
    if upTo > last { throw Refusal(.invalid, field: .upTo, limit: last) }
    stamp += 1
    for id in ids {
      let copy = session == SequenceSlot.none ? PendingCopy.none : copies.find(id, session: session)
      guard copy != PendingCopy.none && copies.copies[Int(copy)].stamp != stamp else {
        throw Refusal(.unknownCopy, subject: id)
      }
      copies.stamp(copy, stamp)
    }
    guard session != SequenceSlot.none else { return }
    var batch = beginAcknowledging()
    for id in ids {
      acknowledge(copies.find(id, session: session), &batch)
      result.affected += 1
    }
    result.affected += acknowledge(upTo: upTo, &batch)
    result.freedBlocks = finish(batch)
    result.pendingCopies = sessions.slots[Int(session)].pendingCopies
    if result.affected > 0 { run.changed = true }
  }

  /// All copies of the command's session up to this id are done.
  func acknowledge(upTo last: UInt64) {
    var batch = beginAcknowledging()
    if acknowledge(upTo: last, &batch) > 0 { run.changed = true }
    _ = finish(batch)
  }

  private func acknowledge(upTo last: UInt64, _ batch: inout Acknowledging) -> UInt32 {
    var done: UInt32 = 0
    while true {
      let first = sessions.slots[Int(run.slot)].firstCopy
      if first == PendingCopy.none || copies.copies[Int(first)].id > last { return done }
      acknowledge(first, &batch)
      done += 1
    }
  }

  /// Blocks of both tiers that copies under way let go.
  private struct Acknowledging {
    var device: BlockPool.Unpinning
    var host: BlockPool.Unpinning?
  }

  private func beginAcknowledging() -> Acknowledging {
    Acknowledging(device: blocks.beginUnpinning(), host: host?.beginUnpinning())
  }

  /// Returns how many blocks of the device became available.
  private func finish(_ batch: Acknowledging) -> UInt32 {
    blocks.finish(batch.device)
    if let host, let unpinning = batch.host { host.finish(unpinning) }
    return batch.device.freed
  }

  private func acknowledge(_ copy: UInt32, _ batch: inout Acknowledging) {
    let done = copies.copies[Int(copy)]
    if done.kind == .move { settle(done) }
    copies.remove(copy)
    let holder = Holder.raw(done.session)
    dropPin(done.source, on: done.kind.sourceTier, &batch, by: holder)
    dropPin(done.target, on: done.kind.targetTier, &batch, by: holder)
  }

  private func dropPin(
    _ id: BlockID, on tier: Tier, _ batch: inout Acknowledging, by holder: Holder
  ) {
    guard tier == .host else {
      return blocks.dropPin(id, &batch.device, by: holder, .acknowledgement)
    }
    guard let host, var unpinning = batch.host else {
      preconditionFailure("a copy of a tier that does not exist")
    }
    host.dropPin(id, &unpinning, by: holder, .acknowledgement)
    batch.host = unpinning
  }

  // MARK: Checks

  @inline(__always)
  private func checkShape(
    _ ids: UnsafeBufferPointer<BlockID>, _ generations: UnsafeBufferPointer<UInt32>
  ) throws(Refusal) {
    if ids.count == 0 { throw Refusal(.invalid, field: .blockIDs, limit: 1) }
    if generations.count > 1 && generations.count != ids.count {
      throw Refusal(.invalid, field: .generations, limit: UInt64(ids.count))
    }
  }

  @inline(__always)
  func checkBlock(_ id: BlockID, _ field: Refusal.StaticName) throws(Refusal) {
    if id == 0 || id > blocks.capacity {
      throw Refusal(.invalid, field: field, limit: UInt64(blocks.capacity), subject: UInt64(id))
    }
  }

  @inline(__always)
  private func checkGeneration(
    of id: BlockID, _ i: Int, _ generations: UnsafeBufferPointer<UInt32>
  ) throws(Refusal) {
    if generations.count == 0 { return }
    let expected = generations[generations.count == 1 ? 0 : i]
    if blocks.records[Int(id)].generation != expected {
      throw Refusal(.staleGeneration, subject: UInt64(id))
    }
  }
}
