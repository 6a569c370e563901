import KVBlocks

/// Memory-aware admission once more: everything is added up anew for each admission.
extension Model {
  /// Blocks that running sequences lack for the tokens known of them.
  var owed: Int {
    guard threshold != nil else { return 0 }
    return state.running.reduce(0) { sum, key in
      guard let sequence = state.sequences[key] else { return sum }
      let lacking = blocksFor(sequence.tokens) - sequence.table.count
      let held = sequence.table.count { $0 != 0 }
      return sum + max(0, min(lacking, gateLimit - held))
    }
  }

  /// The most blocks that are not a larger share of the pool.
  var thresholdBlocks: Int {
    guard let threshold else { return blocks }
    return (0...blocks).last { Double($0) / Double(blocks) <= threshold } ?? 0
  }

  /// `charge` blocks go with it now or later; `whole` is its whole table.
  mutating func checkThreshold(
    _ charge: Int, whole: Int, evictable: Int, own: Int, _ id: SequenceID
  ) throws(Refusal) {
    guard let threshold, charge > own else { return }
    let others = promised - own
    let filled = blocks - available + owed + others + charge
    let kept = blocks - thresholdBlocks
    if Double(whole) / Double(blocks) > threshold {
      overThreshold += 1
      throw Refusal(
        .never, field: .admissionThreshold, needed: UInt32(whole), available: UInt32(available),
        evictable: UInt32(evictable), reserved: UInt32(others), watermark: UInt32(kept),
        sequence: id)
    }
    if Double(filled) / Double(blocks) > threshold {
      overThreshold += 1
      throw Refusal(
        .later, field: .admissionThreshold, needed: UInt32(charge), available: UInt32(available),
        evictable: UInt32(evictable), reserved: UInt32(others),
        watermark: UInt32(clamping: kept + owed), sequence: id)
    }
  }
}
