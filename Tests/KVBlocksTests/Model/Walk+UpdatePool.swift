import KVBlocks

extension Walk {
  mutating func update() -> TestOperation.Kind {
    var update = PoolUpdate()
    if one(in: 2) { update.watermark = pick([0, 0.05, 0.2, 1, -0.1, .nan]) }
    if switches && one(in: 2) { update.eviction = pick([.lru, .lfu, .s3FIFO, .priority]) }
    return .updatePool(update)
  }

  /// A few ranges, sometimes wrong ones.
  mutating func retention() -> [RetentionRange] {
    if one(in: 40) { return [RetentionRange(firstToken: 9, lastToken: 3, priority: 101)] }
    return (0..<below(3)).map { _ in
      let first = UInt32(below(Int(size) * 4))
      return RetentionRange(
        firstToken: first, lastToken: one(in: 2) ? 0 : first + UInt32(below(Int(size) * 3)),
        priority: pick([0, 10, 35, 60, 100]), timeToLive: one(in: 2) ? 0 : UInt64(below(150)))
    }
  }
}
