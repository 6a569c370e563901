/// References beside those that are handed out: shared ones, pins, and whose raw ones they are.
extension BlockPool {
  /// One more reference to a block in use; `holder` is who takes it, if it is a session.
  /// The record says `shared` from here until the block is free again.
  func addReference(_ id: BlockID, touch: UInt32) {
    save(id)
    let record = records + Int(id)
    precondition(record.pointee.refCount > 0, "shared a block that nobody holds")
    let holder = record.pointee.holder
    if holder != .shared {
      if holder.isRaw { sharedHolds.set(UInt64(id), holder.slot, to: 1) }
      record.pointee.holder = .shared
    }
    if record.pointee.refCount == 1 {
      counters.active -= 1
      counters.shared += 1
      countPart(id, shared: 1)
    }
    record.pointee.refCount += 1
    record.pointee.lastTouch = touch
  }

  func addPin(_ id: BlockID) {
    save(id)
    precondition(records[Int(id)].pins < Self.maximumPins, "pinned a block too often")
    records[Int(id)].pins += 1
  }

  // MARK: Raw holds

  /// How many raw references to `id` the session in `slot` holds.
  @inline(__always)
  func rawReferences(_ id: BlockID, by slot: UInt32) -> UInt32 {
    let holder = records[Int(id)].holder
    if holder == .raw(slot) { return 1 }
    return holder == .shared ? sharedHolds.value(UInt64(id), slot) : 0
  }

  /// Notes one more raw reference of the session to a block that `addReference` made shared.
  func addRawHold(_ id: BlockID, by slot: UInt32) {
    let held = sharedHolds.value(UInt64(id), slot)
    sharedHolds.set(UInt64(id), slot, to: held + 1)
  }

  /// Takes one raw reference of the session off the books; the reference itself is dropped later.
  ///
  /// - Returns: How many it held before; 0, and nothing is done, when it held none.
  @inline(__always)
  func takeRawHold(_ id: BlockID, from slot: UInt32) -> UInt32 {
    let record = records + Int(id)
    if record.pointee.holder == .raw(slot) {
      save(id)
      record.pointee.holder = .none
      return 1
    }
    return record.pointee.holder == .shared ? takeSharedHold(id, from: slot) : 0
  }

  @inline(never)
  private func takeSharedHold(_ id: BlockID, from slot: UInt32) -> UInt32 {
    let held = sharedHolds.value(UInt64(id), slot)
    if held > 0 { sharedHolds.set(UInt64(id), slot, to: held - 1) }
    return held
  }

  /// Undoes `takeRawHold` before the reference was dropped.
  func returnRawHold(_ id: BlockID, to slot: UInt32) {
    if records[Int(id)].holder == .none {
      save(id)
      records[Int(id)].holder = .raw(slot)
    } else {
      addRawHold(id, by: slot)
    }
  }
}
