/// Promises: blocks held back for sequences to come.
///
/// A promise is over what is available and is no state of a block: it names a number, not blocks.
/// What keeps it is that every operation that takes blocks out of the queue, by handing them out or
/// by a hit, leaves the promises of others alone. So at all times `promised <= blocks.available`.
/// No running sequence has one: it ends with the admission.
extension KVPool {
  /// Blocks that an operation for nobody in particular may take.
  @inline(__always)
  var unpromised: UInt32 { blocks.available - promised }

  /// Blocks promised to the command's session for this sequence. O(1).
  @inline(__always)
  func promised(to id: SequenceID) -> UInt32 {
    if promised == 0 || run.slot == SequenceSlot.none { return 0 }
    return reservations.value(id, run.slot)
  }

  func reserve(_ request: Reserve, _ result: inout OperationResult) throws(Refusal) {
    let id = request.sequence
    let own = promised(to: id)
    if request.releases {
      if request.blocks > 0 { throw Refusal(.invalid, field: .blocks, limit: 0, sequence: id) }
      releasePromise(of: id)
    } else {
      try checkPromise(of: request.blocks, to: id, own)
      setPromise(of: id, in: ensureSession(), to: request.blocks)
    }
    result.affected = promised
  }

  /// A promise is given as an admission is: beside the promises of others and, while anything runs,
  /// the watermark. In return an admission within its promise pays neither. One that becomes smaller
  /// is always given.
  private func checkPromise(
    of count: UInt32, to id: SequenceID, _ own: UInt32
  ) throws(Refusal) {
    if count == 0 { throw Refusal(.invalid, field: .blocks, limit: 1, sequence: id) }
    if run.slot != SequenceSlot.none {
      let slot = sequences.find(id, session: run.slot)
      if slot != SequenceSlot.none && sequences.slots[Int(slot)].isRunning {
        throw Refusal(.wrongState, sequence: id)
      }
    }
    if count <= own { return }
    let watermark = sequences.counts.running == 0 ? 0 : configuration.watermarkBlocks
    let reason: Refusal.Reason = count > blocks.capacity ? .never : .later
    let others = promised - own
    if UInt64(count) + UInt64(watermark) + UInt64(others) > UInt64(blocks.available) {
      throw Refusal(
        reason, needed: count, available: blocks.available, reserved: others,
        watermark: watermark, sequence: id)
    }
    if tracksOwed {
      try checkThreshold(count, whole: count, own: own, others: others, id)
    }
    if own == 0 && reservations.count >= Int(Self.maximumSequences) {
      throw Refusal(
        .quota, limit: UInt64(Self.maximumSequences), sequence: id)
    }
  }

  /// The promise of the command's session for this sequence ends, if there is one.
  @inline(__always)
  func releasePromise(of id: SequenceID) {
    if promised(to: id) > 0 { setPromise(of: id, in: run.slot, to: 0) }
  }

  @inline(never)
  private func setPromise(of id: SequenceID, in session: UInt32, to count: UInt32) {
    let old = reservations.value(id, session)
    if old == count { return }
    reservations.set(id, session, to: count)
    promised = promised - old + count
    run.changed = true
  }
}

// MARK: - Reads

extension KVPool {
  /// Blocks promised for the session's sequence, whether there is one of that name or not. O(1).
  package func promisedBlocks(session: SessionID, sequence: SequenceID) -> UInt32 {
    let slot = sessions.find(session)
    return slot == SequenceSlot.none ? 0 : reservations.value(sequence, slot)
  }
}

extension KVPool {
  /// Part of `checkInvariants`.
  func checkReservations() -> String? {
    var sum: UInt64 = 0
    var wrong: String?
    reservations.forEach { entry in
      sum += UInt64(entry.value)
      if entry.b >= sessions.count { return wrong = "a session without a slot has a promise" }
      let slot = sequences.find(entry.a, session: entry.b)
      if slot != SequenceSlot.none && sequences.slots[Int(slot)].isRunning {
        wrong = "sequence \(entry.a) runs and still has a promise"
      }
    }
    if let wrong { return wrong }
    if sum != UInt64(promised) { return "\(sum) blocks are promised, \(promised) counted" }
    return promised > blocks.available ? "more is promised than there is" : nil
  }
}

// MARK: - State

extension KVPool {
  /// Nothing where nothing is promised. The map has no order of its own: by session, then by sequence.
  func writePromises(to writer: StateWriter) {
    if promised == 0 { return }
    var entries: [WideMap.Entry] = []
    reservations.forEach { entries.append($0) }
    entries.sort { $0.b == $1.b ? $0.a < $1.a : $0.b < $1.b }
    writer.section("PROM")
    writer.u32(UInt32(entries.count))
    for entry in entries {
      writer.u32(entry.b)
      writer.u64(entry.a)
      writer.u32(entry.value)
    }
  }

  func readPromises(from reader: inout StateReader) throws(StateFailure) {
    if !reader.begins("PROM") { return }
    try reader.section("PROM")
    for _ in 0..<(try reader.count("promises", bytesEach: 16)) {
      let session = try reader.u32()
      let id = try reader.u64()
      let count = try reader.u32("promised blocks", 1, through: blocks.available - promised)
      if session >= sessions.count { throw reader.failure("a promise is to nobody") }
      if reservations.value(id, session) != 0 { throw reader.failure("a promise comes twice") }
      reservations.set(id, session, to: count)
      promised += count
    }
  }
}
