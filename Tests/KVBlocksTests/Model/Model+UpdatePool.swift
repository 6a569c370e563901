import KVBlocks

extension Model {
  /// Of N + 1 blocks, with the null block, and rounded down.
  var watermark: Int { Int(state.watermark * Double(blocks + 1)) }

  mutating func update(_ update: PoolUpdate) throws(Refusal) {
    guard let new = update.watermark else { return }
    if !(0..<1).contains(new) { throw Refusal(.invalid, field: .watermark) }
    if new != state.watermark { changed = true }
    state.watermark = new
  }
}
