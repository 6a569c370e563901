/// Sliding windows: a token attends to itself and to the `slidingWindow` - 1 before it, so blocks that
/// no token to come attends to are given back early.
///
/// A table keeps its logical length. What is given back becomes the null block, 0; those entries are
/// always a prefix of the table, `SequenceSlot.nullBlocks` long. The rules are vLLM's
/// (`SlidingWindowManager`, `remove_skipped_blocks`); `SlidingWindow.md` lists them.
extension KVPool {
  /// Whole blocks that no token from number `tokens` on attends to. 0 with full attention.
  @inline(__always)
  func skippedBlocks(_ tokens: UInt32) -> UInt32 {
    if window == 0 || tokens < window { return 0 }
    return (tokens - window + 1) / blockSize
  }

  /// Gives back what is behind the window of the next token, in one call and from the end of the
  /// range, so that of a chain the tail is evicted first. A fact, like appended tokens: it stands
  /// even when the slots that are asked for are then refused, because the blocks can be of no more
  /// use to the sequence.
  ///
  /// - Parameter inFlight: Computed tokens that steps under way are still computing; their windows
  ///   reach further back.
  @inline(never)
  func dropSkipped(_ slot: UInt32, inFlight: UInt32) {
    let sequence = sequences.slots + Int(slot)
    let processed = sequence.pointee.computed - min(sequence.pointee.computed, inFlight)
    let end = min(skippedBlocks(processed), sequence.pointee.blockCount)
    let first = sequence.pointee.nullBlocks
    if end <= first { return }
    guard let table = sequence.pointee.table else { preconditionFailure("a table without memory") }
    blocks.dropReferences(
      table + Int(end) - 1, Int(end - first), stride: -1, by: .sequence(slot), .window)
    sequences.nullEntries(of: slot, upTo: end)
    run.droppedBlocks += end - first
    run.changed = true
  }

  /// After a decode of the `count` sequences in `scratch` in which a window moved.
  @inline(never)
  func listNulls(_ count: Int, _ result: inout OperationResult, _ outcome: Outcome) {
    let start = outcome.nullCounts.count
    for i in 0..<count {
      let slot = scratch.base[i]
      // Also of those that did not run: a swapped one has its null blocks still.
      outcome.nullCounts.append(
        slot == SequenceSlot.none ? 0 : sequences.slots[Int(slot & ~Self.notRunning)].nullBlocks)
    }
    result.nullCounts = slice(start, outcome.nullCounts.count)
  }

  /// Fewest computed tokens that the sequence can be rewound to: the next one's window must not
  /// reach into what was given back.
  func leastComputed(_ slot: UInt32) -> UInt32 {
    let nulls = sequences.slots[Int(slot)].nullBlocks
    return nulls == 0 ? 0 : nulls * blockSize + window - 1
  }

  /// Blocks that the gate for a whole sequence counts at most (vLLM's
  /// `max_admission_blocks_per_request`): the window, what is scheduled and not settled, and one
  /// more, because a window need not begin where a block does.
  func admissionCap() -> UInt32 {
    if window == 0 { return .max }
    let inFlight = configuration.maxInFlightTokens
    let span = UInt64(window) - 1 + UInt64(inFlight == 0 ? tokenLimit : inFlight)
    return blocksFor(min(span, UInt64(tokenLimit))) + 1
  }

  /// The longest prefix whose last window is cached, its blocks into `list`, looked for from right to
  /// left: as many adjacent blocks as a window can reach into, or fewer that begin at block 0. What
  /// is before them is not needed, cached or not.
  ///
  /// With EAGLE one block more must be there, and the last one is dropped.
  ///
  /// - Parameter limit: The prefix has at most this many blocks.
  /// - Returns: Blocks of the prefix before those in the list.
  /// - Complexity: O(`limit`).
  func findWindow(
    _ hashes: UnsafeBufferPointer<UInt8>, limit: Int, into list: inout FlatList<BlockID>
  ) -> UInt32 {
    guard let index = blocks.index, let bytes = hashes.baseAddress else { return 0 }
    // A window of one token reaches into none, but one has to be met for a prefix to be known.
    let needed = max(Int(reach), 1)
    func block(_ i: Int) -> BlockID {
      index.first(
        BlockHash(bytes + i * index.hashBytes, index.hashBytes), group: self.run.sizeClass)
    }
    var first = min(hashes.count / index.hashBytes, limit)
    var run = 0
    while first > 0 && run < needed {
      first -= 1
      run = block(first) == 0 ? 0 : run + 1
    }
    self.run.work += UInt64(min(hashes.count / index.hashBytes, limit) - first)
    if configuration.eagle && run > 0 { run -= 1 }
    for i in first..<first + run { list.append(block(i)) }
    return UInt32(first)
  }
}
