import KVBlocks

extension Walk {
  /// Asks for runs about as long as there can be.
  mutating func recoverRun(_ model: Model) -> TestOperation.Kind {
    let rungs: [UInt32] =
      switch below(6) {
      case 0: [UInt32(1 + below(3))]
      case 1: [3, 2, 1]
      case 2: [2, 1]
      case 3: (0..<below(4)).map { _ in UInt32(1 + below(3)) }
      default: []
      }
    var count = one(in: 2) ? 2 + below(5) : 1 + below(max(1, model.available + 4))
    if one(in: 9) { count = below(Int(blocks) + 3) }
    return .recover(
      UInt32(count), rungs: rungs, keep: (0..<below(3)).map { _ in sequence() }, contiguous: true,
      maxMoves: one(in: 2) ? UInt32(1 + below(3)) : 0)
  }
}
