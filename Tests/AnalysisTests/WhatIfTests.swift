import Analysis
import KVBlocks
import Testing

@Suite("what if")
struct WhatIfTests {
  private func pool(
    _ blocks: UInt64, _ size: UInt32, _ strategy: AllocationStrategy = .freeQueue,
    longest: UInt32 = 0, watermark: Double = 0
  ) -> WhatIf.Pool {
    WhatIf.Pool(
      blocks: blocks, blockSize: size, strategy: strategy, longest: longest, watermark: watermark,
      recordBytes: 32)
  }

  @Test("the lab: 4,096 slots hold 8 reservations of 512, or 128 sequences of 32 in blocks of 16")
  func lab() {
    let whatIf = WhatIf([32])
    let paged = whatIf.row(pool(256, 16))
    #expect((paged.blocks, paged.wastedSlots, paged.effectiveBatch) == (2, 0, 128))
    let reserved = whatIf.row(pool(256, 16, .contiguousMax, longest: 512))
    #expect((reserved.blocks, reserved.wastedSlots, reserved.effectiveBatch) == (32, 480, 8))
    #expect(reserved.waste == 0.9375)
  }

  @Test(
    "the lab's sweep: 64 sequences of 33 tokens in 4,096 slots",
    arguments: [
      (1, 2_112, 0), (4, 576, 192), (16, 192, 960), (64, 64, 1_984),
    ] as [(UInt32, UInt64, UInt64)])
  func sweep(size: UInt32, entries: UInt64, waste: UInt64) {
    let row = WhatIf(repeatElement(33, count: 64)).row(pool(4_096, 1).cut(into: size))
    #expect(row.blocks == entries)
    #expect(row.wastedSlots == waste)
    #expect(row.metadataBytes == entries * 36)
  }

  @Test("blocks of 256 fit 16 sequences of 33 tokens only, each with 223 slots in vain")
  func largest() {
    let row = WhatIf([33]).row(pool(4_096, 1).cut(into: 256))
    #expect((row.blocks, row.wastedSlots, row.effectiveBatch) == (1, 223, 16))
  }

  @Test(
    "each strategy holds what it reserves or rounds up to",
    arguments: [
      (.freeQueue, 5), (.firstFit, 5), (.bestFit, 5), (.contiguousExact, 5),
      // 5 blocks to 8; 70 tokens to 128, 8 blocks; 160 tokens, 10 blocks.
      (.buddy, 8), (.contiguousPowerOfTwo, 8), (.contiguousMax, 10),
    ] as [(AllocationStrategy, UInt64)])
  func strategies(strategy: AllocationStrategy, blocks: UInt64) {
    #expect(WhatIf([70]).row(pool(100, 16, strategy, longest: 160)).blocks == blocks)
  }

  @Test(
    "the contiguous strategies reserve what is expected: 32 tokens of 500 in the end",
    arguments: [
      (.freeQueue, 2), (.contiguousExact, 32), (.contiguousPowerOfTwo, 32), (.contiguousMax, 64),
    ] as [(AllocationStrategy, UInt64)])
  func expected(strategy: AllocationStrategy, blocks: UInt64) {
    let row = WhatIf([32], expected: [500]).row(pool(128, 16, strategy, longest: 1_024))
    #expect(row.blocks == blocks)
    #expect(row.wastedSlots == blocks * 16 - 32)
  }

  @Test("a power of two is cut at the longest sequence, and nothing holds less than it has")
  func cut() {
    #expect(WhatIf([70]).row(pool(100, 16, .contiguousPowerOfTwo, longest: 96)).blocks == 6)
    #expect(WhatIf([70]).row(pool(100, 16, .contiguousMax, longest: 32)).blocks == 5)
  }

  @Test("lengths of many kinds add up, and a watermark takes its share of the batch")
  func mixed() {
    let whatIf = WhatIf([17, 1, 16, 17])
    #expect((whatIf.sequences, whatIf.tokens, whatIf.meanTokens) == (4, 51, 12.75))
    let row = whatIf.row(pool(60, 16, watermark: 0.5))
    // 2 + 1 + 1 + 2 blocks of 16.
    #expect((row.blocks, row.wastedSlots) == (6, 45))
    // 30 blocks / 1.5 each.
    #expect(row.effectiveBatch == 20)
  }

  @Test("of nothing there is nothing")
  func none() {
    let row = WhatIf([UInt32]()).row(pool(60, 16))
    #expect((row.blocks, row.wastedSlots, row.waste, row.effectiveBatch) == (0, 0, 0, 0))
  }
}
