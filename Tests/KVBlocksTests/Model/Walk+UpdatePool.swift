import KVBlocks

extension Walk {
  mutating func update() -> TestOperation.Kind {
    .updatePool(PoolUpdate(watermark: pick([nil, 0, 0.05, 0.2, 1, -0.1, .nan])))
  }
}
