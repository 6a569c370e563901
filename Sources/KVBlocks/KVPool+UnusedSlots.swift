/// Slots that sequences hold and do not use: at the ends of their tables, for all before is full.
package struct UnusedSlots: Equatable {
  /// Of a size class, or of the pool without any.
  package struct Part: Equatable {
    /// Slots of distinct blocks that no holder has a token in.
    package var slots: UInt64 = 0
    /// Blocks that are partly filled, and blocks ahead of all tokens: lookahead, or a reserved run.
    package var partialBlocks: UInt32 = 0
    package var emptyBlocks: UInt32 = 0
    /// Blocks with several holders, or one that is left of several, of which no sequence is one.
    package var rawSeveral: UInt32 = 0
  }

  /// By the index of the size class; one in a pool without.
  package var parts: [Part]
}

extension KVPool {
  /// What `layout` counts block by block, from the ends of the tables alone. A block that several share
  /// is as full as its fullest holder has it.
  ///
  /// O(running sequences + their blocks ahead of tokens), and O(raw references to shared blocks, at
  /// their most so far) where there are any.
  package func unusedSlots() -> UnusedSlots {
    var unused = UnusedSlots(parts: Array(repeating: .init(), count: max(shapes.count, 1)))
    let records = blocks.records
    // How many of the references to a shared block are raw.
    var raw: [BlockID: UInt32] = [:]
    if blocks.sharedHolds.count > 0 {
      blocks.sharedHolds.forEach { raw[BlockID($0.a), default: 0] += $0.value }
      for (id, count) in raw where records[Int(id)].refCount == count {
        unused.parts[Int(records[Int(id)].sizeClass)].rawSeveral += 1
      }
    }
    var shared: [BlockID: SharedEnd] = [:]
    let reserves = configuration.strategy.reservesAtAdmission
    for slot in 0..<sequences.slotCount where sequences.slots[Int(slot)].isRunning {
      let sequence = sequences.slots[Int(slot)]
      let size = blockSize(of: slot)
      let whole = sequence.computed / size
      let filled = sequence.computed % size
      let part = Int(sequence.sizeClass)
      if reserves {
        // Nobody else has any of it.
        unused.parts[part].add(blocks: sequence.blockCount - whole, filled: filled, size: size)
        continue
      }
      var i = max(whole, sequence.nullBlocks)
      while i < sequence.blockCount {
        let id = sequence.blocks[Int(i)]
        let fill = i == whole ? filled : 0
        if records[Int(id)].refCount == 1 {
          unused.parts[part].add(blocks: 1, filled: fill, size: size)
        } else {
          shared[id, default: SharedEnd(size: size)].add(fill)
        }
        i += 1
      }
    }
    for (id, end) in shared {
      let record = records[Int(id)]
      // Whoever holds it and was not met here has it full.
      if end.holders < record.refCount - raw[id, default: 0] { continue }
      unused.parts[Int(record.sizeClass)].add(blocks: 1, filled: end.filled, size: end.size)
    }
    return unused
  }

  /// A block in which the tokens of one of its holders end, or that lies ahead of them.
  private struct SharedEnd {
    let size: UInt32
    var holders: UInt32 = 0
    var filled: UInt32 = 0

    mutating func add(_ fill: UInt32) {
      holders += 1
      filled = max(filled, fill)
    }
  }
}

extension UnusedSlots.Part {
  /// The last `blocks` of a table, of which the first has `filled` tokens.
  fileprivate mutating func add(blocks: UInt32, filled: UInt32, size: UInt32) {
    if blocks == 0 { return }
    slots += UInt64(blocks) * UInt64(size) - UInt64(filled)
    partialBlocks += filled > 0 ? 1 : 0
    emptyBlocks += blocks - (filled > 0 ? 1 : 0)
  }
}
