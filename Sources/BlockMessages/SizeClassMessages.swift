// SizeClassStats of analyzer.proto.

/// The values of a `SizeClassStats`.
package struct SizeClassStatsFields: Equatable {
  package var blockSize: UInt32 = 0
  package var maxExpectedTokens: UInt32 = 0
  package var firstBlockID: UInt32 = 0
  package var capacityBlocks: UInt32 = 0
  package var freeBlocks: UInt32 = 0
  package var cachedBlocks: UInt32 = 0
  package var activeBlocks: UInt32 = 0
  package var sharedBlocks: UInt32 = 0
  package var pinnedBlocks: UInt32 = 0
  package var lazyPendingBlocks: UInt32 = 0
  package var reservedBlocks: UInt32 = 0
  /// 0 without a geometry, both.
  package var bytesPerBlock: UInt64 = 0
  package var firstBlockOffset: UInt64 = 0
  package var sequenceSlotsHeld: UInt64 = 0
  package var sequenceSlotsUsed: UInt64 = 0
  package var rawBlocks: UInt32 = 0
  package var largestFreeRun: UInt32 = 0
  package var largestAvailableRun: UInt32 = 0

  package init() {}
}

extension MessagePacker {
  mutating func sizeClassStats(_ field: UInt32, _ stats: SizeClassStatsFields) {
    let mark = mark
    uint32(19, stats.lazyPendingBlocks)
    uint32(18, stats.largestAvailableRun)
    uint32(17, stats.largestFreeRun)
    uint32(16, stats.rawBlocks)
    uint64(15, stats.sequenceSlotsUsed)
    uint64(14, stats.sequenceSlotsHeld)
    uint64(13, stats.firstBlockOffset)
    uint64(12, stats.bytesPerBlock)
    uint32(11, stats.reservedBlocks)
    uint32(10, stats.freeBlocks + stats.cachedBlocks + stats.lazyPendingBlocks)
    uint32(9, stats.pinnedBlocks)
    uint32(8, stats.sharedBlocks)
    uint32(7, stats.activeBlocks)
    uint32(6, stats.cachedBlocks)
    uint32(5, stats.freeBlocks)
    uint32(4, stats.capacityBlocks)
    uint32(3, stats.firstBlockID)
    uint32(2, stats.maxExpectedTokens)
    uint32(1, stats.blockSize)
    close(field, since: mark)
  }
}

extension StatsFields {
  /// Bytes of a part of the pool: of so many blocks, or of those of each class.
  func bytes(_ blocks: UInt32, _ part: (SizeClassStatsFields) -> UInt32) -> UInt64 {
    sizeClasses.isEmpty
      ? UInt64(blocks) * bytesPerBlock
      : sizeClasses.reduce(0) { $0 + UInt64(part($1)) * $1.bytesPerBlock }
  }
}
