/// The sequences of one pool: who they are, how far they are, which blocks they hold, in order.
///
/// Owns the slots, the index from (session, id) to slot and the memory of the block tables and
/// labels. Never touches a block: references are its caller's business.
final class SequenceTable {
  private(set) var slots: UnsafeMutablePointer<SequenceSlot>
  /// Slots ever used; those beyond are raw memory.
  private(set) var slotCount: UInt32 = 0
  private var slotCapacity: Int
  /// Slots to use again, linked by `nextRunning`; the last one given back is the first used.
  var firstUnused = SequenceSlot.none
  let index: WideMap
  private(set) var counts = Counts()
  /// Sequences that ever came; each has its number.
  var arrivals: UInt64 = 0
  private let undo: UndoLog

  /// Sequences by state.
  struct Counts: Equatable, BitwiseCopyable {
    var waiting: UInt32 = 0
    var running: UInt32 = 0
    var preempted: UInt32 = 0
    var swapped: UInt32 = 0
  }

  init(undo: UndoLog, secret: MapSecret) {
    self.undo = undo
    index = WideMap(.sequences, undo: undo, secret: secret)
    slotCapacity = 64
    slots = .allocate(capacity: slotCapacity)
  }

  deinit {
    releaseMemory()
    slots.deallocate()
  }

  private func releaseMemory() {
    for i in 0..<Int(slotCount) {
      slots[i].table?.deallocate()
      slots[i].label?.deallocate()
    }
  }

  func removeAll() {
    releaseMemory()
    slotCount = 0
    firstUnused = SequenceSlot.none
    index.removeAll()
    counts = Counts()
    arrivals = 0
  }

  // MARK: Finding

  /// The slot of the session's sequence, or `SequenceSlot.none`.
  @inline(__always)
  func find(_ id: SequenceID, session: UInt32) -> UInt32 {
    // The index keeps slot + 1, so that nothing wraps round to `none`.
    index.value(id, session) &- 1
  }

  /// To be called before a slot is changed.
  @inline(__always)
  func save(_ slot: UInt32) {
    if undo.isRecording { record(slot) }
  }

  @inline(never)
  private func record(_ slot: UInt32) {
    undo.slots.append(.init(index: slot, slot: slots[Int(slot)]))
  }

  // MARK: Coming and going

  /// A new sequence without blocks. Its caller enters it in the index and among the running.
  func create(
    _ id: SequenceID, session: UInt32, state: SequenceState, tokens: UInt32, priority: Int32,
    expectedTokens: UInt32, sizeClass: UInt8 = 0, label: UnsafeBufferPointer<UInt8>
  ) -> UInt32 {
    let slot: UInt32
    if firstUnused != SequenceSlot.none {
      slot = firstUnused
      save(slot)
      firstUnused = slots[Int(slot)].nextRunning
    } else {
      slot = slotCount
      addSlot()
    }
    arrivals += 1
    var new = SequenceSlot()
    new.arrival = arrivals
    new.id = id
    new.session = session
    new.stateBits = state.rawValue
    new.tokens = tokens
    new.priority = priority
    new.expectedTokens = expectedTokens
    new.sizeClass = sizeClass
    slots[Int(slot)] = new
    setLabel(label, of: slot)
    count(state, by: 1)
    return slot
  }

  /// One more slot behind the others, unused and in no list.
  func addSlot() {
    precondition(slotCount < Holder.maximumSlots, "more sequences than slots")
    if Int(slotCount) == slotCapacity { grow() }
    (slots + Int(slotCount)).initialize(to: SequenceSlot())
    slotCount += 1
  }

