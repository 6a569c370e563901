/// Who is in a pool, a line each and without a look at tables.
extension KVPool {
  /// The first sequence in use at or after `cursor`, in any state, and the cursor to go on with; nil at
  /// the end. Start with 0. O(slots passed over).
  package func nextFootprint(from cursor: UInt32) -> (footprint: TableFootprint, next: UInt32)? {
    var slot = cursor
    while slot < sequences.slotCount {
      let sequence = sequences.slots + Int(slot)
      if sequence.pointee.isUsed {
        let isRunning = sequence.pointee.isRunning
        let footprint = TableFootprint(
          session: sessions.slots[Int(sequence.pointee.session)].id,
          sequence: sequence.pointee.id, state: sequence.pointee.state,
          tokens: sequence.pointee.tokens,
          computedTokens: isRunning ? sequence.pointee.computed : 0,
          blocks: isRunning ? sequence.pointee.heldBlocks : 0,
          leftBehind: isRunning ? sequence.pointee.nullBlocks : 0, blockSize: blockSize(of: slot),
          sizeClass: sequence.pointee.sizeClass,
          admittedRevision: sequence.pointee.admittedRevision,
          label: sequence.pointee.labelBytes)
        return (footprint, slot + 1)
      }
      slot += 1
    }
    return nil
  }

  /// The sessions that the pool has met, in the order in which they came, from `first` on: each with
  /// what it holds raw, its sequences in any state and the blocks whose content it pins. O(1) for each.
  package func forEachSession(
    _ body: (
      _ session: SessionID, _ rawBlocks: UInt32, _ sequences: UInt32, _ pinnedBlocks: UInt32
    ) -> Void
  ) {
    for i in 0..<Int(sessions.count) {
      let session = sessions.slots[i]
      body(session.id, session.rawBlocks, session.sequences, session.pinnedBlocks)
    }
  }
}

/// What a sequence takes of the device. Valid until the next command.
package struct TableFootprint {
  package let session: SessionID
  package let sequence: SequenceID
  package let state: SequenceState
  /// Known tokens, and those that have slots on the device.
  package let tokens: UInt32
  package let computedTokens: UInt32
  /// Blocks of the device in its table; shared ones count in each table.
  package let blocks: UInt32
  /// Leading entries of its table that are no block any more: behind a sliding window.
  package let leftBehind: UInt32
  package let blockSize: UInt32
  /// The index of its size class; 0 in a pool without.
  package let sizeClass: UInt8
  package let admittedRevision: Revision
  package let label: UnsafeBufferPointer<UInt8>

  /// Slots of its own table that hold no token of its own.
  package var unusedSlots: UInt32 {
    let end = (blocks + leftBehind) * blockSize
    return blocks == 0 ? 0 : end - max(computedTokens, leftBehind * blockSize)
  }
}
