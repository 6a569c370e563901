/// What it takes a scan of a pool to tell, on request and never kept.
extension KVPool {
  /// Runs and slots; either may be left out. O(blocks + table entries), with 4 bytes of memory a block
  /// for the slots; the runs alone take O(runs + blocks / 64) where the strategy has a bit for each block
  /// and nothing is cached.
  package func layout(withRuns: Bool = true, withSlots: Bool = true) -> PoolLayout {
    var layout = PoolLayout()
    if withRuns { addRuns(to: &layout) }
    if withSlots { addSlots(to: &layout) }
    return layout
  }

  private func addRuns(to layout: inout PoolLayout) {
    if hasClasses { layout.classes = classes() }
    var free = RunCounter()
    var available = RunCounter()
    countRuns(withCached: false, &free) { layout.classes[$0].largestFreeRun = $1 }
    if hasClasses || blocks.counters.cached > 0 || blocks.pendingCount > 0 {
      countRuns(withCached: true, &available) { layout.classes[$0].largestAvailableRun = $1 }
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

  /// A run is of one size class; `tell` hears the longest of each.
  private func countRuns(
    withCached: Bool, _ counter: inout RunCounter, _ tell: (Int, UInt32) -> Void
  ) {
    if !hasClasses { return blocks.countRuns(withCached: withCached, &counter) }
    for i in shapes.indices {
      useClass(UInt8(i))
      var own = RunCounter()
      blocks.countRuns(withCached: withCached, &own)
      tell(i, own.largest.first ?? 0)
      counter.add(own)
    }
  }

  private func addSlots(to layout: inout PoolLayout) {
    // Of each block that a sequence holds: 1 + the slots that the fullest of its holders uses.
    let fill = UnsafeMutablePointer<UInt32>.allocate(capacity: Int(blocks.capacity) + 1)
    defer { fill.deallocate() }
    fill.initialize(repeating: 0, count: Int(blocks.capacity) + 1)
    for slot in 0..<Int(sequences.slotCount) where sequences.slots[slot].isRunning {
      let sequence = sequences.slots[slot]
      useClass(of: UInt32(slot))
      let size = blockSize
      for i in Int(sequence.nullBlocks)..<Int(sequence.blockCount) {
        let begin = UInt64(i) * UInt64(size)
        let used = UInt64(sequence.computed) > begin ? UInt64(sequence.computed) - begin : 0
        let block = Int(sequence.blocks[i])
        fill[block] = max(fill[block], 1 + UInt32(min(used, UInt64(size))))
      }
    }
    if hasClasses && layout.classes.isEmpty { layout.classes = classes() }
    for id in 1...Int(blocks.capacity) {
      let record = blocks.records[id]
      if hasClasses { addSlots(of: record, fill[id], to: &layout) }
      useClass(ofBlock: BlockID(id))
      let size = blockSize
      if fill[id] > 0 {
        layout.sequenceSlotsHeld += UInt64(size)
        layout.sequenceSlotsUsed += UInt64(fill[id] - 1)
      } else if record.refCount > 0 && record.holder != .rounding {
        layout.rawBlocks += 1
      }
    }
  }

  /// The same for the block's size class. `fill`: 1 + slots used, 0 = no sequence has it.
  private func addSlots(of record: BlockRecord, _ fill: UInt32, to layout: inout PoolLayout) {
    let i = Int(record.sizeClass)
    if fill > 0 {
      layout.classes[i].sequenceSlotsHeld += UInt64(shapes[i].blockSize)
      layout.classes[i].sequenceSlotsUsed += UInt64(fill - 1)
    } else if record.refCount > 0 {
      layout.classes[i].rawBlocks += 1
    }
  }

  /// The size classes without what takes a scan; empty in a pool without. O(classes).
  package func classes() -> [ClassLayout] {
    shapes.indices.map { i in
      let parts = blocks.partCounts[i]
      var layout = ClassLayout(
        sizeClass: configuration.sizeClasses[i], firstBlock: shapes[i].start + 1)
      layout.free = parts.free - parts.pendingFree
      layout.cached = parts.cached - parts.pendingCached
      layout.pending = parts.pendingFree + parts.pendingCached
      layout.shared = parts.shared
      layout.pinned = parts.pinned
      layout.active =
        shapes[i].blocks - parts.free - parts.cached - parts.shared - parts.pinned
      layout.reserved = shapes[i].promised
      return layout
    }
  }
}
