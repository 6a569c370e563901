/// Sequences in a dump: each in its slot, with its label and its block table.
///
/// Slots are part of the state: pages of a list follow them, and holders name them. So is the order
/// in which unused ones are used again.
extension SequenceTable {
  /// `classes` 0: a pool without size classes.
  func write(to writer: StateWriter, classes: Int) {
    writer.section("SEQS")
    writer.u32(slotCount)
    writer.u32(firstUnused)
    writer.u64(arrivals)
    for i in 0..<Int(slotCount) {
      let sequence = slots[i]
      writer.u8(sequence.stateBits)
      if classes > 0 && sequence.isUsed { writer.u8(sequence.sizeClass) }
      writer.u32(sequence.nextRunning)
      if !sequence.isUsed { continue }
      writer.u32(sequence.previousRunning)
      writer.u64(sequence.id)
      writer.u32(sequence.session)
      writer.u32(sequence.tokens)
      writer.u32(sequence.computed)
      writer.u32(UInt32(bitPattern: sequence.priority))
      writer.u32(sequence.preemptions)
      writer.u32(sequence.expectedTokens)
      writer.u64(sequence.admittedRevision)
      writer.u64(sequence.arrival)
      writer.list(sequence.labelBytes)
      writer.list(sequence.blocks)
    }
  }

  /// What one slot takes in a dump, at least.
  private static let leastBytes = 5

  /// Into an empty table. No sequence has more than `tokens` tokens or `blocks` blocks in its table;
  /// ids of blocks are 1 ... `capacity`, on the
  /// host 1 ... `hostCapacity`; sessions have `sessions` slots.
  func read(
    from reader: inout StateReader, sessions: UInt32, tokens: UInt32, blocks: UInt32,
    capacity: UInt32, hostCapacity: UInt32, classes: Int
  ) throws(StateFailure) {
    try reader.section("SEQS")
    let count = try reader.count("sequences", bytesEach: Self.leastBytes)
    // Never were there more at once. An unused slot is short in a dump and long in memory.
    if count > KVPool.maximumSequences { throw reader.failure("there are too many sequences") }
    firstUnused = try reader.slot("the first unused", below: count)
    arrivals = try reader.counter("sequences that came")
    for slot in 0..<count {
      let bits = try reader.u8()
      let sizeClass = classes > 0 && bits != 0 ? try reader.u8() : 0
      if sizeClass >= max(classes, 1) { throw reader.failure("slot \(slot) is of no size class") }
      let next = try reader.slot("the next sequence", below: count)
      addSlot()
      slots[Int(slot)].nextRunning = next
      if bits == 0 { continue }
      guard let state = SequenceState(rawValue: bits), state != .swapped || hostCapacity > 0 else {
        throw reader.failure("slot \(slot) is in state \(bits), which does not exist")
      }
      slots[Int(slot)].sizeClass = sizeClass
      try readSequence(
        slot, state, &reader, sessions, tokens, blocks,
        state == .swapped ? hostCapacity : capacity, count)
    }
    if let problem = checkUnused() { throw reader.failure(problem) }
  }

  private func readSequence(
    _ slot: UInt32, _ state: SequenceState, _ reader: inout StateReader, _ sessions: UInt32,
    _ tokens: UInt32, _ blocks: UInt32, _ capacity: UInt32, _ count: UInt32
  ) throws(StateFailure) {
    let place = slots + Int(slot)
    place.pointee.previousRunning = try reader.slot("the previous sequence", below: count)
    place.pointee.id = try reader.u64()
    place.pointee.session = try reader.u32()
    if place.pointee.session >= sessions {
      throw reader.failure("sequence \(place.pointee.id) is of a session that does not exist")
    }
    place.pointee.tokens = try reader.u32("tokens", 1, through: tokens)
    place.pointee.computed = try reader.u32("computed tokens", through: place.pointee.tokens)
    place.pointee.priority = Int32(bitPattern: try reader.u32())
    place.pointee.preemptions = try reader.u32("preemptions", through: 1 << 31)
    place.pointee.expectedTokens = try reader.u32()
    place.pointee.admittedRevision = try reader.counter("the revision of an admission")
    place.pointee.arrival = try reader.counter("the number of a sequence")
    setLabel(try reader.list("bytes of a label", through: 1 << 16), of: slot)
    let entries = try reader.count("blocks of a table", bytesEach: 4)
    if entries > blocks { throw reader.failure("a table has \(entries) blocks, at most \(blocks)") }
    if entries > 0 {
      let room = extendTable(of: slot, by: entries)
      room.update(repeating: 0, count: Int(entries))
      for i in 0..<entries {
        // Null blocks only at the head.
        let least: UInt32 = i == place.pointee.nullBlocks ? 0 : 1
        room[Int(i)] = try reader.u32("a block", least, through: capacity)
        if room[Int(i)] == 0 { place.pointee.nullBlocks += 1 }
      }
    }
    if find(place.pointee.id, session: place.pointee.session) != SequenceSlot.none {
      throw reader.failure("sequence \(place.pointee.id) is there twice")
    }
    enter(slot, as: state)
  }

  /// What is wrong with the numbers of the sequences; nil when nothing is. O(slots log slots).
  func checkArrivals() -> String? {
    var last: UInt64 = 0
    let used = (0..<Int(slotCount)).filter { slots[$0].isUsed }
    for arrival in used.map({ slots[$0].arrival }).sorted() {
      if arrival == last { return "two sequences are number \(arrival) to come" }
      last = arrival
    }
    return last > arrivals ? "sequence number \(last) came, of \(arrivals)" : nil
  }

  /// What is wrong with the list of unused slots; nil when nothing is. O(slots).
  func checkUnused() -> String? {
    var unused: UInt32 = 0
    for slot in 0..<slotCount where !slots[Int(slot)].isUsed { unused += 1 }
    var slot = firstUnused
    while slot != SequenceSlot.none {
      if unused == 0 || slot >= slotCount || slots[Int(slot)].isUsed {
        return "the unused slots of sequences are linked wrongly"
      }
      unused -= 1
      slot = slots[Int(slot)].nextRunning
    }
    return unused == 0 ? nil : "an unused slot of sequences is in no list"
  }
}
