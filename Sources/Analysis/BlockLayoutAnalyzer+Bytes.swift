internal import KVBlocks

extension BlockLayoutAnalyzer {
  /// A byte a block of the whole pool, from block 1 on: the state's raw value in the lowest three bits,
  /// 8 = the tokens of a running sequence end in it, 16 = held raw, 32 = the rest of a rounded run, 64 = a
  /// sequence has it for tokens to come: lookahead, or a reserved run.
  ///
  /// For pictures of every block. O(blocks + running sequences): about a millisecond a million blocks.
  package func bytes() -> [UInt8] {
    let count = mirror.blocks
    // By mark: no branch a block.
    let bytes: [UInt8] = (0...255).map { Self.byte(of: UInt8($0)) }
    return [UInt8](unsafeUninitializedCapacity: count) { place, filled in
      bytes.withUnsafeBufferPointer { bytes in
        for i in 0..<count { place[i] = bytes[Int(mirror.marks[i + 1])] }
      }
      var cursor: UInt32 = 0
      while let (tail, next) = pool.nextTail(from: cursor) {
        cursor = next
        // Another holder of the block may have filled it.
        if tail.block > 0 && !mirror.mark(Int(tail.block)).hasContent {
          place[Int(tail.block) - 1] |= 8
        }
        if tail.emptyBlocks == 0 { continue }
        // Few have any, where runs are not reserved.
        guard let table = pool.describe(session: tail.session, sequence: tail.sequence)?.blocks
        else { continue }
        for id in table.suffix(Int(tail.emptyBlocks)) where id > 0 { place[Int(id) - 1] |= 64 }
      }
      filled = count
    }
  }

  private static func byte(of mark: UInt8) -> UInt8 {
    let holder = BlockMark.HolderKind(rawValue: mark >> 5)
    return mark & 7 | (holder == .raw ? 16 : 0) | (holder == .rounding ? 32 : 0)
  }
}
