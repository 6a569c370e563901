import KVBlocks

extension Walk {
  /// Promises, and what finds blocks.
  mutating func admission(_ model: Model, _ session: SessionID) -> TestOperation.Kind {
    let waiting = model.state.sequences.filter {
      $0.key.session == session && $0.value.state != .running
    }
    .keys.map(\.id).sorted()
    let id = waiting.isEmpty || one(in: 3) ? sequence() : pick(waiting)
    if flushes && one(in: 3) {
      if lazies && one(in: 6) {
        return .updatePool(
          PoolUpdate(lazyFreeBatch: pick([0, 1, 3, 8, 200, 65_536, 65_537])))
      }
      if keepsFree && one(in: 6) {
        return .updatePool(
          PoolUpdate(proactiveFreeBlocks: UInt32(one(in: 9) ? Int(blocks) + 1 : below(Int(blocks))))
        )
      }
      return .flush
    }
    if one(in: 6) {
      let rungs: [UInt32] = one(in: 2) ? [] : (0..<below(4)).map { _ in UInt32(below(16) % 5) }
      return .recover(
        UInt32(
          one(in: 12) ? below(Int(blocks) + 3) : below(flushes ? Int(blocks) : Int(blocks) / 2)),
        rungs: rungs,
        keep: (0..<below(3)).map { _ in sequence() })
    }
    if one(in: 4) {
      return .reserve(Reserve(sequence: id, blocks: one(in: 12) ? 1 : 0, releases: true))
    }
    return .reserve(
      Reserve(sequence: id, blocks: one(in: 15) ? blocks : UInt32(below(Int(blocks) / 4))))
  }
}
