/// Sessions in a dump, in the order of their slots. Their copies come with the copies.
extension SessionTable {
  func write(to writer: StateWriter) {
    writer.section("SESS")
    writer.u64(spentCopyIDs)
    writer.u32(count)
    for i in 0..<Int(count) {
      let session = slots[i]
      writer.u64(session.id)
      writer.u64(session.lastCopyID)
      writer.u32(session.rawBlocks)
      writer.u32(session.sequences)
      writer.u32(session.firstRunning)
      writer.u32(session.lastRunning)
    }
  }

  /// Into an empty table. Links to sequences are checked by `checkLinks`, when there are any.
  func read(from reader: inout StateReader) throws(StateFailure) {
    try reader.section("SESS")
    spentCopyIDs = try reader.counter("spent copy ids")
    let count = try reader.count("sessions", bytesEach: 32)
    if count >= Holder.maximumSlots { throw reader.failure("there are too many sessions") }
    for _ in 0..<count {
      let id = try reader.u64()
      if find(id) != SequenceSlot.none { throw reader.failure("session \(id) is there twice") }
      // The table may move while it takes one more.
      let slot = findOrCreate(id)
      let session = slots + Int(slot)
      session.pointee.lastCopyID = try reader.counter("the last copy id")
      session.pointee.rawBlocks = try reader.u32()
      session.pointee.sequences = try reader.u32("sequences", through: KVPool.maximumSequences)
      session.pointee.firstRunning = try reader.u32()
      session.pointee.lastRunning = try reader.u32()
    }
  }

  func checkLinks(
    _ reader: borrowing StateReader, sequences: UInt32
  ) throws(StateFailure) {
    for i in 0..<Int(count) {
      let first = slots[i].firstRunning
      let last = slots[i].lastRunning
      if (first != SequenceSlot.none && first >= sequences)
        || (last != SequenceSlot.none && last >= sequences)
      {
        throw reader.failure("session \(slots[i].id) runs a sequence that does not exist")
      }
    }
  }
}
