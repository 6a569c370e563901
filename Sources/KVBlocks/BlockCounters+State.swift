/// The counts of blocks in a dump.
extension BlockCounters {
  func write(to writer: StateWriter) {
    writer.section("BCNT")
    writer.u32(free)
    writer.u32(cached)
    writer.u32(active)
    writer.u32(shared)
    writer.u32(pinned)
    writer.u32(highWatermark)
    writer.u64(allocatedBlocks)
    writer.u64(freedBlocks)
    writer.u64(releasedReferences)
    writer.u64(evictions)
  }

  init(from reader: inout StateReader, blocks: UInt32) throws(StateFailure) {
    try reader.section("BCNT")
    free = try reader.u32("free blocks", through: blocks)
    cached = try reader.u32("cached blocks", through: blocks)
    active = try reader.u32("active blocks", through: blocks)
    shared = try reader.u32("shared blocks", through: blocks)
    pinned = try reader.u32("pinned blocks", through: blocks)
    if UInt64(free) + UInt64(cached) + UInt64(active) + UInt64(shared) + UInt64(pinned)
      != UInt64(blocks)
    {
      throw reader.failure("the parts of the pool do not add up to \(blocks) blocks")
    }
    highWatermark = try reader.u32("the high watermark", through: blocks)
    allocatedBlocks = try reader.counter("allocated blocks")
    freedBlocks = try reader.counter("freed blocks")
    if freedBlocks > allocatedBlocks {
      throw reader.failure("more blocks came back than were handed out")
    }
    releasedReferences = try reader.counter("released references")
    evictions = try reader.counter("evictions")
  }

  /// In a pool that caches.
  func writeByPolicy(to writer: StateWriter) {
    writer.u64(lfuEvictions)
    writer.u64(s3FIFOEvictions)
    writer.u64(priorityEvictions)
  }

  mutating func readByPolicy(from reader: inout StateReader) throws(StateFailure) {
    lfuEvictions = try reader.counter("lfu evictions")
    s3FIFOEvictions = try reader.counter("s3-fifo evictions")
    priorityEvictions = try reader.counter("priority evictions")
    var rest = evictions
    for part in [lfuEvictions, s3FIFOEvictions, priorityEvictions] {
      if part > rest { throw reader.failure("the evictions by policy are more than all") }
      rest -= part
    }
  }
}
