import KVBlocks
import Testing

/// Walks that ask for runs of adjacent blocks, and that choose whom to preempt.
extension ModelTests {
  static let recoveries: [Setup] = [
    .init(
      seed: 161, blocks: 36, size: 4, ack: .explicit, caches: true, places: true, moves: true,
      recovers: true),
    .init(
      seed: 162, blocks: 40, size: 4, ack: .nextStep, caches: true, pinBudget: 8, eviction: .lfu,
      admission: true, strategy: .firstFit, places: true, options: .init(lazyFreeBatch: 7),
      recovers: true),
    .init(
      seed: 163, blocks: 40, size: 4, ack: .explicit, caches: true, host: 20, admission: true,
      strategy: .bestFit, places: true, zeroes: true, recovers: true),
    .init(
      seed: 164, blocks: 44, size: 4, ack: .explicit, admission: true, strategy: .buddy,
      places: true, recovers: true),
    .init(
      seed: 165, blocks: 32, size: 2, ack: .nextStep, strategy: .buddy, places: true, moves: true,
      recovers: true),
    .init(
      seed: 166, blocks: 40, size: 4, ack: .explicit, admission: true, window: 10, inFlight: 8,
      recovers: true),
    .init(
      seed: 167, blocks: 48, size: 4, ack: .explicit, strategy: .contiguousExact, places: true,
      moves: true, recovers: true),
  ]

  static let victims: [Setup] = [
    .init(seed: 171, blocks: 24, size: 4, ack: .explicit, choosesVictims: true),
    .init(
      seed: 172, blocks: 32, size: 4, ack: .nextStep, caches: true, admission: true, recovers: true,
      choosesVictims: true, leastCommands: 1_800),
    .init(
      seed: 173, blocks: 32, size: 4, ack: .explicit, caches: true, host: 20, window: 10,
      inFlight: 8, choosesVictims: true),
    .init(
      seed: 174, blocks: 32, size: 2, ack: .explicit, strategy: .buddy, places: true,
      choosesVictims: true),
  ]

  @Test("the same with steps that say how victims are chosen", arguments: victims)
  func agreesWithVictimPolicies(setup: Setup) { walk(setup) }

  @Test("the same with runs that are recovered", arguments: recoveries)
  func agreesWithRecoveries(setup: Setup) { walk(setup, pins: setup.pinBudget > 0) }
}
