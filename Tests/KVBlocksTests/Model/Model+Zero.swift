import KVBlocks

/// Blocks to be zeroed, by what everybody ever had.
extension Model {
  mutating func noteDirty(_ taken: [BlockID]) {
    second += taken.filter { state.dirty.contains($0) }
    state.dirty.formUnion(taken)
  }

  /// Of an operation that stands. What a copy fills whole need not be zeroed before.
  func listDirty(_ result: inout Seen.Result) {
    if !zeroes { return }
    let targets = result.copies.filter { $0.kind != .swapOut }
    for copy in targets
    where second.contains(copy.target) && Int(copy.tokens) < sizeOf(copy.target) {
      result.mustZero.append(copy.target)
    }
    // Twice where a preemption within the operation gave it back.
    for block in second
    where !targets.contains(where: { $0.target == block }) && !result.mustZero.contains(block) {
      result.mustZero.append(block)
    }
  }
}
