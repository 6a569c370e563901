import KVBlocks

extension Walk {
  /// Allocations that say where, with many small runs among them.
  mutating func place(_ model: Model) -> TestOperation.Kind {
    if one(in: 40) { return .place(one(in: 2) ? 0 : blocks + UInt32(below(2)), contiguous: true) }
    let count = UInt32(1 + below(one(in: 6) ? Int(blocks) / 2 : 5))
    let preferred = one(in: 2) ? [] : (0..<below(5)).map { _ in UInt32(1 + below(Int(blocks))) }
    if one(in: 60) { return .place(count, preferred: preferred + [pick([0, blocks + 1, .max])]) }
    return .place(count, contiguous: one(in: 2), preferred: preferred)
  }
}
