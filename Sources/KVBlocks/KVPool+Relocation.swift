/// Moves under way: ordered by applying a plan, made by their acknowledgement.
///
/// Until then the tables name the sources, because only then is the content in the targets. No
/// target is a source: what a table names is never written over.
extension KVPool {
  /// Orders the moves of a plan that was made at this revision. All or none.
  ///
  /// O(moves + table entries of the session), with a bit for each block of the pool.
  func applyDefragment(
    _ planned: Revision, _ moves: UnsafeBufferPointer<BlockMove>, _ result: inout OperationResult,
    _ outcome: Outcome
  ) throws(Refusal) {
    if planned != revision {
      throw Refusal(.revisionMoved, field: .planRevision, subject: revision)
    }
    if moves.count == 0 { return }
    try checkMovable()
    try checkBlocks(UInt64(moves.count), .planMoves)
    try checkIDs(moves)
    try spend(0, 0)
    let entries = TableEntries(of: moves.map(\.source), self, session: run.slot)
    run.work += entries.looked
    try check(moves, entries)
    try checkFit(moves)
    // Targets may be among the frees that wait for their batch.
    blocks.flushPending()
    order(moves, entries, &result, outcome)
    result.affected = UInt32(moves.count)
  }

  /// Orders moves that can be made; nothing waits for its batch. `entries` are those of their sources.
  func order(
    _ moves: some Collection<BlockMove>, _ entries: TableEntries, _ result: inout OperationResult,
    _ outcome: Outcome
  ) {
    let first = outcome.copies.count
    for (i, move) in moves.enumerated() {
      let entry = entries.entries[i]
      let sequence = sequences.slots[Int(entry.slot)]
      blocks.takeTarget(move.target, generation: generation)
      blocks.addPin(move.source)
      order(
        source: move.source, target: move.target, tokens: entry.filled, sequence: sequence.id,
        tableIndex: entry.tableIndex, isRaw: false, kind: .move, sequence.session, outcome)
    }
    run.blocks += UInt32(moves.count)
    result.copies = slice(first, outcome.copies.count)
    run.changed = true
  }

  /// Targets leave the promises alone, of each size class.
  private func checkFit(_ moves: UnsafeBufferPointer<BlockMove>) throws(Refusal) {
    var needed = Array(repeating: UInt32(0), count: max(shapes.count, 1))
    for move in moves { needed[Int(blocks.records[Int(move.target)].sizeClass)] += 1 }
    for i in needed.indices {
      useClass(UInt8(i))
      if needed[i] > unpromised {
        throw Refusal(.later, needed: needed[i], available: available, reserved: promisedHere)
      }
    }
  }

  private func checkIDs(_ moves: UnsafeBufferPointer<BlockMove>) throws(Refusal) {
    for (i, move) in moves.enumerated() {
      for id in [move.source, move.target] where id == 0 || id > blocks.capacity {
        throw Refusal(.invalid, field: .planMoves, limit: UInt64(i), subject: UInt64(id))
      }
    }
  }

  /// Sources are held by tables of the session that run, and by nobody else; targets are available,
  /// and of the same size; each block is named once.
  private func check(
    _ moves: UnsafeBufferPointer<BlockMove>, _ entries: TableEntries
  ) throws(Refusal) {
    var named = Set<BlockID>(minimumCapacity: 2 * moves.count)
    for (i, move) in moves.enumerated() {
      let source = blocks.records[Int(move.source)]
      let isMovable =
        source.refCount > 0 && source.pins == 0
        && entries[move.source].references == source.refCount
      let mayTake =
        blocks.isEvictable(move.target)
        && blocks.records[Int(move.target)].sizeClass == source.sizeClass
      for (id, isGood) in [(move.source, isMovable), (move.target, mayTake)]
      where !isGood || !named.insert(id).inserted {
        throw Refusal(.wrongState, field: .planMoves, limit: UInt64(i), subject: UInt64(id))
      }
    }
  }

  /// The copy of a move is made: every table that names the source names the target from now on, and
  /// so does the index. Not where the source is not what was copied any more: nobody holds it, more
  /// of it is filled, somebody keeps its id (a raw holder, another session, a pin). Then the move is
  /// given up and the tables stay.
  ///
  /// O(1) where the table names the source at the place at which it did when the move was ordered. Others,
  /// and shared ones, are looked for together, once for all acknowledgements in a row: O(tables of the
  /// session).
  func settle(_ move: PendingCopy) {
    let record = blocks.records[Int(move.source)]
    let target = blocks.records[Int(move.target)]
    let known = knownEntry(of: move)
    if known == nil && searchedMoves == nil {
      searchedMoves = SearchedMoves(self, session: move.session)
    }
    let found = known ?? searchedMoves?.entries[move.source] ?? TableEntries.Entry()
    let mayMove =
      record.refCount > 0 && found.references == record.refCount && found.filled <= move.tokens
      && target.refCount == 0 && target.twin == 0 && !pins.isPinned(move.source)
    if !mayMove {
      abandoned.append(move.id)
      activity.abandonedMoves += 1
      return
    }
    if record.holder.isSequence {
      sequences.replaceEntry(of: found.slot, at: found.tableIndex, with: move.target)
    } else {
      searchedMoves?.targets[move.source] = move.target
    }
    blocks.moveAll(from: move.source, to: move.target)
    if isLogging { noteMoved(move, found.slot) }
    activity.movedBlocks += 1
  }

