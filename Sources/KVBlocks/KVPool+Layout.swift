/// What it takes a scan of a pool to tell, on request and never kept.
extension KVPool {
  /// Runs and slots; either may be left out. O(blocks + table entries), with 4 bytes of memory a block
  /// for the slots; the runs alone take O(blocks / 64) where the strategy has a bit for each block and
  /// nothing is cached.
  package func layout(withRuns: Bool = true, withSlots: Bool = true) -> PoolLayout {
    var layout = PoolLayout()
    if withRuns { addRuns(to: &layout) }
    if withSlots { addSlots(to: &layout) }
    return layout
  }

  private func addRuns(to layout: inout PoolLayout) {
    var free = RunCounter()
    blocks.countRuns(withCached: false, &free)
    var available = RunCounter()
    if blocks.counters.cached > 0 {
      blocks.countRuns(withCached: true, &available)
    } else {
      available = free
    }
    layout.freeRuns = free.runs
    layout.largestFreeRuns = free.largest
    layout.largestFreeRun = free.largest.first ?? 0
    layout.availableRuns = available.runs
    layout.largestAvailableRuns = available.largest
    layout.largestAvailableRun = available.largest.first ?? 0
  }

  private func addSlots(to layout: inout PoolLayout) {
    let size = configuration.blockSize
    // Of each block that a sequence holds: 1 + the slots that the fullest of its holders uses.
    let fill = UnsafeMutablePointer<UInt32>.allocate(capacity: Int(blocks.capacity) + 1)
    defer { fill.deallocate() }
    fill.initialize(repeating: 0, count: Int(blocks.capacity) + 1)
    for slot in 0..<Int(sequences.slotCount) where sequences.slots[slot].isRunning {
      let sequence = sequences.slots[slot]
      for i in Int(sequence.nullBlocks)..<Int(sequence.blockCount) {
        let begin = UInt64(i) * UInt64(size)
        let used = UInt64(sequence.computed) > begin ? UInt64(sequence.computed) - begin : 0
        let block = Int(sequence.blocks[i])
        fill[block] = max(fill[block], 1 + UInt32(min(used, UInt64(size))))
      }
    }
    for id in 1...Int(blocks.capacity) {
      let record = blocks.records[id]
      if fill[id] > 0 {
        layout.sequenceSlotsHeld += UInt64(size)
        layout.sequenceSlotsUsed += UInt64(fill[id] - 1)
      } else if record.refCount > 0 && record.holder != .rounding {
        layout.rawBlocks += 1
      }
    }
  }
}
