/// Taking a command back: everything it overwrote is restored, newest first.
extension KVPool {
  /// The scalars that a rollback puts back; the rest is in the undo log.
  struct Mark {
    fileprivate var configuration: PoolConfiguration
    fileprivate var blocks: BlockCounters
    fileprivate var split: SplitBlocks?
    fileprivate var lazy: LazyFrees?
    fileprivate var order: EvictionOrder.Mark?
    fileprivate var sequences: SequenceTable.Mark
    fileprivate var copies: CopyTable.Mark
    fileprivate var pins: PinTable.Scalars
    fileprivate var sessions: UInt32
    fileprivate var promised: UInt32
    fileprivate var owed: UInt64
    fileprivate var activity: Activity
    fileprivate var host: BlockCounters?
    /// Of size classes: what is promised, and what is free.
    fileprivate var shapes: [ClassShape]
    fileprivate var parts: [BlockPool.PartCounts]
  }

  func beginRecording() -> Mark {
    undo.begin()
    blocks.lazy?.mark()
    host?.undo.begin()
    return Mark(
      configuration: configuration, blocks: blocks.counters,
      split: blocks.split, lazy: blocks.lazy, order: blocks.split?.cached.mark,
      sequences: sequences.mark,
      copies: copies.mark, pins: pins.mark,
      sessions: sessions.count, promised: promised, owed: owed, activity: activity,
      host: host?.counters, shapes: shapes, parts: blocks.partCounts)
  }

  /// What was recorded stands.
  func commit() {
    undo.stop()
    undo.clear(keepingNew: true)
    pins.commit()
    host?.undo.stop()
    host?.undo.clear(keepingNew: true)
    blocks.replaced.removeAll()
  }

  /// Bytes that are kept for undoing the next command. For tests.
  package var undoBytes: Int { undo.memoryBytes + (host?.undo.memoryBytes ?? 0) }

  /// O(what was changed since the mark).
  func rollBack(to mark: Mark) {
    undo.stop()
    log.removeAll()
    searchedMoves = nil
    blocks.swept = .init()
    // These find their way by the records as they are now.
    for saved in undo.contents.elements.reversed() { blocks.index?.undo(saved) }
    for saved in undo.blocks.elements.reversed() {
      blocks.records[Int(saved.id)] = saved.record
    }
    blocks.split = mark.split
    blocks.lazy = mark.lazy
    mark.lazy?.restore()
    if let order = mark.order { mark.split?.cached.restore(order) }
    blocks.restoreSplit()
    for saved in undo.chainHashes.elements.reversed() { chains?.restore(saved) }
    for saved in undo.chainTokens.elements.reversed() { chains?.restore(saved) }
    for saved in undo.chains.elements.reversed() {
      chains?.chains[Int(saved.index)] = saved.chain
    }
    for saved in undo.tableEntries.elements.reversed() { saved.place.pointee = saved.value }
    for saved in undo.slots.elements.reversed() {
      sequences.slots[Int(saved.index)] = saved.slot
    }
    for saved in undo.sessions.elements.reversed() {
      sessions.slots[Int(saved.index)] = saved.session
    }
    for saved in undo.copies.elements.reversed() {
      copies.copies[Int(saved.index)] = saved.copy
    }
    for saved in undo.words.elements.reversed() { saved.place.pointee = saved.value }
    for saved in undo.pins.elements.reversed() { pins.restore(saved) }
    for saved in undo.pinLinks.elements.reversed() { pins.restore(saved) }
    for saved in undo.mapEntries.elements.reversed() {
      map(saved.map).set(saved.a, saved.b, to: saved.value)
    }
    configuration = mark.configuration
    shapes = mark.shapes
    if let host, let counters = mark.host { rollBack(host, to: counters) }
    blocks.counters = mark.blocks
    blocks.replaced.removeAll()
    blocks.partCounts = mark.parts
    sequences.restore(mark.sequences)
    copies.restore(mark.copies)
    pins.restore(mark.pins)
    sessions.restore(count: mark.sessions)
    promised = mark.promised
    owed = mark.owed
    activity = mark.activity
    undo.clear(keepingNew: false)
  }

  /// The host tier has no content and no raw holders, so its records are all there is.
  private func rollBack(_ host: BlockPool, to counters: BlockCounters) {
    host.undo.stop()
    for saved in host.undo.blocks.elements.reversed() {
      host.records[Int(saved.id)] = saved.record
    }
    host.counters = counters
    host.undo.clear(keepingNew: false)
  }

  private func map(_ identity: WideMap.Identity) -> WideMap {
    switch identity {
    case .sessions: sessions.map
    case .sequences: sequences.index
    case .holds: blocks.sharedHolds
    case .copies: copies.index
    case .chains: copies.chains
    case .pinNames: pins.names
    case .pinHeads: pins.heads
    case .pinHolds: pins.holds
    case .swaps: preconditionFailure("what a swap looks up is never undone")
    case .reservations: reservations
    }
  }
}
