import Analysis
import KVBlocks
import Testing

/// Advice about blocks that nobody needs: of a pool that is too large, and ahead of all tokens.
@Suite("advice about room")
struct RoomAdviceTests {
  private static let tenMinutes: UInt64 = 600_000

  private func isTooLarge(_ pool: ReportedPool) throws -> Bool {
    try pool.report().advice(.fewerBlocks).isGiven
  }

  @Test("a pool of which half was never used for ten minutes is too large")
  func large() throws {
    let pool = ReportedPool(blocks: 100)
    pool.allocate(40)
    for round in 0..<61 {
      if round == 30 { pool.allocate(9) }
      pool.sample()
      pool.now += 10_000
    }
    let advice = try pool.report().advice(.fewerBlocks)
    #expect(advice.isGiven)
    #expect(advice.measured == "at most 49.0 % in use within 10 min")
    #expect(advice.figures == "most in use at once: 49 of 100 blocks")
    // Half of it.
    pool.allocate(1)
    #expect(try !isTooLarge(pool))
  }

  @Test("a window shorter than ten minutes misses the peaks of a day, be it by a millisecond")
  func shortWindow() throws {
    let pool = ReportedPool(blocks: 100)
    pool.sample()
    pool.allocate(10)
    pool.now += Self.tenMinutes - 1
    #expect(try !isTooLarge(pool))
    pool.now += 1
    #expect(try isTooLarge(pool))
  }

  @Test("content that is kept is use: half of the pool has to be without any")
  func cached() throws {
    let pool = ReportedPool(PoolConfiguration(blocks: 100, blockSize: 16, cachesPrefixes: true))
    pool.sample()
    pool.allocate(10)
    pool.cache(Array(1...10), content: 1)
    pool.free(Array(1...10))
    // What has no content goes first: 10 blocks cached, 40 in use, 50 free.
    pool.allocate(40)
    pool.now += Self.tenMinutes
    #expect(pool.report().look.stats.cached == 10)
    #expect(try isTooLarge(pool))
    // 11, 40 and 49.
    pool.allocate(1)
    pool.cache([51], content: 1)
    pool.free([51])
    #expect(pool.report().look.stats.cached == 11)
    #expect(try !isTooLarge(pool))
  }

  @Test("nobody knows how large a pool should be that nobody used, or that nobody samples")
  func unknown() throws {
    let unused = ReportedPool(blocks: 100)
    unused.sample()
    unused.now += Self.tenMinutes
    #expect(try !isTooLarge(unused))
    let unsampled = ReportedPool(blocks: 100)
    unsampled.allocate(10)
    unsampled.now += Self.tenMinutes
    let advice = try unsampled.report().advice(.fewerBlocks)
    #expect(!advice.isGiven)
    #expect(advice.measured == "not known: nobody samples the pool")
  }

  /// Sequences with so many full blocks, and one ahead of their tokens.
  private func ahead(_ sequences: Int, full: UInt32) throws -> Advice {
    let pool = ReportedPool(blocks: 1_000, blockSize: 16)
    for _ in 0..<sequences { pool.admit(full * 16, lookahead: 16) }
    return try pool.report().advice(.lookahead)
  }

  @Test("a tenth of the blocks ahead of all tokens, ten of them at least, is too much lookahead")
  func lookahead() throws {
    let tenth = try ahead(10, full: 9)
    #expect(tenth.isGiven)
    #expect(tenth.measured == "10 blocks ahead of all tokens, 10.0 % of those held")
    #expect(tenth.change == "Ask for fewer lookahead tokens, or reserve less ahead.")
    #expect(tenth.figures == "they hold 160 slots")
    // 10 of 110.
    let eleventh = try ahead(10, full: 10)
    #expect(!eleventh.isGiven)
    #expect(eleventh.measured == "10 blocks ahead of all tokens, 9.1 % of those held")
    // Half of what is held, but nine blocks only.
    let few = try ahead(9, full: 1)
    #expect(!few.isGiven)
    #expect(few.measured == "9 blocks ahead of all tokens, 50.0 % of those held")
  }

  @Test("lookahead that ends within the last block holds none ahead")
  func withinTheBlock() throws {
    let pool = ReportedPool(blocks: 1_000, blockSize: 16)
    for _ in 0..<20 { pool.admit(17, lookahead: 15) }
    let advice = try pool.report().advice(.lookahead)
    #expect(!advice.isGiven)
    #expect(advice.measured == "0 blocks ahead of all tokens, 0 % of those held")
  }

  @Test("what a run reserves is ahead by design, and not judged")
  func reserved() throws {
    let pool = ReportedPool(blocks: 256, blockSize: 16, strategy: .contiguousMax, longest: 256)
    for _ in 0..<12 { pool.admit(16) }
    // One block of 16 has tokens.
    #expect(pool.report().look.emptyBlocks == 12 * 15)
    let advice = try pool.report().advice(.lookahead)
    #expect(!advice.isGiven)
    #expect(advice.measured == "not judged: runs and size classes hold blocks ahead by design")
  }
}
