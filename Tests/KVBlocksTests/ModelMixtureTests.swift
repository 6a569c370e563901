import KVBlocks
import Testing

/// Walks through features together that have walks of their own.
extension ModelTests {
  static let mixed: [Setup] = [
    .init(
      seed: 151, blocks: 40, size: 4, ack: .explicit, admission: true,
      options: .init(lazyFreeBatch: 8), moves: true),
    .init(
      seed: 152, blocks: 44, size: 4, ack: .nextStep, caches: true, pinBudget: 12, host: 24,
      admission: true, options: .init(lazyFreeBatch: 12), zeroes: true, moves: true),
    .init(
      seed: 153, blocks: 40, size: 4, ack: .explicit, caches: true, eviction: .s3FIFO, host: 20,
      admission: true, window: 10, inFlight: 8, options: .init(lazyFreeBatch: 6), moves: true),
    .init(
      seed: 154, blocks: 48, size: 8, ack: .nextStep, caches: true, eviction: .lfu, window: 24,
      zeroes: true, moves: true),
    .init(
      seed: 155, blocks: 44, size: 4, ack: .explicit, caches: true, admission: true, places: true,
      options: .init(threshold: 0.9, lazyFreeBatch: 10, proactiveFreeBlocks: 6), moves: true),
    .init(
      seed: 156, blocks: 48, size: 4, ack: .nextStep, caches: true, keepsTokens: true,
      pinBudget: 10, eviction: .priority, admission: true, strategy: .bestFit, places: true,
      options: .init(lazyFreeBatch: 9), zeroes: true, moves: true),
  ]

  @Test("the same with lazy frees, zeroing, placing and moves at once", arguments: mixed)
  func agreesWithMixtures(setup: Setup) {
    walk(setup, pins: setup.caches, tokens: setup.keepsTokens)
  }
}
