/// What a block's record says of it, in a byte: what Analysis keeps of each block. Read it where the
/// log names a block, for then its record has just been touched.
package struct BlockMark: Equatable, BitwiseCopyable {
  /// The state in the lowest three bits, then content, pins, and in the upper three bits the holder.
  package let rawValue: UInt8

  package enum HolderKind: UInt8, BitwiseCopyable {
    case nobody
    /// A session, raw.
    case raw
    /// The table of one sequence.
    case sequence
    /// Several, or one that is left of several.
    case several
    /// Nobody: the rest of an allocation that the strategy rounded up.
    case rounding
  }

  /// `BlockState.pending`: freed, and waiting for its batch.
  package var state: BlockState {
    guard let state = BlockState(rawValue: rawValue & 7) else {
      preconditionFailure("a block in no state")
    }
    return state
  }
  /// Whether it can be hit.
  package var hasContent: Bool { rawValue & 8 != 0 }
  /// An end of a copy under way, or content that sessions keep.
  package var isPinned: Bool { rawValue & 16 != 0 }
  package var holder: HolderKind {
    guard let kind = HolderKind(rawValue: rawValue >> 5) else {
      preconditionFailure("a block with an unknown holder")
    }
    return kind
  }
  /// free, cached or pending: an allocation can take it.
  package var isAvailable: Bool {
    state == .free || state == .cached || state == .pending
  }

  /// Of a byte that was kept.
  @inline(__always)
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  init(_ state: BlockState, hasContent: Bool, isPinned: Bool, _ holder: HolderKind) {
    rawValue = state.rawValue | (hasContent ? 8 : 0) | (isPinned ? 16 : 0) | holder.rawValue << 5
  }

  /// As created.
  package static let free = BlockMark(.free, hasContent: false, isPinned: false, .nobody)
}

/// How much of a block's slots hold tokens, as far as its record leads there.
package enum BlockFill: UInt8 {
  /// Not held by one sequence, and without content: tables that share it know, or raw holders.
  case unknown
  /// For tokens to come: lookahead, or a reserved run.
  case empty
  /// The block in which the sequence's tokens end.
  case partly
  case full
}

extension BlockPool {
  func mark(_ id: BlockID) -> BlockMark {
    let record = records[Int(id)]
    let holder: BlockMark.HolderKind =
      switch record.holder {
      case .shared: .several
      case .rounding: .rounding
      case let one where one.isRaw: .raw
      case let one where one.isSequence: .sequence
      default: .nobody
      }
    return BlockMark(
      state(of: record), hasContent: record.twin != 0, isPinned: record.pins > 0, holder)
  }
}

extension KVPool {
  /// The state of one block of a tier, from 1. O(1), one record.
  @inline(__always)
  package func mark(of id: BlockID, on tier: Tier = .device) -> BlockMark {
    let pool = pool(tier)
    precondition(id >= 1 && id <= pool.capacity, "looked at a block that does not exist")
    return pool.mark(id)
  }

  /// Who holds a block of the device. O(1).
  package func owner(of id: BlockID) -> BlockOwner {
    precondition(id >= 1 && id <= blocks.capacity, "looked at a block that does not exist")
    return BlockOwner(blocks.records[Int(id)].holder, sequences.slots, sessions.slots)
  }

  /// Whether a block of the device is filled. Tokens fill blocks without the log saying so: a sequence
  /// has one block at most that is partly filled, and `nextTail` goes through these.
  ///
  /// O(1), but for the blocks that the sequence has ahead of its tokens.
  package func fill(of id: BlockID) -> BlockFill {
    precondition(id >= 1 && id <= blocks.capacity, "looked at a block that does not exist")
    let record = blocks.records[Int(id)]
    if record.twin != 0 { return .full }
    if record.refCount == 0 || !record.holder.isSequence { return .unknown }
    let sequence = sequences.slots[Int(record.holder.slot)]
    let size = blockSize(of: record.holder.slot)
    var i = sequence.computed / size
    if configuration.strategy.reservesAtAdmission {
      let place = id - sequence.blocks[0]
      return place < i ? .full : place > i || sequence.computed % size == 0 ? .empty : .partly
    }
    if sequence.computed % size > 0 {
      if sequence.blocks[Int(i)] == id { return .partly }
      i += 1
    }
    while i < sequence.blockCount {
      if sequence.blocks[Int(i)] == id { return .empty }
      i += 1
    }
    return .full
  }

  /// Where the tokens of the first running sequence at or after `cursor` end, and the cursor to go on
  /// with; nil at the end. Start with 0. O(slots passed over).
  package func nextTail(from cursor: UInt32) -> (tail: SequenceTail, next: UInt32)? {
    var slot = cursor
    while slot < sequences.slotCount {
      let sequence = sequences.slots[Int(slot)]
      if sequence.isRunning {
        let size = blockSize(of: slot)
        let filled = sequence.computed % size
        let whole = sequence.computed / size
        let tail = SequenceTail(
          session: sessions.slots[Int(sequence.session)].id, sequence: sequence.id,
          block: filled > 0 ? sequence.blocks[Int(whole)] : 0, filledSlots: filled,
          blockSize: size, blocks: sequence.heldBlocks,
          emptyBlocks: sequence.blockCount - min(sequence.blockCount, whole + (filled > 0 ? 1 : 0)))
        return (tail, slot + 1)
      }
      slot += 1
    }
    return nil
  }
}

/// The end of a running sequence's table.
package struct SequenceTail: Equatable {
  package var session: SessionID
  package var sequence: SequenceID
  /// The block that is partly filled; 0 where none is.
  package var block: BlockID
  /// Of that block.
  package var filledSlots: UInt32
  package var blockSize: UInt32
  /// All blocks that it holds, shared ones included.
  package var blocks: UInt32
  /// Of these, the last ones, which hold no token yet.
  package var emptyBlocks: UInt32

  package init(
    session: SessionID, sequence: SequenceID, block: BlockID, filledSlots: UInt32,
    blockSize: UInt32, blocks: UInt32, emptyBlocks: UInt32
  ) {
    self.session = session
    self.sequence = sequence
    self.block = block
    self.filledSlots = filledSlots
    self.blockSize = blockSize
    self.blocks = blocks
    self.emptyBlocks = emptyBlocks
  }
}

extension KVPool {
  /// The raw values of the marks of some blocks of the device, in the order of `ids`, into `marks`, which
  /// has room for them. For whoever reads many: one call, and a record for each. O(`ids`).
  package func readMarks(
    of ids: UnsafeBufferPointer<BlockID>, into marks: UnsafeMutablePointer<UInt8>
  ) {
    let pool = blocks
    for (i, id) in ids.enumerated() {
      precondition(id >= 1 && id <= pool.capacity, "looked at a block that does not exist")
      marks[i] = pool.mark(id).rawValue
    }
  }

  /// The same of all blocks, by id: `marks` has room for one more than there are blocks, of which the
  /// first is left alone. O(blocks).
  package func readMarks(into marks: UnsafeMutablePointer<UInt8>) {
    let pool = blocks
    for id in 1...pool.capacity { marks[Int(id)] = pool.mark(id).rawValue }
  }
}
