/// The sessions that a pool has met: what each holds, its running sequences, its copies.
///
/// A session gets its slot with the first command that gives it something, and keeps it: the number
/// of its last copy must outlive what it holds.
final class SessionTable {
  private(set) var slots: UnsafeMutablePointer<SessionSlot>
  private(set) var count: UInt32 = 0
  private var capacity = 16
  private let index: WideMap
  private let undo: UndoLog
  /// Copy ids up to here are spent in all sessions: those of a pool that went before.
  var spentCopyIDs: UInt64

  init(undo: UndoLog, spentCopyIDs: UInt64) {
    self.undo = undo
    self.spentCopyIDs = spentCopyIDs
    index = WideMap(.sessions, undo: undo)
    slots = .allocate(capacity: capacity)
  }

  deinit { slots.deallocate() }

  var map: WideMap { index }

  /// The session's slot, or `SequenceSlot.none`.
  func find(_ id: SessionID) -> UInt32 { index.value(id, 0) &- 1 }

  func findOrCreate(_ id: SessionID) -> UInt32 {
    let found = find(id)
    if found != SequenceSlot.none { return found }
    precondition(count < Holder.maximumSlots, "more sessions than slots")
    if Int(count) == capacity {
      let larger = UnsafeMutablePointer<SessionSlot>.allocate(capacity: capacity * 2)
      larger.moveInitialize(from: slots, count: capacity)
      slots.deallocate()
      slots = larger
      capacity *= 2
    }
    (slots + Int(count)).initialize(to: SessionSlot(id: id, lastCopyID: spentCopyIDs))
    index.set(id, 0, to: count + 1)
    count += 1
    return count - 1
  }

  @inline(__always)
  func save(_ slot: UInt32) {
    if undo.isRecording { record(slot) }
  }

  @inline(never)
  private func record(_ slot: UInt32) {
    undo.sessions.append(.init(index: slot, session: slots[Int(slot)]))
  }

  /// The highest copy id that any session was given.
  var lastCopyID: UInt64 {
    (0..<Int(count)).reduce(spentCopyIDs) { max($0, slots[$1].lastCopyID) }
  }

  /// Forgets the sessions, but not which copy ids they were given: a late acknowledgement of a copy
  /// from before must not meet a new copy of that id.
  func removeAll() {
    spentCopyIDs = lastCopyID
    count = 0
    index.removeAll()
  }

  /// Copies that are ordered from here on have ids above `id`, in all sessions.
  func spendCopyIDs(through id: UInt64) {
    spentCopyIDs = max(spentCopyIDs, id)
    for i in 0..<Int(count) { slots[i].lastCopyID = max(slots[i].lastCopyID, id) }
  }

  func restore(count: UInt32) { self.count = count }

  // MARK: Running sequences, in the order of their admission

  func appendRunning(_ slot: UInt32, in sequences: SequenceTable) {
    sequences.save(slot)
    let session = sequences.slots[Int(slot)].session
    save(session)
    let tail = slots[Int(session)].lastRunning
    sequences.slots[Int(slot)].previousRunning = tail
    sequences.slots[Int(slot)].nextRunning = SequenceSlot.none
    if tail == SequenceSlot.none {
      slots[Int(session)].firstRunning = slot
    } else {
      sequences.save(tail)
      sequences.slots[Int(tail)].nextRunning = slot
    }
    slots[Int(session)].lastRunning = slot
  }

  func removeRunning(_ slot: UInt32, in sequences: SequenceTable) {
    sequences.save(slot)
    let sequence = sequences.slots[Int(slot)]
    save(sequence.session)
    if sequence.previousRunning == SequenceSlot.none {
      slots[Int(sequence.session)].firstRunning = sequence.nextRunning
    } else {
      sequences.save(sequence.previousRunning)
      sequences.slots[Int(sequence.previousRunning)].nextRunning = sequence.nextRunning
    }
    if sequence.nextRunning == SequenceSlot.none {
      slots[Int(sequence.session)].lastRunning = sequence.previousRunning
    } else {
      sequences.save(sequence.nextRunning)
      sequences.slots[Int(sequence.nextRunning)].previousRunning = sequence.previousRunning
    }
    sequences.slots[Int(slot)].previousRunning = SequenceSlot.none
    sequences.slots[Int(slot)].nextRunning = SequenceSlot.none
  }
}

struct SessionSlot: BitwiseCopyable {
  let id: SessionID
  /// Id of the last copy ordered, or of the last one spent before the session came.
  var lastCopyID: UInt64
  /// Blocks of which it holds at least one raw reference.
  var rawBlocks: UInt32 = 0
  var sequences: UInt32 = 0
  var firstRunning = SequenceSlot.none
  var lastRunning = SequenceSlot.none
  /// Copies under way, by ascending id.
  var firstCopy = PendingCopy.none
  var lastCopy = PendingCopy.none
  /// Their number.
  var pendingCopies: UInt32 = 0
  /// Pins in the order they were made, the distinct blocks they hold, and the blocks of each summed up.
  var firstPin = PrefixPin.none
  var lastPin = PrefixPin.none
  var pinnedBlocks: UInt32 = 0
  var pinLinks: UInt32 = 0

  init(id: SessionID, lastCopyID: UInt64) {
    self.id = id
    self.lastCopyID = lastCopyID
  }
}
