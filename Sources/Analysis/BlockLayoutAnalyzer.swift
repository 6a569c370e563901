package import KVBlocks

/// What lies where in a pool: the map of its blocks, and the places where what is available is scattered.
///
/// Valid until the pool's next command; nothing is kept.
package struct BlockLayoutAnalyzer {
  let pool: KVPool
  let mirror: BlockMirror

  package init(_ pool: KVPool, _ tracker: FragmentationTracker) {
    self.pool = pool
    mirror = tracker.mirror(of: pool)
  }

  /// Adjacent cells of a map that look the same.
  package struct CellRun: Equatable {
    package var cells: UInt32 = 0
    package var cell: Cell
  }

  /// One block, or several together.
  package struct Cell: Equatable {
    /// Of most of its blocks; of equally many the first in `BlockState`.
    package var state: BlockState
    /// The most references to a block of it, without copies under way.
    package var references: UInt32
    /// The tokens of a running sequence end in one of its blocks.
    package var isPartial: Bool
    /// One of its blocks is of the sequence asked for.
    package var isHighlighted: Bool
    /// Blocks that are not available x 100 / blocks, rounded down.
    package var usedPercent: UInt32
  }

  /// The blocks from `first` on in cells of `perCell`, the last of which may have fewer; runs of equal
  /// cells. `table`: the blocks of a sequence to highlight.
  ///
  /// A byte is read for each block of the range, and the record of those that are shared. O(`blocks` +
  /// running sequences), with a bit of memory for each block of the range.
  package func map(
    from first: BlockID, _ blocks: UInt32, perCell: UInt32,
    highlighting table: UnsafeBufferPointer<BlockID> = .init(start: nil, count: 0)
  ) -> [CellRun] {
    precondition(first >= 1 && blocks >= 1 && perCell >= 1, "a map of nothing")
    precondition(Int(first) - 1 + Int(blocks) <= mirror.blocks, "a map of more than there is")
    var partial = BlockSet(count: Int(blocks))
    var cursor: UInt32 = 0
    while let (tail, next) = pool.nextTail(from: cursor) {
      cursor = next
      // Another holder of the block may have filled it.
      if tail.block >= first && tail.block - first < blocks
        && !mirror.mark(Int(tail.block)).hasContent
      {
        partial.set(Int(tail.block - first), to: true)
      }
    }
    var highlighted = BlockSet(count: table.isEmpty ? 0 : Int(blocks))
    for id in table where id >= first && id - first < blocks {
      highlighted.set(Int(id - first), to: true)
    }
    var runs: [CellRun] = []
    let marks = mirror.marks + Int(first)
    var begin = 0
    while begin < Int(blocks) {
      let end = min(begin + Int(perCell), Int(blocks))
      var cell = cell(marks, Int(first), begin..<end)
      if partial.population > 0 { cell.isPartial = partial.hasAny(in: begin..<end) }
      if highlighted.population > 0 { cell.isHighlighted = highlighted.hasAny(in: begin..<end) }
      if let last = runs.last, last.cell == cell {
        runs[runs.count - 1].cells += 1
      } else {
        runs.append(CellRun(cells: 1, cell: cell))
      }
      begin = end
    }
    return runs
  }

  /// `marks`: of the first block and those behind it.
  private func cell(_ marks: UnsafeMutablePointer<UInt8>, _ first: Int, _ places: Range<Int>)
    -> Cell
  {
    // By state, as a mark's lowest three bits have it. (No array: there may be as many cells as blocks.)
    let (free, cached, active, shared, pinned): (UInt8, UInt8, UInt8, UInt8, UInt8) = (
      0, 1, 2, 3, 4
    )
    var counts: (Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0)
    var references: UInt32 = 0
    for place in places {
      switch marks[place] & 7 {
      case free: counts.0 &+= 1
      case cached: counts.1 &+= 1
      case active: counts.2 &+= 1
      case shared:
        counts.3 &+= 1
        references = max(references, pool.block(BlockID(first + place)).refCount)
      case pinned: counts.4 &+= 1
      default: counts.5 &+= 1
      }
    }
    if references == 0 && counts.2 > 0 { references = 1 }
    var state = BlockState.free
    var most = counts.0
    if counts.1 > most { (state, most) = (.cached, counts.1) }
    if counts.2 > most { (state, most) = (.active, counts.2) }
    if counts.3 > most { (state, most) = (.shared, counts.3) }
    if counts.4 > most { (state, most) = (.pinned, counts.4) }
    if counts.5 > most { (state, most) = (.pending, counts.5) }
    return Cell(
      state: state, references: references, isPartial: false, isHighlighted: false,
      usedPercent: UInt32((counts.2 + counts.3 + counts.4) * 100 / places.count))
  }

  // MARK: Hotspots

  /// A stretch of blocks and the runs of available ones in it.
  package struct Hotspot: Equatable {
    package var firstBlock: BlockID
    package var blocks: UInt32
    package var available: UInt32
    /// Runs of available blocks that begin here; one that began before is none of them.
    package var runs: UInt32
  }

  /// The stretches in which most runs of available blocks begin, most first, at most `most` of them and
  /// only where there are two or more. A stretch has 64 blocks, or as many more as make 64 stretches of
  /// a part of the pool. O(blocks / 64).
  package func hotspots(_ most: Int) -> [Hotspot] {
    var spots: [Hotspot] = []
    for part in mirror.shapes {
      let words = mirror.availableWords(part)
      let step = max(1, (words.count + 63) / 64)
      var carry: UInt64 = 0
      var i = 0
      while i < words.count {
        let end = min(i + step, words.count)
        var spot = Hotspot(
          firstBlock: BlockID(part.start + 1 + i * 64),
          blocks: UInt32(min(end * 64, part.blocks) - i * 64), available: 0, runs: 0)
        while i < end {
          spot.runs += UInt32((words[i] & ~(words[i] << 1 | carry)).nonzeroBitCount)
          spot.available += UInt32(words[i].nonzeroBitCount)
          carry = words[i] >> 63
          i += 1
        }
        if spot.runs > 1 { spots.append(spot) }
      }
    }
    spots.sort { ($1.runs, $0.firstBlock) < ($0.runs, $1.firstBlock) }
    return Array(spots.prefix(most))
  }
}
