/// Pins in a dump: in the order they were made, each with its blocks from the last to the first.
///
/// Serial numbers, places in memory and lists per block can be made again, so they are not written.
extension PinTable {
  func write(to writer: StateWriter, hashBytes: Int) {
    writer.section("PINS")
    var order = (0..<used).filter { pins[Int($0)].serial != 0 }
    order.sort { pins[Int($0)].serial < pins[Int($1)].serial }
    writer.u32(UInt32(order.count))
    for pin in order {
      let one = pins[Int(pin)]
      writer.u32(one.session)
      writer.u32(one.asked)
      writer.u64(one.content.words.0)
      writer.u64(one.content.words.1)
      if hashBytes == 32 {
        writer.u64(one.content.words.2)
        writer.u64(one.content.words.3)
      }
      writer.u64(one.expires)
      writer.u32(one.blocks)
      var link = one.lastLink
      while link != PrefixPin.none {
        if links[Int(link)].block != 0 { writer.u32(links[Int(link)].block) }
        link = links[Int(link)].nextInPin
      }
    }
  }

  /// Into an empty table, when the sessions and the blocks are there.
  func read(
    from reader: inout StateReader, hashBytes: Int, sessions: UInt32, capacity: UInt32
  ) throws(StateFailure) {
    try reader.section("PINS")
    for _ in 0..<(try reader.count("pins", bytesEach: hashBytes + 24)) {
      let session = try reader.u32()
      if session >= sessions { throw reader.failure("session \(session) pins and has no slot") }
      let asked = try reader.u32()
      var content = BlockHash(try reader.u64(), try reader.u64())
      if hashBytes == 32 {
        content.words.2 = try reader.u64()
        content.words.3 = try reader.u64()
      }
      let expires = try reader.u64()
      let pin = create(content, asked: asked, expires: expires, session: session)
      let count = try reader.count("pinned blocks", bytesEach: 4)
      if count == 0 || count > asked || count > KVPool.maximumBlocksPerCommand {
        throw reader.failure("a pin of \(asked) blocks has \(count)")
      }
      var held: [BlockID] = []
      for _ in 0..<count { held.append(try reader.u32("a block", 1, through: capacity)) }
      for block in held.reversed() { _ = append(block, to: pin) }
    }
  }
}
