import KVBlocks
import Testing

/// Walks in pools with size classes, alone and with what else a pool can do.
extension ModelTests {
  /// Two classes by the rule for two, and three with limits of their own.
  static let classed: [Setup] = {
    let two = [
      SizeClass(blockSize: 2, blocks: 24, maxExpectedTokens: 12),
      SizeClass(blockSize: 7, blocks: 16),
    ]
    let three = [
      SizeClass(blockSize: 1, blocks: 12, maxExpectedTokens: 5),
      SizeClass(blockSize: 4, blocks: 24, maxExpectedTokens: 20),
      SizeClass(blockSize: 16, blocks: 12),
    ]
    return [
      .init(seed: 201, blocks: 40, size: 2, ack: .explicit, places: true, classes: two),
      .init(seed: 202, blocks: 40, size: 2, ack: .nextStep, caches: true, classes: two),
      .init(seed: 203, blocks: 48, size: 1, ack: .explicit, caches: true, classes: three),
      .init(
        seed: 204, blocks: 48, size: 1, ack: .nextStep, caches: true, watermark: 0.15, host: 24,
        admission: true, classes: three, choosesVictims: true),
      .init(
        seed: 205, blocks: 40, size: 2, ack: .explicit, caches: true, eagle: true, classes: two,
        window: 9, inFlight: 8, zeroes: true),
      .init(
        seed: 206, blocks: 40, size: 2, ack: .explicit, caches: true, lookahead: 2, pinBudget: 20,
        places: true, classes: two),
      .init(
        seed: 207, blocks: 40, size: 2, ack: .explicit, caches: true, pinBudget: 12,
        admission: true, places: true, classes: two, options: .init(lazyFreeBatch: 8)),
      .init(
        seed: 208, blocks: 48, size: 1, ack: .nextStep, host: 20, admission: true, classes: three,
        options: .init(lazyFreeBatch: 5)),
      .init(
        seed: 209, blocks: 40, size: 2, ack: .explicit, caches: true, classes: two, moves: true,
        recovers: true),
      .init(
        seed: 210, blocks: 48, size: 1, ack: .nextStep, caches: true, watermark: 0.1, host: 20,
        admission: true, classes: three, moves: true, recovers: true),
      .init(
        seed: 211, blocks: 48, size: 1, ack: .explicit, caches: true, pinBudget: 12, host: 20,
        admission: true, classes: three, options: .init(lazyFreeBatch: 6), zeroes: true,
        moves: true),
    ]
  }()

  @Test("the same with size classes", arguments: classed)
  func agreesWithClasses(setup: Setup) {
    walk(
      setup, pins: setup.pinBudget > 0, tokens: setup.seed == 206 || setup.seed == 203)
  }
}
