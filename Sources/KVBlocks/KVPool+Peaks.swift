/// Peaks that start again.
///
/// Starting them again is no command: it decides nothing that the pool answers later, and who looks at
/// two replicas at different times must not make two different pools of them. So the revision, the
/// history and the state, dumps included, are what they would be without; it is forgotten with the
/// process.
extension KVPool {
  /// The high watermark is what is in use now. O(1).
  package func resetPeaks() {
    blocks.peakBefore = max(blocks.peakBefore, blocks.counters.highWatermark)
    blocks.counters.highWatermark = blocks.capacity - blocks.available
  }
}

extension BlockPool {
  /// As if no peak had ever been started again.
  var lastingCounters: BlockCounters {
    var lasting = counters
    lasting.highWatermark = max(counters.highWatermark, peakBefore)
    return lasting
  }
}
