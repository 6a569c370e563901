internal import KVBlocks

/// What the cells of a picture of a pool are made of: runs of cells that are alike.
package struct BlockMix: Equatable {
  /// Blocks of the pool, and of one cell; the last may have fewer.
  package var blocks: UInt32 = 0
  package var perCell: UInt32 = 1
  package var runs: [Run] = []

  package struct Run: Equatable {
    package var cells: UInt32
    package var cell: Cell
  }

  package struct Cell: Equatable {
    /// Blocks of each state, by its raw value.
    package var counts: [UInt32]
    /// The tokens of a running sequence end in one of them.
    package var isPartial: Bool
  }
}

extension BlockLayoutAnalyzer {
  /// The whole pool in cells of `perCell` blocks. A byte is read for each block: about a millisecond a
  /// million. O(blocks + running sequences).
  package func mix(perCell: UInt32) -> BlockMix {
    precondition(perCell > 0, "cells of no blocks")
    let blocks = mirror.blocks
    var partial = BlockSet(count: (blocks + Int(perCell) - 1) / Int(perCell))
    var cursor: UInt32 = 0
    while let (tail, next) = pool.nextTail(from: cursor) {
      cursor = next
      // Another holder of the block may have filled it.
      if tail.block > 0 && !mirror.mark(Int(tail.block)).hasContent {
        partial.set((Int(tail.block) - 1) / Int(perCell), to: true)
      }
    }
    var mix = BlockMix(blocks: UInt32(blocks), perCell: perCell)
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 8) { counts in
      var begin = 0
      while begin < blocks {
        let end = min(begin + Int(perCell), blocks)
        counts.initialize(repeating: 0)
        for id in begin + 1...end { counts[Int(mirror.marks[id] & 7)] &+= 1 }
        let isPartial = partial.contains(begin / Int(perCell))
        // Without an array for each cell: there may be thousands that are alike.
        if let last = mix.runs.last?.cell, last.isPartial == isPartial,
          last.counts.elementsEqual(counts.prefix(Self.states))
        {
          mix.runs[mix.runs.count - 1].cells += 1
        } else {
          let cell = BlockMix.Cell(counts: Array(counts.prefix(Self.states)), isPartial: isPartial)
          mix.runs.append(BlockMix.Run(cells: 1, cell: cell))
        }
        begin = end
      }
    }
    return mix
  }

  private static let states = Int(BlockState.pending.rawValue) + 1
}