  /// The entries of the session that name the source, where that can be told without a search: none
  /// where it is held by somebody else, the one of a block that is not shared.
  func knownEntry(of move: PendingCopy) -> TableEntries.Entry? {
    let holder = blocks.records[Int(move.source)].holder
    if holder == .shared { return nil }
    var entry = TableEntries.Entry()
    if !holder.isSequence { return entry }
    let sequence = sequences.slots[Int(holder.slot)]
    if sequence.session != move.session { return entry }
    let i = move.tableIndex
    guard i < sequence.blockCount, sequence.blocks[Int(i)] == move.source else { return nil }
    entry.references = 1
    entry.slot = holder.slot
    entry.tableIndex = i
    entry.filled = filled(sequence.computed, i, size: blockSize(of: holder.slot))
    return entry
  }

  /// Another operation than an acknowledgement may look at tables, and change them.
  func finishMoves(before operation: UnsafePointer<Operation>) {
    if case .acknowledgeCopies = operation.pointee.kind { return }
    finishMoves()
  }

  /// The tables name the targets of the shared blocks that moved, in one pass over them.
  func finishMoves() {
    guard let moves = searchedMoves else { return }
    searchedMoves = nil
    if moves.targets.isEmpty { return }
    forEachRunning(of: moves.session) { slot in
      for (i, block) in sequences.slots[Int(slot)].blocks.enumerated() {
        guard moves.isSource.contains(Int(block)), let target = moves.targets[block] else {
          continue
        }
        sequences.replaceEntry(of: slot, at: UInt32(i), with: target)
      }
    }
  }

  /// Part of `checkInvariants`: what is to be moved to belongs to nobody, and is as large as what is
  /// moved.
  func checkMoves() -> String? {
    for i in 0..<Int(copies.used) where copies.copies[i].id != 0 {
      let copy = copies.copies[i]
      if copy.kind != .move { continue }
      let target = blocks.records[Int(copy.target)]
      if target.refCount != 0 || target.twin != 0 || target.pins != 1 || copy.source == copy.target
      {
        return "block \(copy.target) is moved to and is in use"
      }
      let sizeClass = blocks.records[Int(copy.source)].sizeClass
      if target.sizeClass != sizeClass {
        return "block \(copy.source) is moved to one of another size class"
      }
      let size = hasClasses ? shapes[Int(sizeClass)].blockSize : configuration.blockSize
      if copy.tokens > size {
        return "\(copy.tokens) tokens of block \(copy.source) are moved, it has \(size)"
      }
    }
    return nil
  }
}

/// Where the session's tables name the blocks that it moves and that have to be looked for, and the
/// targets of the shared ones whose move stands. Made once for the acknowledgements in a row: these
/// change nothing that it says.
final class SearchedMoves {
  let session: UInt32
  let entries: TableEntries
  /// What `targets` may know.
  let isSource: Bitmap
  var targets: [BlockID: BlockID] = [:]

  /// O(pending copies and table entries of the session, blocks / 64), which it counts as work; the
  /// entries twice, because they are gone through once more in the end.
  init(_ pool: KVPool, session: UInt32) {
    self.session = session
    var sources: [BlockID] = []
    var copy = pool.sessions.slots[Int(session)].firstCopy
    while copy != PendingCopy.none {
      let order = pool.copies.copies[Int(copy)]
      if order.kind == .move && pool.knownEntry(of: order) == nil { sources.append(order.source) }
      copy = order.nextInSession
    }
    entries = TableEntries(of: sources, pool, session: session)
    isSource = Bitmap(count: Int(pool.blocks.capacity) + 1)
    for source in sources { isSource.insert(Int(source)) }
    var work = UInt64(pool.sessions.slots[Int(session)].pendingCopies)
    pool.forEachRunning(of: session) { slot in
      work += 2 * UInt64(pool.sequences.slots[Int(slot)].blockCount)
    }
    pool.run.work += work + UInt64(pool.blocks.capacity / 64)
  }

  deinit { isSource.deallocate() }
}
