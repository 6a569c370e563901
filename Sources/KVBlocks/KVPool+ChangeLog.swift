/// The change log of a pool: coming, going, and what becomes of it when a pool begins anew.
extension KVPool {
  /// From here on each command says what it did in the log that is returned, the same for as long as
  /// there is one; asked again, in other detail. O(blocks) where prefixes are cached and there was none: it
  /// counts how many blocks have each content, in 4 bytes for each entry of the index.
  ///
  /// Answers, digests and dumps are the same with and without.
  @discardableResult
  package func attachChangeLog(_ detail: ChangeLog.Detail = .everything) -> ChangeLog {
    setLogging(detail)
    return log
  }

  /// Nothing is recorded any more.
  package func detachChangeLog() { setLogging(nil) }

  /// The log where there is one and it has something to say of the last command, without reference counting.
  package var changes: Unmanaged<ChangeLog>? {
    isLogging && !log.isEmpty ? .passUnretained(log) : nil
  }

  /// nil where nobody asked for one.
  package var changeLog: ChangeLog? { isLogging ? log : nil }

  private func setLogging(_ detail: ChangeLog.Detail?) {
    let isLogging = detail != nil
    if isLogging != self.isLogging { log.follow(isLogging ? (sequences, sessions) : nil) }
    self.isLogging = isLogging
    setFollowed()
    blocks.isLogging = isLogging
    for pool in [blocks, host] { pool?.logsReferences = detail == .everything }
    blocks.index?.countsCopies = isLogging
  }

  /// This pool takes the place of another, and goes on with its log if that has one.
  func inheritChangeLog(from other: KVPool) {
    if !other.isLogging { return }
    let detail: ChangeLog.Detail = other.blocks.logsReferences ? .everything : .contents
    other.detachChangeLog()
    setLogging(detail)
    log.noteCleared(.pool)
  }

  /// The pool is as created.
  func noteReset() {
    life = PoolLife()
    touched?.isEverything = true
    if !isLogging { return }
    log.begin(0)
    log.noteCleared(.pool)
  }

  /// Who evicts, pins or caches by the command at hand, apart from sequences.
  var holderOfCommand: Holder { run.slot == SequenceSlot.none ? .none : .raw(run.slot) }

  /// A copy was ordered.
  func noteOrder(_ copy: CopyOrder, _ session: UInt32) {
    let owner = BlockOwner(
      copy.isRaw ? .raw : .sequence, session: sessions.slots[Int(session)].id,
      sequence: copy.sequence)
    switch copy.kind {
    case .write: log.note(.copied, .none, owner, copy, of: blocks)
    case .move: log.note(.moveOrdered, .defragment, owner, copy, of: blocks)
    case .swapOut: log.note(.moved, .swapOut, owner, copy, of: blocks)
    case .swapIn: log.note(.moved, .swapIn, owner, copy, of: blocks)
    }
  }

  /// A move was made; `slot` has the block in its table.
  func noteMoved(_ move: PendingCopy, _ slot: UInt32) {
    let copy = CopyOrder(
      id: move.id, source: move.source, target: move.target, tokens: move.tokens,
      sequence: sequences.slots[Int(slot)].id, tableIndex: move.tableIndex, isRaw: false,
      kind: move.kind)
    log.note(.moved, .defragment, log.owner(of: .sequence(slot)), copy, of: blocks)
  }
}
