/// The copies under way: ordered, not acknowledged. Each pins its two blocks.
///
/// Owns the orders, a list of them per session by ascending id, and a list per block of the copies
/// that touch it. Never pins or frees a block itself.
final class CopyTable {
  private(set) var copies: UnsafeMutablePointer<PendingCopy>
  private(set) var used: UInt32 = 0
  private(set) var count: UInt32 = 0
  private var capacity = 16
  private var firstUnused = PendingCopy.none
  /// (copy id, session slot) -> copy + 1.
  let index: WideMap
  /// (block, tier) -> first end touching it + 1. End 2 x copy is a source, 2 x copy + 1 a target.
  let chains: WideMap
  private let sessions: SessionTable
  private let undo: UndoLog

  init(sessions: SessionTable, undo: UndoLog) {
    self.sessions = sessions
    self.undo = undo
    index = WideMap(.copies, undo: undo)
    chains = WideMap(.chains, undo: undo)
    copies = .allocate(capacity: capacity)
  }

  deinit { copies.deallocate() }

  func removeAll() {
    used = 0
    count = 0
    firstUnused = PendingCopy.none
    index.removeAll()
    chains.removeAll()
  }

  /// The session's copy with this id, or `PendingCopy.none`.
  func find(_ id: UInt64, session: UInt32) -> UInt32 { index.value(id, session) &- 1 }

  private func save(_ copy: UInt32) {
    if undo.isRecording { undo.copies.append(.init(index: copy, copy: copies[Int(copy)])) }
  }

