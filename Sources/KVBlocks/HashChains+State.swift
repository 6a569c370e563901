/// Block hashes of the sequences in a dump, in the order of their slots.
extension HashChains {
  func write(to writer: StateWriter, _ sequences: SequenceTable) {
    writer.section("HASH")
    for slot in 0..<sequences.slotCount where sequences.slots[Int(slot)].isUsed {
      let chain = chains[Int(slot)]
      writer.u32(chain.cachedBlocks)
      writer.flag(chain.skipsLookup)
      writer.u32(chain.count)
      writer.raw(bytes(of: slot))
    }
  }

  func read(from reader: inout StateReader, _ sequences: SequenceTable) throws(StateFailure) {
    try reader.section("HASH")
    for slot in 0..<sequences.slotCount {
      // An unused slot has a place for its chain, too.
      start(slot, .init(start: nil, count: 0), skipsLookup: false)
      if !sequences.slots[Int(slot)].isUsed { continue }
      let cached = try reader.u32()
      let skips = try reader.flag("skips_lookup")
      let count = try reader.count("hashes", bytesEach: hashBytes)
      start(slot, try reader.raw(Int(count) * hashBytes), skipsLookup: skips)
      chains[Int(slot)].cachedBlocks = cached
    }
  }
}
