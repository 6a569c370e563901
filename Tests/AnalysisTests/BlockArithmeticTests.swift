import Analysis
import Testing

/// Expected values are worked out by hand from the definitions.
@Suite("the arithmetic of paged memory")
struct BlockArithmeticTests {
  @Test("17 tokens take two blocks of 16, and leave 15 slots of the second")
  func seventeen() {
    #expect(BlockArithmetic.blocks(for: 17, blockSize: 16) == 2)
    #expect(BlockArithmetic.tailWaste(of: 17, blockSize: 16) == 15)
  }

  @Test("a length that fills its blocks wastes nothing")
  func full() {
    #expect(BlockArithmetic.blocks(for: 800, blockSize: 16) == 50)
    #expect(BlockArithmetic.tailWaste(of: 800, blockSize: 16) == 0)
    #expect(BlockArithmetic.blocks(for: 0, blockSize: 16) == 0)
  }

  @Test("the tail of a block of 16 wastes 7.5 slots on average")
  func expectedWaste() {
    // 15 + 14 + ... + 0 = 120 over the 16 fills.
    #expect(BlockArithmetic.expectedTailWaste(blockSize: 16) == 7.5)
    #expect(BlockArithmetic.expectedTailWaste(blockSize: 1) == 0)
  }

  @Test("1,000 tokens of 1 KiB with 4 bytes of metadata a block want blocks of 2.8 tokens")
  func optimum() {
    // 2 x 1000 x 4 / 1024 = 7.8125, and 2.795 squared is 7.812.
    let best = BlockArithmetic.optimalBlockSize(
      meanTokens: 1_000, metadataBytes: 4, tokenBytes: 1_024)
    #expect(abs(best - 2.795) < 0.0005)
  }

  @Test("of the powers of two around it, 2 costs least, 4 a little more and 8 half as much again")
  func overheads() {
    let costs = [2.0, 4, 8].map {
      BlockArithmetic.overhead(
        blockSize: $0, meanTokens: 1_000, metadataBytes: 4, tokenBytes: 1_024)
    }
    #expect(costs == [3_024, 3_048, 4_596])
  }

  @Test("four sequences: half of what reserving the longest holds is waste, of blocks 8 slots")
  func fourSequences() {
    let lengths: [UInt64] = [512, 1_024, 256, 1_800]
    let reserved = HeldSlots(reserving: 1_800, for: lengths)
    let paged = HeldSlots(paging: lengths, blockSize: 16)
    #expect(reserved == HeldSlots(used: 3_592, held: 7_200))
    #expect(paged == HeldSlots(used: 3_592, held: 3_600))
    #expect(reserved.wasted == 3_608)
    #expect(paged.wasted == 8)
    #expect(abs(reserved.utilization - 0.4989) < 0.00005)
    #expect(abs(paged.utilization - 0.9978) < 0.00005)
    #expect(paged.allocationSaved(beside: reserved) == 0.5)
  }

  @Test("eight sequences: what is saved of the allocation is half, of the waste almost all")
  func eightSequences() {
    let lengths: [UInt64] = [512, 1_024, 256, 1_800, 900, 1_500, 300, 1_900]
    let reserved = HeldSlots(reserving: 2_048, for: lengths)
    let paged = HeldSlots(paging: lengths, blockSize: 16)
    #expect(reserved == HeldSlots(used: 8_192, held: 16_384))
    #expect(paged == HeldSlots(used: 8_192, held: 8_224))
    #expect(abs(paged.allocationSaved(beside: reserved) - 0.498) < 0.0005)
    #expect(abs(paged.wasteSaved(beside: reserved) - 0.996) < 0.0005)
  }

  @Test(
    "the lab's sweep: sequences of 33 tokens in 4,096 slots",
    arguments: [
      (1, 0, 33), (4, 3, 9), (16, 15, 3), (64, 31, 1), (256, 223, 1),
    ] as [(UInt32, UInt64, UInt64)])
  func sweep(_ blockSize: UInt32, _ waste: UInt64, _ blocks: UInt64) {
    #expect(BlockArithmetic.tailWaste(of: 33, blockSize: blockSize) == waste)
    #expect(BlockArithmetic.blocks(for: 33, blockSize: blockSize) == blocks)
  }

  @Test("sequences of nothing waste nothing")
  func nothing() {
    let none = HeldSlots(paging: [], blockSize: 16)
    #expect(none.utilization == 1)
    #expect(none.internalFragmentation == 0)
    #expect(none.allocationSaved(beside: none) == 0)
    #expect(BlockArithmetic.wastePercentage(total: 0, used: 0) == 0)
    #expect(BlockArithmetic.effectiveBatchSize(totalBytes: 10, bytesPerSequence: 0) == 0)
  }

  @Test("a quarter of 16 GB is wasted, and 30 sequences of 400 MB fit the rest")
  func percentages() {
    #expect(BlockArithmetic.wastePercentage(total: 16_000, used: 12_000) == 25)
    #expect(
      BlockArithmetic.effectiveBatchSize(totalBytes: 12_000_000_000, bytesPerSequence: 400_000_000)
        == 30)
  }
}