  /// Notes a new copy of the session. Returns its id.
  func order(
    session: UInt32, source: BlockID, target: BlockID, tokens: UInt32, kind: CopyKind = .write,
    tableIndex: UInt32 = 0
  ) -> UInt64 {
    let copy: UInt32
    if firstUnused != PendingCopy.none {
      copy = firstUnused
      save(copy)
      firstUnused = copies[Int(copy)].nextInSession
    } else {
      copy = used
      precondition(copy < 1 << 30, "more copies than slots")
      if Int(copy) == capacity {
        let larger = UnsafeMutablePointer<PendingCopy>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: copies, count: capacity)
        copies.deallocate()
        copies = larger
        capacity *= 2
      }
      used += 1
      (copies + Int(copy)).initialize(to: PendingCopy())
    }
    sessions.save(session)
    let owner = sessions.slots + Int(session)
    owner.pointee.lastCopyID += 1
    owner.pointee.pendingCopies += 1
    var new = PendingCopy()
    new.id = owner.pointee.lastCopyID
    new.session = session
    new.source = source
    new.target = target
    new.tokens = tokens
    new.kind = kind
    new.tableIndex = tableIndex
    new.previousInSession = owner.pointee.lastCopy
    copies[Int(copy)] = new
    if owner.pointee.lastCopy == PendingCopy.none {
      owner.pointee.firstCopy = copy
    } else {
      save(owner.pointee.lastCopy)
      copies[Int(owner.pointee.lastCopy)].nextInSession = copy
    }
    owner.pointee.lastCopy = copy
    index.set(new.id, session, to: copy + 1)
    link(copy * 2, to: source, kind.sourceTier)
    link(copy * 2 + 1, to: target, kind.targetTier)
    count += 1
    return new.id
  }

  /// Forgets a copy: it is done.
  func remove(_ copy: UInt32) {
    save(copy)
    let old = copies[Int(copy)]
    sessions.save(old.session)
    let owner = sessions.slots + Int(old.session)
    owner.pointee.pendingCopies -= 1
    if old.previousInSession == PendingCopy.none {
      owner.pointee.firstCopy = old.nextInSession
    } else {
      save(old.previousInSession)
      copies[Int(old.previousInSession)].nextInSession = old.nextInSession
    }
    if old.nextInSession == PendingCopy.none {
      owner.pointee.lastCopy = old.previousInSession
    } else {
      save(old.nextInSession)
      copies[Int(old.nextInSession)].previousInSession = old.previousInSession
    }
    index.set(old.id, old.session, to: 0)
    unlink(copy * 2, from: old.source, old.kind.sourceTier)
    unlink(copy * 2 + 1, from: old.target, old.kind.targetTier)
    copies[Int(copy)] = PendingCopy()
    copies[Int(copy)].nextInSession = firstUnused
    firstUnused = copy
    count -= 1
  }

  /// Whether any copy under way touches a block. O(1).
  func touches(_ block: BlockID, on tier: Tier) -> Bool {
    chains.value(UInt64(block), UInt32(tier.rawValue)) != 0
  }

  /// Whether a copy under way reads or writes a slot of the device's `block` at or after `slot`.
  func conflicts(_ block: BlockID, writingFrom slot: UInt32) -> Bool {
    var end = chains.value(UInt64(block), UInt32(Tier.device.rawValue)) &- 1
    while end != PendingCopy.none {
      let copy = copies[Int(end / 2)]
      if copy.tokens > slot { return true }
      end = end & 1 == 0 ? copy.sourceChain.next : copy.targetChain.next
    }
    return false
  }

  private func withChain(_ end: UInt32, _ change: (inout PendingCopy.Chain) -> Void) {
    save(end / 2)
    if end & 1 == 0 {
      change(&copies[Int(end / 2)].sourceChain)
    } else {
      change(&copies[Int(end / 2)].targetChain)
    }
  }

  private func link(_ end: UInt32, to block: BlockID, _ tier: Tier) {
    let first = chains.value(UInt64(block), UInt32(tier.rawValue)) &- 1
    withChain(end) { $0 = .init(previous: PendingCopy.none, next: first) }
    if first != PendingCopy.none { withChain(first) { $0.previous = end } }
    chains.set(UInt64(block), UInt32(tier.rawValue), to: end + 1)
  }

  private func unlink(_ end: UInt32, from block: BlockID, _ tier: Tier) {
    let copy = copies[Int(end / 2)]
    let chain = end & 1 == 0 ? copy.sourceChain : copy.targetChain
    if chain.next != PendingCopy.none { withChain(chain.next) { $0.previous = chain.previous } }
    if chain.previous != PendingCopy.none {
      withChain(chain.previous) { $0.next = chain.next }
    } else {
      chains.set(UInt64(block), UInt32(tier.rawValue), to: chain.next &+ 1)
    }
  }

  // MARK: Marking

  func stamp(_ copy: UInt32, _ stamp: UInt64) { copies[Int(copy)].stamp = stamp }

  // MARK: Undo

  struct Mark: BitwiseCopyable {
    fileprivate var used: UInt32
    fileprivate var count: UInt32
    fileprivate var firstUnused: UInt32
  }

  var mark: Mark { Mark(used: used, count: count, firstUnused: firstUnused) }

  func restore(_ mark: Mark) {
    used = mark.used
    count = mark.count
    firstUnused = mark.firstUnused
  }
}

struct PendingCopy: BitwiseCopyable {
  /// 0 for a place that nobody uses.
  var id: UInt64 = 0
  /// Finds repetitions in one list of ids; no part of the state.
  var stamp: UInt64 = 0
  var session: UInt32 = 0
  var source: BlockID = 0
  var target: BlockID = 0
  var tokens: UInt32 = 0
  var kind = CopyKind.write
  /// Where a table named the source when the copy was ordered. A hint, no part of the state.
  var tableIndex: UInt32 = 0
  var previousInSession = PendingCopy.none
  var nextInSession = PendingCopy.none
  var sourceChain = Chain()
  var targetChain = Chain()

  /// Neighbours among the ends that touch the same block.
  struct Chain: BitwiseCopyable {
    var previous = PendingCopy.none
    var next = PendingCopy.none
  }

  static let none = UInt32.max
}
