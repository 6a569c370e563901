internal import BlockMessages
internal import KVBlocks

extension StatsFields {
  /// The counters of each size class; the slots where the layout has them. O(classes).
  mutating func addClasses(_ pool: KVPool, _ layout: PoolLayout) {
    let configuration = pool.configuration
    if configuration.sizeClasses.isEmpty { return }
    blockSize = 0
    let scanned = layout.classes
    sizeClasses = pool.classes().enumerated().map { i, one in
      var fields = SizeClassStatsFields()
      fields.blockSize = one.sizeClass.blockSize
      fields.maxExpectedTokens = one.sizeClass.maxExpectedTokens
      fields.firstBlockID = one.firstBlock
      fields.capacityBlocks = one.sizeClass.blocks
      fields.freeBlocks = one.free
      fields.cachedBlocks = one.cached
      fields.activeBlocks = one.active
      fields.sharedBlocks = one.shared
      fields.pinnedBlocks = one.pinned
      fields.lazyPendingBlocks = one.pending
      fields.reservedBlocks = one.reserved
      fields.bytesPerBlock = configuration.geometry?.bytesPerBlock(one.sizeClass.blockSize) ?? 0
      fields.firstBlockOffset = configuration.offset(ofClass: i)
      if scanned.indices.contains(i) {
        fields.sequenceSlotsHeld = scanned[i].sequenceSlotsHeld
        fields.sequenceSlotsUsed = scanned[i].sequenceSlotsUsed
        fields.rawBlocks = scanned[i].rawBlocks
        fields.largestFreeRun = scanned[i].largestFreeRun
        fields.largestAvailableRun = scanned[i].largestAvailableRun
      }
      return fields
    }
  }
}
