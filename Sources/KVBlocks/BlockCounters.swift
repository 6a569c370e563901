/// The partition of a pool and its counts of blocks, kept with every change. O(1) to read.
struct BlockCounters: Equatable, BitwiseCopyable {
  var free: UInt32
  var cached: UInt32 = 0
  var active: UInt32 = 0
  var shared: UInt32 = 0
  var pinned: UInt32 = 0
  var highWatermark: UInt32 = 0
  /// Blocks handed out and blocks that became available again, ever.
  var allocatedBlocks: UInt64 = 0
  var freedBlocks: UInt64 = 0
  /// References given back, ever (a copy on write moves one and gives none back).
  var releasedReferences: UInt64 = 0
  /// Cached blocks handed out anew, ever.
  var evictions: UInt64 = 0
  /// Of these, by policies other than `lru`.
  var lfuEvictions: UInt64 = 0
  var s3FIFOEvictions: UInt64 = 0
  var priorityEvictions: UInt64 = 0
  /// By `EvictionPolicy` raw value.
  var evictionsByPolicy: [UInt64] {
    let others = lfuEvictions + s3FIFOEvictions + priorityEvictions
    return [0, evictions - others, lfuEvictions, s3FIFOEvictions, priorityEvictions]
  }
  /// Of the active ones, blocks that a strategy took beside those it was asked for.
  var rounding: UInt32 = 0
}
