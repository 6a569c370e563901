/// What the blocks hold, in a dump.
extension PrefixIndex {
  /// Each content once, by the id of the block that answers for it; then the others that have it, in
  /// the order in which they will.
  func write(to writer: StateWriter) {
    writer.section("CONT")
    writer.u32(UInt32(contents))
    for id in 1...UInt32(capacity) where records[Int(id)].twin != 0 {
      let isAlone = records[Int(id)].twin == id
      if !isAlone && !isFirst(id) { continue }
      var size: UInt32 = 0
      var member = id
      repeat {
        size += 1
        member = records[Int(member)].twin
      } while member != id
      writer.u32(size)
      let hash = hash(of: id)
      writer.u64(hash.words.0)
      writer.u64(hash.words.1)
      if hashBytes == 32 {
        writer.u64(hash.words.2)
        writer.u64(hash.words.3)
      }
      repeat {
        writer.u32(member)
        member = records[Int(member)].twin
      } while member != id
    }
  }

  func read(from reader: inout StateReader) throws(StateFailure) {
    try reader.section("CONT")
    for _ in 0..<(try reader.count("contents", bytesEach: 8 + hashBytes)) {
      let size = try reader.u32("blocks of a content", 1, through: UInt32(capacity))
      var hash = BlockHash(try reader.u64(), try reader.u64())
      if hashBytes == 32 {
        hash.words.2 = try reader.u64()
        hash.words.3 = try reader.u64()
      }
      for i in 0..<size {
        let id = try reader.u32("a block", 1, through: UInt32(capacity))
        let record = records[Int(id)]
        if record.twin != 0 { throw reader.failure("block \(id) has two contents") }
        if (first(hash, group: record.group) == 0) != (i == 0) {
          throw reader.failure("the content of block \(id) comes in two places")
        }
        insert(id, hash, group: record.group)
      }
    }
  }
}
