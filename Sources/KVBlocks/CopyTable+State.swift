/// Copies under way in a dump: of each session its own, by ascending id.
///
/// Their places in memory and their lists per block can be made again, so they are not written.
extension CopyTable {
  func write(to writer: StateWriter, _ sessions: SessionTable) {
    writer.section("COPY")
    for i in 0..<Int(sessions.count) {
      writer.u32(sessions.slots[i].pendingCopies)
      var copy = sessions.slots[i].firstCopy
      while copy != PendingCopy.none {
        let order = copies[Int(copy)]
        writer.u64(order.id)
        writer.u8(order.kind.rawValue)
        writer.u32(order.source)
        writer.u32(order.target)
        writer.u32(order.tokens)
        copy = order.nextInSession
      }
    }
  }

  /// Into an empty table, when the sessions are there.
  func read(
    from reader: inout StateReader, _ sessions: SessionTable, capacity: UInt32,
    hostCapacity: UInt32,
    blockSize: UInt32
  ) throws(StateFailure) {
    try reader.section("COPY")
    for session in 0..<sessions.count {
      let last = sessions.slots[Int(session)].lastCopyID
      var before: UInt64 = 0
      for _ in 0..<(try reader.count("copies", bytesEach: 21)) {
        let id = try reader.u64()
        if id <= before || id > last { throw reader.failure("copy \(id) comes out of order") }
        before = id
        guard let kind = CopyKind(rawValue: try reader.u8()) else {
          throw reader.failure("copy \(id) is of no kind that exists")
        }
        let source = try reader.u32(
          "a source", 1, through: kind.sourceTier == .host ? hostCapacity : capacity)
        let target = try reader.u32(
          "a target", 1, through: kind.targetTier == .host ? hostCapacity : capacity)
        let tokens = try reader.u32("tokens", through: blockSize)
        // An order takes the id behind the session's last one.
        sessions.slots[Int(session)].lastCopyID = id - 1
        _ = order(session: session, source: source, target: target, tokens: tokens, kind: kind)
      }
      sessions.slots[Int(session)].lastCopyID = last
    }
  }
}
