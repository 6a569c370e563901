/// Promises: blocks held back for sequences to come.
///
/// A promise is over what is available and is no state of a block: it names a number, not blocks.
/// What keeps it is that every operation that takes blocks out of the queue, by handing them out or
/// by a hit, leaves the promises of others alone. So at all times `promised <= blocks.available`.
/// No running sequence has one: it ends with the admission.
extension KVPool {
  /// Blocks that an operation for nobody in particular may take.
  @inline(__always)
  var unpromised: UInt32 { available - promisedHere }

  /// Blocks of the class at hand promised to the command's session for this sequence. O(1).
  @inline(__always)
  func promised(to id: SequenceID) -> UInt32 {
    if promised == 0 || run.slot == SequenceSlot.none { return 0 }
    let promise = Promise(reservations.value(id, run.slot), hasClasses)
    return promise.sizeClass == run.sizeClass ? promise.blocks : 0
  }

  /// Of whatever class.
  func hasPromise(_ id: SequenceID) -> Bool {
    promised > 0 && run.slot != SequenceSlot.none && reservations.value(id, run.slot) != 0
  }

  /// What the map keeps: in a pool with size classes the index of the class is in the upper four
  /// bits, for such a class has fewer than 2^28 blocks.
  struct Promise {
    var blocks: UInt32
    var sizeClass: UInt8

    init(blocks: UInt32, sizeClass: UInt8) {
      self.blocks = blocks
      self.sizeClass = sizeClass
    }

    init(_ bits: UInt32, _ hasClasses: Bool) {
      blocks = hasClasses ? bits & (1 << 28 - 1) : bits
      sizeClass = hasClasses ? UInt8(bits >> 28) : 0
    }

    var bits: UInt32 { blocks == 0 ? 0 : blocks | UInt32(sizeClass) << 28 }
  }

  func reserve(_ request: Reserve, _ result: inout OperationResult) throws(Refusal) {
    let id = request.sequence
    try useClass(of: request)
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

  /// That of the sequence, which must be the one that is named, if one is. Without a sequence the
  /// one that is named, or else that of the promise that there is.
  private func useClass(of request: Reserve) throws(Refusal) {
    try useClass(number: request.sizeClass)
    if !hasClasses || run.slot == SequenceSlot.none { return }
    let slot = sequences.find(request.sequence, session: run.slot)
    if slot == SequenceSlot.none {
      if request.sizeClass == 0 && hasPromise(request.sequence) {
        useClass(Promise(reservations.value(request.sequence, run.slot), true).sizeClass)
      }
      return
    }
    useClass(of: slot)
    if request.sizeClass != 0 && request.sizeClass != UInt32(run.sizeClass) + 1 {
      throw Refusal(
        .invalid, field: .sizeClass, limit: UInt64(shapes.count), sequence: request.sequence,
        subject: UInt64(run.sizeClass) + 1)
    }
  }

  /// A promise is given as an admission is: beside the promises of others and, while anything runs,
  /// the watermark. In return an admission within its promise pays neither. One that becomes smaller
  /// is always given, in the class that it has.
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
    let watermark = sequences.counts.running == 0 ? 0 : watermarkBlocks
    let reason: Refusal.Reason = count > capacity ? .never : .later
    let others = promisedHere - own
    if UInt64(count) + UInt64(watermark) + UInt64(others) > UInt64(available) {
      throw Refusal(
        reason, needed: count, available: available, reserved: others,
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
    if hasPromise(id) { setPromise(of: id, in: run.slot, to: 0) }
  }

  @inline(never)
  private func setPromise(of id: SequenceID, in session: UInt32, to count: UInt32) {
    let old = Promise(reservations.value(id, session), hasClasses)
    let new = Promise(blocks: count, sizeClass: run.sizeClass)
    if old.bits == new.bits { return }
    reservations.set(id, session, to: new.bits)
    promised = promised - old.blocks + new.blocks
    if hasClasses {
      shapes[Int(old.sizeClass)].promised -= old.blocks
      shapes[Int(new.sizeClass)].promised += new.blocks
    }
    run.changed = true
  }
}

// MARK: - Reads

extension KVPool {
  /// Blocks promised for the session's sequence, whether there is one of that name or not. O(1).
  package func promisedBlocks(session: SessionID, sequence: SequenceID) -> UInt32 {
    let slot = sessions.find(session)
    if slot == SequenceSlot.none { return 0 }
    return Promise(reservations.value(sequence, slot), hasClasses).blocks
  }
}

extension KVPool {
  /// Part of `checkInvariants`.
  func checkReservations() -> String? {
    var sum: UInt64 = 0
    var sums = Array(repeating: UInt32(0), count: shapes.count)
    var wrong: String?
    reservations.forEach { entry in
      let promise = Promise(entry.value, hasClasses)
      sum += UInt64(promise.blocks)
      if hasClasses {
        if Int(promise.sizeClass) >= sums.count { return wrong = "a promise is of no class" }
        sums[Int(promise.sizeClass)] += promise.blocks
      }
      if entry.b >= sessions.count { return wrong = "a session without a slot has a promise" }
      let slot = sequences.find(entry.a, session: entry.b)
      if slot != SequenceSlot.none && sequences.slots[Int(slot)].isRunning {
        wrong = "sequence \(entry.a) runs and still has a promise"
      }
    }
    if let wrong { return wrong }
    if sum != UInt64(promised) { return "\(sum) blocks are promised, \(promised) counted" }
    for (i, one) in shapes.enumerated() {
      if sums[i] != one.promised { return "the promises of class \(i + 1) are counted wrongly" }
      if one.promised > blocks.available(inClass: UInt8(i)) {
        return "more of class \(i + 1) is promised than there is"
      }
    }
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
      let bits = try reader.u32()
      let promise = Promise(bits, hasClasses)
      if promise.blocks < 1 || promise.blocks > blocks.available - promised
        || Int(promise.sizeClass) >= max(shapes.count, 1)
      {
        throw reader.failure("\(promise.blocks) promised blocks are more than there are")
      }
      if session >= sessions.count { throw reader.failure("a promise is to nobody") }
      if reservations.value(id, session) != 0 { throw reader.failure("a promise comes twice") }
      reservations.set(id, session, to: bits)
      promised += promise.blocks
      if hasClasses { shapes[Int(promise.sizeClass)].promised += promise.blocks }
    }
  }
}
