internal import CQuireProtos

// analyzer.proto: requests as views; replies by the packer.

package struct GetStatsRequest: WireMessage {
  package static var kind: MessageKind { .getStatsRequest }
  private let m: UnsafePointer<Quire__V1__GetStatsRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__GetStatsRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var includesRuns: Bool { includes(QUIRE__V1__STATS_INCLUDE__STATS_INCLUDE_RUNS) }
  package var includesSlots: Bool { includes(QUIRE__V1__STATS_INCLUDE__STATS_INCLUDE_SLOTS) }

  private func includes(_ part: Quire__V1__StatsInclude) -> Bool {
    list(m.pointee.include, m.pointee.n_include).contains { $0 == part }
  }
}

/// The values of a `Stats`. The slot fields and the runs are 0 and empty when not asked for.
package struct StatsFields: Equatable {
  package var pool = ""
  package var revision: UInt64 = 0
  package var capacityBlocks: UInt32 = 0
  package var freeBlocks: UInt32 = 0
  package var cachedBlocks: UInt32 = 0
  package var activeBlocks: UInt32 = 0
  package var sharedBlocks: UInt32 = 0
  package var pinnedBlocks: UInt32 = 0
  package var availableBlocks: UInt32 = 0
  package var reservedBlocks: UInt32 = 0
  package var admissionLimitBlocks: UInt32 = 0
  package var owedBlocks: UInt32 = 0
  package var lazyPendingBlocks: UInt32 = 0
  package var blockSize: UInt32 = 0
  package var sequenceSlotsHeld: UInt64 = 0
  package var sequenceSlotsUsed: UInt64 = 0
  package var rawBlocks: UInt32 = 0
  package var waitingSequences: UInt32 = 0
  package var runningSequences: UInt32 = 0
  package var preemptedSequences: UInt32 = 0
  package var swappedSequences: UInt32 = 0
  package var hostCapacityBlocks: UInt32 = 0
  package var hostFreeBlocks: UInt32 = 0
  package var hostActiveBlocks: UInt32 = 0
  package var hostSharedBlocks: UInt32 = 0
  package var hostPinnedBlocks: UInt32 = 0
  package var swappedOutBlocks: UInt64 = 0
  package var swappedInBlocks: UInt64 = 0
  package var movedBlocks: UInt64 = 0
  package var abandonedMoves: UInt64 = 0
  package var allocateCalls: UInt64 = 0
  package var allocatedBlocks: UInt64 = 0
  package var freeCalls: UInt64 = 0
  package var freedBlocks: UInt64 = 0
  /// By raw value of `RefusalReason`.
  package var refusals: [UInt64] = []
  package var forks: UInt64 = 0
  package var copies: UInt64 = 0
  package var pendingCopies: UInt32 = 0
  package var evictions: UInt64 = 0
  package var evictionsAhead: UInt64 = 0
  /// By raw value of `EvictionPolicy`.
  package var evictionsByPolicy: [UInt64] = []
  package var preemptions: UInt64 = 0
  package var prefixQueryTokens: UInt64 = 0
  package var prefixHitTokens: UInt64 = 0
  package var highWatermarkBlocks: UInt32 = 0
  package var freeRuns: FreeRunsFields?
  package var availableRuns: FreeRunsFields?
  package var externalFragmentation: Double = 0
  package var internalFragmentation: Double = 0
  package var refusalsByFragmentation: UInt64 = 0
  package var roundingBlocks: UInt32 = 0
  /// The bytes of the parts are products of this.
  package var bytesPerBlock: UInt64 = 0
  package var managerBytesPerBlock: Double = 0
  package var isDefragmentAdvised = false
  package var sizeClasses: [SizeClassStatsFields] = []

  package init() {}
}

package struct FreeRunsFields: Equatable {
  package var count: UInt32
  package var largest: UInt32
  package var tenLargest: [UInt32]

  package init(count: UInt32, largest: UInt32, tenLargest: [UInt32]) {
    self.count = count
    self.largest = largest
    self.tenLargest = tenLargest
  }
}

