internal import BlockMessages
internal import GRPCWire
package import Workloads

/// Writes `GetStatsRequest` and reads `Stats`.
package enum StatsCodec {
  /// Asks for the free runs, too.
  package static func request(pool: String) -> [UInt8] {
    var packer = MessagePacker()
    let runs: [UInt32] = [1]  // STATS_INCLUDE_RUNS
    runs.withUnsafeBufferPointer { packer.packedUInt32(2, $0) }
    let call = packer.mark
    packer.text(1, pool)
    packer.close(1, since: call)
    return Array(packer.bytes)
  }

  /// Nil when the bytes are no such message.
  package static func read(_ reply: UnsafeRawBufferPointer) -> PoolSnapshot? {
    var snapshot = PoolSnapshot()
    var reader = ProtoReader(reply)
    while let (number, value) = reader.next() {
      switch (number, value) {
      case (3, .varint(let value)): snapshot.capacityBlocks = UInt32(truncatingIfNeeded: value)
      case (4, .varint(let value)): snapshot.freeBlocks = UInt32(truncatingIfNeeded: value)
      case (5, .varint(let value)): snapshot.cachedBlocks = UInt32(truncatingIfNeeded: value)
      case (6, .varint(let value)): snapshot.activeBlocks = UInt32(truncatingIfNeeded: value)
      case (7, .varint(let value)): snapshot.sharedBlocks = UInt32(truncatingIfNeeded: value)
      case (8, .varint(let value)): snapshot.pinnedBlocks = UInt32(truncatingIfNeeded: value)
      case (12, .varint(let value)): snapshot.blockSize = UInt32(truncatingIfNeeded: value)
      case (18, .varint(let value)): snapshot.waitingSequences = UInt32(truncatingIfNeeded: value)
      case (19, .varint(let value)): snapshot.runningSequences = UInt32(truncatingIfNeeded: value)
      case (20, .varint(let value)): snapshot.preemptedSequences = UInt32(truncatingIfNeeded: value)
      case (35, .bytes(let bytes)):
        var inner = ProtoReader(bytes)
        while let (number, value) = inner.next() {
          guard case .varint(let count) = value else { continue }
          if number == 1 { snapshot.freeRuns = UInt32(truncatingIfNeeded: count) }
          if number == 2 { snapshot.largestFreeRun = UInt32(truncatingIfNeeded: count) }
        }
        if inner.isMalformed { return nil }
      default: break
      }
    }
    return reader.isMalformed ? nil : snapshot
  }
}
