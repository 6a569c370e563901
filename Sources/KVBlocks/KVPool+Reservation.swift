/// Strategies under which a sequence's blocks are runs: `buddy`, where each allocation is one, and the
/// `contiguous` ones, where the whole table is, reserved at admission.
extension KVPool {
  /// Blocks of the run that a sequence of so many tokens is admitted into, at least; 0 where nothing is
  /// reserved. `expected`: tokens that it is to have in the end, as far as its client knows.
  func reservation(tokens: UInt32, expected: UInt32) -> UInt32 {
    let known = UInt64(max(tokens, expected))
    let slots: UInt64
    switch configuration.strategy {
    case .contiguousMax: slots = UInt64(tokenLimit)
    case .contiguousPowerOfTwo:
      slots = known <= 1 ? known : 1 << (64 - (known - 1).leadingZeroBitCount)
    case .contiguousExact: slots = known
    case .freeQueue, .firstFit, .bestFit, .buddy: return 0
    }
    return blocksFor(min(slots, UInt64(tokenLimit)))
  }

  /// May a running sequence have so many blocks more? Whatever others do, not past what was reserved.
  ///
  /// - Returns: Blocks that the growth takes.
  @inline(never)
  func checkGrowth(_ slot: UInt32, by new: UInt32, to whole: UInt32) throws(Refusal) -> UInt32 {
    let sequence = sequences.slots[Int(slot)]
    if configuration.strategy.reservesAtAdmission {
      throw Refusal(
        .quota, field: .reservation, needed: whole, available: blocks.available,
        limit: UInt64(sequence.blockCount), sequence: sequence.id)
    }
    let takes = blocks.rounded(new)
    if takes > blocks.capacity {
      throw Refusal(
        .never, needed: takes, available: blocks.available, reserved: promised,
        sequence: sequence.id)
    }
    return takes
  }

  /// Children of a running sequence share its blocks, unless its table is to stay one run: then they
  /// wait, as those of a sequence that does not run, and are admitted into runs of their own.
  func sharesBlocks(_ parent: SequenceSlot) -> Bool {
    parent.isRunning && !configuration.strategy.reservesAtAdmission
  }

  /// A reserved run belongs to its sequence alone.
  func checkShareable(_ id: BlockID) throws(Refusal) {
    if configuration.strategy.reservesAtAdmission && blocks.records[Int(id)].holder.isSequence {
      throw Refusal(.wrongState, field: .reservation, subject: UInt64(id))
    }
  }

  /// Part of `checkInvariants`.
  func checkReservedRuns() -> String? {
    if !configuration.strategy.reservesAtAdmission { return nil }
    for slot in 0..<Int(sequences.slotCount) where sequences.slots[slot].isUsed {
      let table = sequences.slots[slot].blocks
      for i in 0..<table.count {
        if table[i] != table[0] + UInt32(i) {
          return "the table of sequence \(sequences.slots[slot].id) is not one run"
        }
        if blocks.records[Int(table[i])].refCount != 1 || blocks.records[Int(table[i])].pins != 0 {
          return "block \(table[i]) is reserved and shared"
        }
      }
    }
    return nil
  }
}

extension Refusal {
  /// The pool has too few blocks for now, or no run of them: what preempting others may help.
  @inline(__always)
  var isOfBlocks: Bool { reason == .later || reason == .noRun }
}