extension MessagePacker {
  package mutating func stats(_ stats: StatsFields) {
    uint64(121, stats.abandonedMoves)
    uint64(120, stats.movedBlocks)
    for policy in stats.evictionsByPolicy.indices.reversed()
    where stats.evictionsByPolicy[policy] > 0 {
      let mark = mark
      uint64(2, stats.evictionsByPolicy[policy])
      uint32(1, UInt32(policy))
      close(95, since: mark)
    }
    uint64(92, stats.evictionsAhead)
    uint32(91, stats.owedBlocks)
    uint32(90, stats.admissionLimitBlocks)
    for one in stats.sizeClasses.reversed() { sizeClassStats(75, one) }
    hostTier(stats)
    double(67, stats.managerBytesPerBlock)
    uint64(66, stats.bytes(stats.availableBlocks) { $0.freeBlocks + $0.cachedBlocks })
    uint64(65, stats.bytes(stats.pinnedBlocks) { $0.pinnedBlocks })
    uint64(64, stats.bytes(stats.sharedBlocks) { $0.sharedBlocks })
    uint64(63, stats.bytes(stats.activeBlocks) { $0.activeBlocks })
    uint64(62, stats.bytes(stats.cachedBlocks) { $0.cachedBlocks })
    uint64(61, stats.bytes(stats.freeBlocks) { $0.freeBlocks })
    uint64(60, stats.bytes(stats.capacityBlocks) { $0.capacityBlocks })
    uint32(41, stats.roundingBlocks)
    bool(40, stats.isDefragmentAdvised)
    uint64(39, stats.refusalsByFragmentation)
    double(38, stats.internalFragmentation)
    double(37, stats.externalFragmentation)
    if let runs = stats.availableRuns { freeRuns(36, runs) }
    if let runs = stats.freeRuns { freeRuns(35, runs) }
    uint32(34, stats.highWatermarkBlocks)
    uint64(33, stats.prefixHitTokens)
    uint64(32, stats.prefixQueryTokens)
    uint64(31, stats.preemptions)
    uint64(30, stats.evictions)
    uint32(29, stats.pendingCopies)
    uint64(28, stats.copies)
    uint64(27, stats.forks)
    for reason in stats.refusals.indices.reversed() where stats.refusals[reason] > 0 {
      let mark = mark
      uint64(2, stats.refusals[reason])
      uint32(1, UInt32(reason))
      close(26, since: mark)
    }
    uint64(25, stats.freedBlocks)
    uint64(24, stats.freeCalls)
    uint64(23, stats.allocatedBlocks)
    uint64(22, stats.allocateCalls)
    uint32(21, stats.swappedSequences)
    uint32(20, stats.preemptedSequences)
    uint32(19, stats.runningSequences)
    uint32(18, stats.waitingSequences)
    uint32(17, stats.rawBlocks)
    uint64(16, stats.sequenceSlotsUsed)
    uint64(15, stats.sequenceSlotsHeld)
    uint64(
      14,
      stats.bytes(stats.capacityBlocks - stats.availableBlocks) {
        $0.activeBlocks + $0.sharedBlocks + $0.pinnedBlocks
      })
    uint64(13, stats.bytesPerBlock)
    uint32(12, stats.blockSize)
    uint32(11, stats.lazyPendingBlocks)
    uint32(10, stats.reservedBlocks)
    uint32(9, stats.availableBlocks)
    uint32(8, stats.pinnedBlocks)
    uint32(7, stats.sharedBlocks)
    uint32(6, stats.activeBlocks)
    uint32(5, stats.cachedBlocks)
    uint32(4, stats.freeBlocks)
    uint32(3, stats.capacityBlocks)
    uint64(2, stats.revision)
    text(1, stats.pool)
  }

  private mutating func hostTier(_ stats: StatsFields) {
    uint64(86, stats.swappedInBlocks)
    uint64(85, stats.swappedOutBlocks)
    uint32(84, stats.hostPinnedBlocks)
    uint32(83, stats.hostSharedBlocks)
    uint32(82, stats.hostActiveBlocks)
    uint32(81, stats.hostFreeBlocks)
    uint32(80, stats.hostCapacityBlocks)
  }

  private mutating func freeRuns(_ field: UInt32, _ runs: FreeRunsFields) {
    let mark = mark
    runs.tenLargest.withUnsafeBufferPointer { packedUInt32(3, $0) }
    uint32(2, runs.largest)
    uint32(1, runs.count)
    close(field, since: mark)
  }
}
