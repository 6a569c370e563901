import KVBlocks

/// Sliding windows once more: 0 in a table is a block that was dropped.
extension Model {
  /// Blocks that the token after the first `tokens` does not attend to, nor any later one: it and the
  /// `window` - 1 before it are attended to.
  private func passed(_ tokens: Int) -> Int {
    if window == 0 { return 0 }
    var blocks = 0
    while (blocks + 1) * size <= tokens - (window - 1) { blocks += 1 }
    return blocks
  }

  /// Drops what is behind the window, the last of it first.
  mutating func slide(_ key: Key, _ inFlight: Int) {
    guard var sequence = state.sequences[key] else { return }
    look(at: key)
    var dropped: [BlockID] = []
    for i in sequence.table.indices.prefix(passed(sequence.computed - inFlight)).reversed()
    where sequence.table[i] != 0 {
      dropped.append(sequence.table[i])
      sequence.table[i] = 0
    }
    if dropped.isEmpty { return }
    state.sequences[key] = sequence
    giveBack(dropped)
    slid = true
  }

  /// What was found, without what the window of the next token is past.
  func pastWindow(_ found: [BlockID], computed: Int) -> [BlockID] {
    let gone = passed(computed)
    return Array(repeating: 0, count: gone) + found.dropFirst(gone)
  }

  /// The longest prefix of which the blocks are cached that its last window reaches into.
  func windowHits(_ sequence: Sequence) -> [BlockID] {
    var reach = 0
    while reach * size < window - 1 { reach += 1 }
    if eagle { reach += 1 }
    reach = max(reach, 1)
    for length in (0...min(sequence.hashes.count, (sequence.tokens - 1) / size)).reversed() {
      var blocks = sequence.hashes.prefix(length).map { holder(of: $0) ?? 0 }
      if blocks.suffix(reach).contains(0) { continue }
      for i in blocks.indices.dropLast(reach) { blocks[i] = 0 }
      return eagle ? blocks.dropLast() : blocks
    }
    return []
  }

  /// Blocks that the gate for whole sequences counts at most.
  var gateLimit: Int {
    if window == 0 { return .max }
    let held = min(most, window - 1 + (mostInFlight == 0 ? most : mostInFlight))
    return blocksFor(held) + 1
  }

  /// A sequence keeps as many computed tokens as its dropped blocks tell.
  func leastComputed(_ sequence: Sequence) -> Int {
    let nulls = sequence.table.count { $0 == 0 }
    return nulls == 0 ? 0 : nulls * size + window - 1
  }

  func nulls(_ key: Key) -> UInt32 {
    UInt32(state.sequences[key]?.table.count { $0 == 0 } ?? 0)
  }
}
