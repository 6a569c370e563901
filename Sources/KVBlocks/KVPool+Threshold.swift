/// Memory-aware admission: a share of the pool that admissions may fill, over a running sum of what
/// was let in and does not hold its blocks yet.
///
/// The sum, `owed`, are the blocks that running sequences still need for the tokens known of them:
/// chunked prefill and appended tokens make it larger, slots smaller. It is kept with every change of
/// a sequence, so an admission is O(1). A pool without a threshold keeps no sum.
extension KVPool {
  /// To be called when a sequence's tokens, table or state have changed.
  @inline(__always)
  func settle(_ slot: UInt32) {
    if tracksOwed { settleOwed(slot) }
  }

  @inline(never)
  private func settleOwed(_ slot: UInt32) {
    let new = owedBlocks(slot)
    let old = sequences.slots[Int(slot)].owed
    if new == old { return }
    sequences.save(slot)
    sequences.slots[Int(slot)].owed = new
    owed = owed - UInt64(old) + UInt64(new)
  }

  /// Those in `scratch` that a decode found running.
  @inline(never)
  func settleDecoded(_ count: Int) {
    for i in 0..<count where scratch.base[i] < Holder.maximumSlots { settleOwed(scratch.base[i]) }
  }

  /// Blocks that the sequence still needs for its tokens; 0 where it does not run.
  func owedBlocks(_ slot: UInt32) -> UInt32 {
    let sequence = sequences.slots[Int(slot)]
    if !sequence.isRunning { return 0 }
    let whole = blocksFor(UInt64(sequence.tokens))
    let cap = admissionCap()
    // What a sliding window drops meanwhile is not needed at once.
    let room = cap > sequence.heldBlocks ? cap - sequence.heldBlocks : 0
    return whole > sequence.blockCount ? min(whole - sequence.blockCount, room) : 0
  }

  /// Whether an admission, or a promise, stays under the threshold. What was promised has passed it.
  ///
  /// - Parameters:
  ///   - charge: Blocks that become unavailable with it, now or for the rest of its tokens.
  ///   - whole: Blocks of its whole table.
  func checkThreshold(
    _ charge: UInt32, whole: UInt32, evictable: UInt32 = 0, own: UInt32, others: UInt32,
    _ id: SequenceID
  ) throws(Refusal) {
    if charge <= own { return }
    let kept = blocks.capacity - admissionLimit
    if whole > admissionLimit {
      throw Refusal(
        .never, field: .admissionThreshold, needed: whole, available: blocks.available,
        evictable: evictable, reserved: others, watermark: kept, sequence: id)
    }
    let used = UInt64(blocks.capacity - blocks.available)
    if used + owed + UInt64(others) + UInt64(charge) > UInt64(admissionLimit) {
      throw Refusal(
        .later, field: .admissionThreshold, needed: charge, available: blocks.available,
        evictable: evictable, reserved: others,
        watermark: UInt32(clamping: UInt64(kept) + owed), sequence: id)
    }
  }

  /// Part of `checkInvariants`.
  func checkOwed() -> String? {
    var sum: UInt64 = 0
    for slot in 0..<sequences.slotCount {
      let right = tracksOwed && sequences.slots[Int(slot)].isUsed ? owedBlocks(slot) : 0
      if sequences.slots[Int(slot)].owed != right {
        return "sequence \(sequences.slots[Int(slot)].id) is owed \(right) blocks"
      }
      sum += UInt64(right)
    }
    return sum == owed ? nil : "\(sum) blocks are owed, \(owed) counted"
  }

  /// After reading a dump, which leaves the sum out.
  func restoreOwed() {
    for slot in 0..<sequences.slotCount where sequences.slots[Int(slot)].isUsed { settle(slot) }
  }
}