  func setLabel(_ label: UnsafeBufferPointer<UInt8>, of slot: UInt32) {
    guard let source = label.baseAddress, label.count > 0 else { return }
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: label.count)
    copy.initialize(from: source, count: label.count)
    undo.created(copy)
    slots[Int(slot)].label = copy
    slots[Int(slot)].labelCount = UInt32(label.count)
  }

  /// A slot that was filled by hand becomes a sequence that can be found.
  func enter(_ slot: UInt32, as state: SequenceState) {
    slots[Int(slot)].stateBits = state.rawValue
    index.set(slots[Int(slot)].id, slots[Int(slot)].session, to: slot + 1)
    count(state, by: 1)
  }

  /// Forgets a sequence whose blocks are given back and that is no longer among the running.
  func remove(_ slot: UInt32) {
    save(slot)
    let old = slots[Int(slot)]
    precondition(old.blockCount == 0, "forgot a sequence that still holds blocks")
    index.set(old.id, old.session, to: 0)
    count(old.state, by: -1)
    undo.retire(old.table)
    undo.retire(old.label)
    slots[Int(slot)] = SequenceSlot()
    slots[Int(slot)].nextRunning = firstUnused
    firstUnused = slot
  }

  /// The caller has saved the slot.
  func setState(_ state: SequenceState, of slot: UInt32) {
    count(slots[Int(slot)].state, by: -1)
    slots[Int(slot)].stateBits = state.rawValue
    count(state, by: 1)
  }

  private func count(_ state: SequenceState, by change: Int32) {
    let step = UInt32(bitPattern: change)
    switch state {
    case .waiting: counts.waiting &+= step
    case .running: counts.running &+= step
    case .preempted: counts.preempted &+= step
    case .swapped: counts.swapped &+= step
    }
  }

  // MARK: Block tables

  /// Room for `count` more entries at the end of the table; the caller fills them.
  @inline(__always)
  func extendTable(of slot: UInt32, by count: UInt32) -> UnsafeMutablePointer<BlockID> {
    save(slot)
    let sequence = slots + Int(slot)
    let old = sequence.pointee.blockCount
    if old + count > sequence.pointee.blockCapacity { growTable(of: slot, to: old + count) }
    sequence.pointee.blockCount = old + count
    guard let table = sequence.pointee.table else { preconditionFailure("a table without memory") }
    let room = table + Int(old)
    if undo.isRecording { saveEntries(room, count) }
    return room
  }

  /// The first `end` entries become the null block. Those of them that are it already are not looked
  /// at.
  func nullEntries(of slot: UInt32, upTo end: UInt32) {
    save(slot)
    guard let table = slots[Int(slot)].table else { preconditionFailure("a table without memory") }
    for i in Int(slots[Int(slot)].nullBlocks)..<Int(end) {
      saveEntry(table + i)
      table[i] = 0
    }
    slots[Int(slot)].nullBlocks = end
  }

  /// Gives back the memory of an empty table: whoever waits may wait for long. The caller has saved
  /// the slot.
  func releaseTable(of slot: UInt32) {
    precondition(slots[Int(slot)].blockCount == 0, "released a table that holds blocks")
    undo.retire(slots[Int(slot)].table)
    slots[Int(slot)].table = nil
    slots[Int(slot)].blockCapacity = 0
  }

  func replaceEntry(of slot: UInt32, at position: UInt32, with block: BlockID) {
    guard let table = slots[Int(slot)].table, position < slots[Int(slot)].blockCount else {
      preconditionFailure("replaced an entry that does not exist")
    }
    saveEntry(table + Int(position))
    table[Int(position)] = block
  }

  @inline(never)
  private func saveEntries(_ room: UnsafeMutablePointer<BlockID>, _ count: UInt32) {
    for i in 0..<Int(count) { saveEntry(room + i) }
  }

  private func saveEntry(_ place: UnsafeMutablePointer<BlockID>) {
    if undo.isRecording { undo.tableEntries.append(.init(place: place, value: place.pointee)) }
  }

  @inline(never)
  private func growTable(of slot: UInt32, to needed: UInt32) {
    let sequence = slots + Int(slot)
    let capacity = max(needed, min(sequence.pointee.blockCapacity * 2, 1 << 30), 4)
    let larger = UnsafeMutablePointer<BlockID>.allocate(capacity: Int(capacity))
    larger.initialize(repeating: 0, count: Int(capacity))
    if let table = sequence.pointee.table {
      larger.update(from: table, count: Int(sequence.pointee.blockCount))
    }
    undo.created(larger)
    undo.retire(sequence.pointee.table)
    sequence.pointee.table = larger
    sequence.pointee.blockCapacity = capacity
  }

  private func grow() {
    let larger = UnsafeMutablePointer<SequenceSlot>.allocate(capacity: slotCapacity * 2)
    larger.moveInitialize(from: slots, count: Int(slotCount))
    slots.deallocate()
    slots = larger
    slotCapacity *= 2
  }

  // MARK: Undo

  /// The scalars that a rollback puts back; the rest is in the undo log.
  struct Mark: BitwiseCopyable {
    fileprivate var slotCount: UInt32
    fileprivate var firstUnused: UInt32
    fileprivate var counts: Counts
    fileprivate var arrivals: UInt64
  }

  var mark: Mark {
    Mark(slotCount: slotCount, firstUnused: firstUnused, counts: counts, arrivals: arrivals)
  }

  func restore(_ mark: Mark) {
    slotCount = mark.slotCount
    firstUnused = mark.firstUnused
    counts = mark.counts
    arrivals = mark.arrivals
  }
}

/// One sequence. What decoding touches is in the first 64 bytes.
struct SequenceSlot: BitwiseCopyable {
  /// The block table, `blockCount` entries in memory for `blockCapacity`.
  var table: UnsafeMutablePointer<BlockID>?
  var blockCount: UInt32 = 0
  var blockCapacity: UInt32 = 0
  /// Known tokens.
  var tokens: UInt32 = 0
  /// Tokens that have been scheduled: they have slots. Never above `tokens`.
  var computed: UInt32 = 0
  /// Raw value of the state, 0 for a slot that nobody uses.
  var stateBits: UInt8 = 0
  /// The index of its size class; 0 in a pool without.
  var sizeClass: UInt8 = 0
  var session: UInt32 = 0
  /// Finds repetitions in one list of sequences; no part of the state.
  var stamp: UInt64 = 0
  var id: SequenceID = 0
  var priority: Int32 = 0
  var preemptions: UInt32 = 0
  var expectedTokens: UInt32 = 0
  /// The session's running sequences in the order of their admission.
  var previousRunning = SequenceSlot.none
  var nextRunning = SequenceSlot.none
  var labelCount: UInt32 = 0
  var label: UnsafeMutablePointer<UInt8>?
  var admittedRevision: Revision = 0
  /// Blocks that it still needs for its tokens; kept where there is a threshold for admissions.
  var owed: UInt32 = 0
  /// Leading entries of the table that are the null block; never more than `blockCount`.
  var nullBlocks: UInt32 = 0
  /// Of all sequences of the pool, which one it was to come (by add or fork), from 1.
  var arrival: UInt64 = 0

  static let none = UInt32.max

  var isUsed: Bool { stateBits != 0 }
  var isRunning: Bool { stateBits == SequenceState.running.rawValue }
  var state: SequenceState {
    guard let state = SequenceState(rawValue: stateBits) else {
      preconditionFailure("asked an unused slot for its state")
    }
    return state
  }

  /// Entries of the table that are blocks.
  var heldBlocks: UInt32 { blockCount - nullBlocks }
  /// Null blocks included.
  var blocks: UnsafeBufferPointer<BlockID> { .init(start: table, count: Int(blockCount)) }
  var labelBytes: UnsafeBufferPointer<UInt8> { .init(start: label, count: Int(labelCount)) }
}
