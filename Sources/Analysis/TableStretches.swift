package import KVBlocks

/// Where the blocks of a table lie in the pool.
package enum TableStretches {
  /// `first, count` of each run of adjacent ids, ascending; without block 0.
  ///
  /// - Complexity: Goes through the blocks twice; O(n) for n blocks, and a 64th of the places between the first and the last; of few that lie
  ///   far apart O(n log n).
  package static func of(_ blocks: some Collection<BlockID>) -> [(first: BlockID, count: UInt32)] {
    var first = BlockID.max
    var last: BlockID = 0
    var count = 0
    for block in blocks where block > 0 {
      first = min(first, block)
      last = max(last, block)
      count += 1
    }
    if count == 0 { return [] }
    var stretches: [(first: BlockID, count: UInt32)] = []
    func add(_ block: BlockID) {
      if let last = stretches.last, last.first + last.count == block {
        stretches[stretches.count - 1].count += 1
      } else {
        stretches.append((block, 1))
      }
    }
    // Sorting takes some nanoseconds a block, and as many again for each doubling of the table.
    if count < Int(last - first) / 1_024 {
      for block in blocks.filter({ $0 > 0 }).sorted() { add(block) }
      return stretches
    }
    // A bit for each place; these are in order.
    var words = [UInt64](repeating: 0, count: Int(last - first) / 64 + 1)
    for block in blocks where block > 0 {
      words[Int(block - first) / 64] |= 1 << UInt64((block - first) % 64)
    }
    for (word, var bits) in words.enumerated() {
      while bits != 0 {
        add(first + UInt32(word * 64 + bits.trailingZeroBitCount))
        bits &= bits - 1
      }
    }
    return stretches
  }
}
