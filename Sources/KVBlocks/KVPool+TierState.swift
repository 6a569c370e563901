/// The host tier in a dump: its counts, then its blocks as those of the device are written. A pool
/// without one writes nothing.
extension KVPool {
  func writeHost(to writer: StateWriter) {
    guard let host else { return }
    writer.section("HOST")
    writer.u64(activity.swappedOutBlocks)
    writer.u64(activity.swappedInBlocks)
    host.write(to: writer)
  }

  func readHost(from reader: inout StateReader) throws(StateFailure) {
    guard let host else { return }
    try reader.section("HOST")
    activity.swappedOutBlocks = try reader.counter("blocks swapped out")
    activity.swappedInBlocks = try reader.counter("blocks swapped in")
    try host.read(from: &reader, sessions: sessions.count, sequences: sequences.slotCount)
  }
}
