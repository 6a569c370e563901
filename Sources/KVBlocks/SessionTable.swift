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

  init(undo: UndoLog) {
    self.undo = undo
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
    (slots + Int(count)).initialize(to: SessionSlot(id: id))
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

  func removeAll() {
    count = 0
    index.removeAll()
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
  /// Id of the last copy ordered; 0 = none yet.
  var lastCopyID: UInt64 = 0
  /// Blocks of which it holds at least one raw reference.
  var rawBlocks: UInt32 = 0
  var sequences: UInt32 = 0
  var firstRunning = SequenceSlot.none
  var lastRunning = SequenceSlot.none
  /// Copies under way, by ascending id.
  var firstCopy = PendingCopy.none
  var lastCopy = PendingCopy.none

  init(id: SessionID) { self.id = id }
}
