internal import BlockMessages
package import Workloads

/// Writes `GetStatsRequest` and reads `Stats`.
package enum StatsCodec {
  /// Asks for the free runs, too.
  package static func request(pool: String) -> [UInt8] {
    var packer = MessagePacker()
    packer.getStatsRequest(call: CallFields(pool: pool), includesRuns: true)
    return Array(packer.bytes)
  }

  /// Nil when the bytes are no such message.
  package static func read(_ reply: UnsafeRawBufferPointer) -> PoolSnapshot? {
    let stats: StatsFields
    do throws(DecodeFailure) {
      stats = try MessageDecoder().decode(StatsMessage.self, from: reply).fields
    } catch {
      return nil
    }
    var snapshot = PoolSnapshot()
    snapshot.capacityBlocks = stats.capacityBlocks
    snapshot.blockSize = stats.blockSize
    snapshot.freeBlocks = stats.freeBlocks
    snapshot.cachedBlocks = stats.cachedBlocks
    snapshot.activeBlocks = stats.activeBlocks
    snapshot.sharedBlocks = stats.sharedBlocks
    snapshot.pinnedBlocks = stats.pinnedBlocks
    snapshot.waitingSequences = stats.waitingSequences
    snapshot.runningSequences = stats.runningSequences
    snapshot.preemptedSequences = stats.preemptedSequences
    snapshot.freeRuns = stats.freeRuns?.count ?? 0
    snapshot.largestFreeRun = stats.freeRuns?.largest ?? 0
    return snapshot
  }
}
