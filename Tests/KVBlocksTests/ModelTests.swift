import FoundationEssentials
import KVBlocks
import Testing
import TestSupport

/// The pool and the naive model take the same random walk; they must never disagree.
@Suite("the pool agrees with a naive model")
struct ModelTests {
  struct Setup: CustomTestStringConvertible, Sendable {
    var seed: UInt64
    var blocks: UInt32
    var size: UInt32
    var ack: CopyAck
    var caches = false
    var hashBytes = 32
    var eagle = false
    var watermark = 0.0
    var most: UInt32 = 0
    var lookahead: UInt32 = 0
    var keepsTokens = false
    var pinBudget: UInt32 = 0
    var eviction = EvictionPolicy.lru
    var switches = true
    var host: UInt32 = 0
    /// Draws what `Walk+Admission` has.
    var admission = false
    var strategy = AllocationStrategy.freeQueue
    var places = false
    /// Then `blocks` and `size` are those of the pool and of the first.
    var classes: [SizeClass] = []
    var window: UInt32 = 0
    var inFlight: UInt32 = 0
    var options = AdmissionOptions()
    var zeroes = false
    /// Draws what `Walk+Defragment` has.
    var moves = false
    /// Draws what `Walk+Recover` has.
    var recovers = false
    var choosesVictims = false
    /// It takes so many to meet all that a walk is to meet.
    var leastCommands = 0
    var testDescription: String {
      "seed \(seed): \(blocks) x \(size), \(ack)" + (caches ? ", caching, \(eviction)" : "")
        + (host > 0 ? ", \(host) on the host" : "")
    }
  }

  static let setups: [Setup] = [
    .init(seed: 1, blocks: 32, size: 16, ack: .explicit),
    .init(seed: 2, blocks: 32, size: 16, ack: .nextStep),
    .init(seed: 3, blocks: 32, size: 4, ack: .explicit),
    .init(seed: 4, blocks: 33, size: 1, ack: .nextStep),
    .init(seed: 5, blocks: 40, size: 7, ack: .explicit),
    .init(seed: 6, blocks: 48, size: 16, ack: .nextStep),
    .init(seed: 7, blocks: 64, size: 8, ack: .explicit),
    .init(seed: 8, blocks: 64, size: 32, ack: .nextStep),
    .init(seed: 9, blocks: 96, size: 2, ack: .explicit),
    .init(seed: 10, blocks: 128, size: 16, ack: .nextStep),
    .init(seed: 11, blocks: 192, size: 16, ack: .explicit),
    .init(seed: 12, blocks: 256, size: 128, ack: .nextStep),
  ]

  static let all =
    setups + caching + pinning + tiers + admission + thresholds + flushes + lazies + policies
    + fedWithTokens + moving + windows + strategies + zeroing + mixed + recoveries + victims
    + classed

  /// Commands of all walks together, where somebody has time for many: `make soak`.
  static let soak: Int? = ProcessInfo.processInfo.environment["QUIRE_MODEL_COMMANDS"].flatMap {
    Int($0)
  }

  /// Of each walk. Fewer would not meet what `checkVariety` asks for, so a short soak is no shorter, and more
  /// walks are as long as these.
  static let commands = max(900, (soak ?? 0) / all.count)

  static let caching: [Setup] = [
    .init(seed: 21, blocks: 32, size: 16, ack: .explicit, caches: true),
    .init(seed: 22, blocks: 40, size: 4, ack: .nextStep, caches: true, hashBytes: 16),
    .init(seed: 23, blocks: 33, size: 1, ack: .explicit, caches: true, watermark: 0.1),
    .init(seed: 24, blocks: 64, size: 8, ack: .nextStep, caches: true, eagle: true),
    .init(seed: 25, blocks: 96, size: 2, ack: .explicit, caches: true, most: 101),
    .init(seed: 26, blocks: 48, size: 16, ack: .nextStep, caches: true, watermark: 0.05),
  ]

  static let pinning: [Setup] = [
    .init(seed: 31, blocks: 32, size: 4, ack: .explicit, caches: true, pinBudget: 20),
    .init(seed: 32, blocks: 48, size: 8, ack: .nextStep, caches: true),
  ]

  static let tiers: [Setup] = [
    .init(seed: 81, blocks: 32, size: 16, ack: .explicit, host: 12),
    .init(seed: 82, blocks: 40, size: 4, ack: .nextStep, host: 64),
    .init(seed: 83, blocks: 33, size: 1, ack: .explicit, watermark: 0.1, host: 30),
    .init(seed: 84, blocks: 48, size: 8, ack: .nextStep, caches: true, watermark: 0.05, host: 40),
    .init(
      seed: 85, blocks: 64, size: 4, ack: .explicit, caches: true, hashBytes: 16, eagle: true,
      host: 24),
  ]

  static let admission: [Setup] = [
    .init(seed: 41, blocks: 40, size: 4, ack: .explicit, watermark: 0.1, admission: true),
    .init(
      seed: 42, blocks: 64, size: 8, ack: .nextStep, caches: true, watermark: 0.06, admission: true),
    .init(seed: 44, blocks: 40, size: 4, ack: .nextStep, watermark: 0.1, host: 40, admission: true),
    .init(
      seed: 43, blocks: 33, size: 2, ack: .explicit, caches: true, pinBudget: 12, admission: true),
  ]

  static let thresholds: [Setup] = [
    .init(
      seed: 45, blocks: 40, size: 4, ack: .explicit, admission: true,
      options: .init(threshold: 0.9)),
    .init(
      seed: 46, blocks: 64, size: 8, ack: .nextStep, caches: true, watermark: 0.06, host: 40,
      admission: true, options: .init(threshold: 0.7)),
    .init(
      seed: 47, blocks: 40, size: 4, ack: .nextStep, caches: true, admission: true, window: 14,
      inFlight: 8, options: .init(threshold: 0.8)),
    .init(
      seed: 145, blocks: 64, size: 4, ack: .explicit, admission: true, strategy: .buddy,
      options: .init(threshold: 0.8)),
  ]

  @Test("the same with memory-aware admission", arguments: thresholds)
  func agreesWithThresholds(setup: Setup) { walk(setup) }

  static let flushes: [Setup] = [
    .init(
      seed: 48, blocks: 40, size: 4, ack: .explicit, caches: true, admission: true,
      options: .init(proactiveFreeBlocks: 12)),
    .init(
      seed: 49, blocks: 48, size: 8, ack: .nextStep, caches: true, admission: true,
      strategy: .firstFit, options: .init(proactiveFreeBlocks: 20)),
  ]

  @Test("the same with proactive eviction", arguments: flushes)
  func agreesWithFlushes(setup: Setup) { walk(setup) }

  static let lazies: [Setup] = [
    .init(
      seed: 141, blocks: 40, size: 4, ack: .explicit, admission: true,
      options: .init(lazyFreeBatch: 8)),
    .init(
      seed: 142, blocks: 48, size: 4, ack: .nextStep, caches: true, pinBudget: 16, host: 20,
      admission: true, options: .init(lazyFreeBatch: 6, proactiveFreeBlocks: 9)),
    .init(
      seed: 143, blocks: 40, size: 8, ack: .explicit, caches: true, admission: true,
      strategy: .firstFit, places: true, options: .init(lazyFreeBatch: 10)),
    .init(
      seed: 144, blocks: 40, size: 4, ack: .nextStep, caches: true, eviction: .lfu,
      admission: true, window: 14, inFlight: 8, options: .init(lazyFreeBatch: 10)),
  ]

  @Test("the same with lazy frees", arguments: lazies)
  func agreesWithLazyFrees(setup: Setup) { walk(setup, pins: setup.seed == 142) }

  @Test("the same with promises", arguments: admission)
  func agreesWithAdmission(setup: Setup) { walk(setup, pins: setup.pinBudget > 0) }
  static let policies: [Setup] = [
    .init(
      seed: 51, blocks: 32, size: 4, ack: .explicit, caches: true, eviction: .lfu, switches: false),
    .init(
      seed: 52, blocks: 40, size: 8, ack: .nextStep, caches: true, eviction: .s3FIFO,
      switches: false),
    .init(
      seed: 53, blocks: 36, size: 4, ack: .explicit, caches: true, eviction: .priority,
      switches: false),
    .init(seed: 54, blocks: 32, size: 4, ack: .nextStep, caches: true),
    .init(
      seed: 55, blocks: 48, size: 4, ack: .explicit, caches: true, eviction: .s3FIFO,
      strategy: .bestFit, places: true),
    .init(
      seed: 56, blocks: 40, size: 4, ack: .nextStep, caches: true, eviction: .priority, host: 20),
    .init(
      seed: 57, blocks: 40, size: 4, ack: .explicit, caches: true, eviction: .lfu, admission: true),
    .init(
      seed: 58, blocks: 48, size: 4, ack: .nextStep, caches: true, eviction: .s3FIFO, window: 24),
  ]

  @Test("the same with other eviction policies, pins and switching", arguments: policies)
  func agreesWithPolicies(setup: Setup) { walk(setup, pins: !setup.admission) }

  @Test("on every outcome and the whole state after it", arguments: setups)
  func agrees(setup: Setup) { walk(setup) }

  @Test("the same with prefix caching", arguments: caching)
  func agreesWithCaching(setup: Setup) { walk(setup) }

  static let fedWithTokens: [Setup] = [
    .init(seed: 61, blocks: 40, size: 16, ack: .nextStep, caches: true),
    .init(seed: 62, blocks: 64, size: 4, ack: .explicit, caches: true, hashBytes: 16),
    .init(seed: 63, blocks: 96, size: 1, ack: .nextStep, caches: true),
    .init(seed: 64, blocks: 64, size: 8, ack: .nextStep, caches: true, lookahead: 3),
    .init(seed: 65, blocks: 48, size: 5, ack: .explicit, caches: true, keepsTokens: true),
    .init(seed: 66, blocks: 64, size: 4, ack: .nextStep, caches: true, eagle: true, lookahead: 9),
    .init(seed: 67, blocks: 48, size: 8, ack: .explicit, caches: false),
    .init(
      seed: 68, blocks: 48, size: 4, ack: .explicit, caches: true, lookahead: 2, pinBudget: 12,
      eviction: .lfu),
  ]

  @Test("the same with token ids", arguments: fedWithTokens)
  func agreesWithTokens(setup: Setup) { walk(setup, pins: setup.pinBudget > 0, tokens: true) }

  @Test("the same with pins and a clock", arguments: pinning)
  func agreesWithPins(setup: Setup) { walk(setup, pins: true) }

  static let moving: [Setup] = [
    .init(seed: 91, blocks: 32, size: 16, ack: .explicit, moves: true),
    .init(seed: 92, blocks: 40, size: 4, ack: .nextStep, caches: true, moves: true),
    .init(seed: 93, blocks: 48, size: 8, ack: .explicit, caches: true, host: 24, moves: true),
    .init(seed: 94, blocks: 33, size: 1, ack: .nextStep, host: 16, moves: true),
    .init(
      seed: 95, blocks: 40, size: 4, ack: .explicit, caches: true, window: 9, inFlight: 8,
      moves: true),
    .init(
      seed: 96, blocks: 40, size: 2, ack: .nextStep, caches: true, watermark: 0.1, admission: true,
      moves: true),
    .init(
      seed: 97, blocks: 36, size: 4, ack: .explicit, caches: true, eviction: .s3FIFO,
      strategy: .bestFit, places: true, moves: true),
    .init(
      seed: 98, blocks: 32, size: 4, ack: .nextStep, caches: true, eviction: .lfu, moves: true),
    .init(
      seed: 99, blocks: 40, size: 4, ack: .explicit, caches: true, eviction: .priority,
      strategy: .firstFit, places: true, moves: true),
  ]

  @Test("the same with blocks that move", arguments: moving)
  func agreesWithMoves(setup: Setup) { walk(setup, pins: setup.caches) }

  @Test("the same with a host tier", arguments: tiers)
  func agreesWithTiers(setup: Setup) { walk(setup, pins: setup.seed == 84) }

  /// Windows from one token to longer than most sequences.
  static let windows: [Setup] = [
    .init(seed: 61, blocks: 40, size: 16, ack: .explicit, window: 32, inFlight: 32),
    .init(
      seed: 62, blocks: 32, size: 4, ack: .nextStep, caches: true, window: 9, inFlight: 8),
    .init(seed: 63, blocks: 48, size: 8, ack: .explicit, caches: true, eagle: true, window: 20),
    .init(
      seed: 64, blocks: 33, size: 1, ack: .nextStep, caches: true, hashBytes: 16, watermark: 0.1,
      window: 5, inFlight: 4),
    .init(
      seed: 65, blocks: 40, size: 4, ack: .explicit, caches: true, eagle: true, most: 90, window: 1,
      inFlight: 12),
    .init(seed: 66, blocks: 64, size: 2, ack: .nextStep, caches: true, window: 150),
    .init(
      seed: 67, blocks: 40, size: 4, ack: .explicit, caches: true, host: 24, window: 9, inFlight: 8),
    .init(
      seed: 68, blocks: 40, size: 4, ack: .nextStep, caches: true, watermark: 0.1, admission: true,
      window: 14, inFlight: 8),
    .init(
      seed: 69, blocks: 48, size: 4, ack: .explicit, caches: true, lookahead: 3, window: 9,
      inFlight: 8),
  ]

  @Test("the same with a sliding window", arguments: windows)
  func agreesWithWindows(setup: Setup) { walk(setup, tokens: setup.seed == 69) }

  static let strategies: [Setup] = [
    .init(seed: 71, blocks: 40, size: 4, ack: .explicit, strategy: .firstFit, places: true),
    .init(
      seed: 72, blocks: 70, size: 2, ack: .nextStep, caches: true, watermark: 0.05,
      strategy: .firstFit, places: true),
    .init(seed: 73, blocks: 48, size: 8, ack: .explicit, strategy: .bestFit, places: true),
    .init(
      seed: 74, blocks: 64, size: 4, ack: .nextStep, caches: true, hashBytes: 16, host: 30,
      strategy: .bestFit, places: true),
    .init(
      seed: 75, blocks: 48, size: 4, ack: .explicit, caches: true,
      strategy: .firstFit, places: true),
    .init(
      seed: 76, blocks: 64, size: 8, ack: .explicit, caches: true, admission: true, places: true),
    .init(seed: 77, blocks: 40, size: 16, ack: .nextStep, places: true),
    .init(seed: 78, blocks: 64, size: 4, ack: .explicit, strategy: .buddy, places: true),
    .init(
      seed: 79, blocks: 45, size: 2, ack: .nextStep, watermark: 0.05, host: 20, admission: true,
      strategy: .buddy, places: true),
    .init(
      seed: 80, blocks: 44, size: 4, ack: .explicit, strategy: .buddy, places: true, window: 9,
      inFlight: 8),
    .init(seed: 86, blocks: 64, size: 4, ack: .explicit, strategy: .contiguousExact, places: true),
    .init(
      seed: 87, blocks: 70, size: 4, ack: .nextStep, admission: true,
      strategy: .contiguousPowerOfTwo, places: true, leastCommands: 1_800),
    .init(
      seed: 88, blocks: 60, size: 4, ack: .explicit, watermark: 0.05, most: 37,
      strategy: .contiguousMax, places: true),
  ]

  @Test("the same with strategies, and with allocations that say where", arguments: strategies)
  func agreesWithStrategies(setup: Setup) { walk(setup, pins: setup.seed == 75) }

  static let zeroing: [Setup] = [
    .init(seed: 91, blocks: 64, size: 4, ack: .explicit, caches: true, host: 30, zeroes: true),
    .init(seed: 92, blocks: 40, size: 8, ack: .nextStep, strategy: .firstFit, zeroes: true),
    .init(
      seed: 93, blocks: 48, size: 2, ack: .nextStep, caches: true, window: 20, zeroes: true,
      leastCommands: 1_800),
  ]

  @Test("the same with blocks that are to be zeroed", arguments: zeroing)
  func agreesWithZeroing(setup: Setup) { walk(setup) }

  func walk(_ setup: Setup, pins: Bool = false, tokens: Bool = false) {
    var configuration = PoolConfiguration(
      blocks: setup.blocks, blockSize: setup.size, sizeClasses: setup.classes, copyAck: setup.ack,
      cachesPrefixes: setup.caches, hashBytes: setup.hashBytes,
      hashLookaheadTokens: setup.lookahead, keepsTokens: setup.keepsTokens, eagle: setup.eagle,
      watermark: setup.watermark, maxModelTokens: setup.most, strategy: setup.strategy,
      eviction: setup.eviction, hostBlocks: setup.host, zeroesOnFree: setup.zeroes,
      slidingWindow: setup.window, maxInFlightTokens: setup.inFlight,
      pinBudgetBlocks: setup.pinBudget)
    configuration.admission = setup.options
    var pool = KVPool(configuration, hasher: TestHasher(configuration))
    var model = Model(configuration)
    var walk = Walk(seed: setup.seed, blocks: setup.blocks, size: setup.size, caches: setup.caches)
    walk.pins = pins
    walk.swaps = setup.host > 0
    walk.feedsTokens = tokens
    model.hasTokens = tokens && setup.caches
    walk.admission = setup.admission
    walk.keepsFree = setup.options.proactiveFreeBlocks > 0
    walk.lazies = setup.options.lazyFreeBatch > 0
    walk.flushes = walk.keepsFree || walk.lazies
    walk.places = setup.places
    walk.reserves = setup.strategy.reservesAtAdmission
    walk.hasWindow = setup.window > 0
    walk.switches = setup.switches
    walk.classes = setup.classes
    // Draws questions, so that the commands stay what they were.
    var asking = Walk(seed: ~setup.seed, blocks: setup.blocks, size: setup.size)
    walk.moves = setup.moves
    walk.recovers = setup.recovers
    walk.choosesVictims = setup.choosesVictims
    let outcome = Outcome()
    var mirror = ChangeMirror(pool)
    var analysis = AnalysisCheck(pool, seed: setup.seed)
    var log = pool.attachChangeLog()
    // The same once more without a log, or with one of contents alone: other code runs there.
    var quiet = KVPool(configuration, hasher: TestHasher(configuration))
    var quietAnalysis = AnalysisCheck(quiet, seed: ~setup.seed)
    let quietOutcome = Outcome()
    var history: [TestCommand] = []
    let count = max(Self.commands, setup.leastCommands)
    var digest = pool.stateDigest()

    for step in 0..<count {
      let command = walk.command(model)
      let revision = pool.revision
      pool.apply(command, into: outcome)
      let seen = Seen(outcome)
      let expected = model.apply(command)
      let unchanged = pool.revision == revision
      if history.count < 5_000 && !unchanged { history.append(command) }

      // Who wants more comes and goes.
      let isOfAll = quiet.changeLog != nil && step % 7 > 4
      if quiet.changeLog != nil { quiet.attachChangeLog(isOfAll ? .everything : .contents) }
      quiet.apply(command, into: quietOutcome)
      let unfollowed =
        mirror.follow(log, pool, changed: !unchanged) ?? analysis.follow(log, pool, step)
        ?? quietAnalysis.follow(log, quiet, step + 7).map { "without a log: \($0)" }
        ?? (quiet.historyDigest == pool.historyDigest ? nil : "a log makes a difference")
        ?? differentContents(log, quiet, isOfAll: isOfAll)
      let before = digest
      digest = pool.stateDigest()
      let difference =
        (seen == expected ? nil : "outcome: \(seen) instead of \(expected)")
        ?? (unchanged && digest != before ? "changed without a revision" : nil)
        ?? differences(pool, model)
        ?? unexplained(seen)
        ?? (step % 5 == 0 ? differentAdvice(pool, model, &asking) : nil)
        ?? unfollowed
        ?? pool.checkInvariants()
      if let difference {
        Issue.record("seed \(setup.seed), command \(step): \(command)\n\(difference)")
        return
      }
      // From here on the walk goes on with a pool out of a dump of this one.
      if step % 61 == 17 {
        guard let loaded = reloaded(pool) else {
          Issue.record("seed \(setup.seed), after command \(step): \(command)")
          return
        }
        pool = loaded
        log = pool.attachChangeLog()
        analysis.begin(pool)
        guard let other = reloaded(quiet) else { preconditionFailure("reloads once only") }
        quiet = other
        if step / 61 % 2 == 0 { quiet.attachChangeLog(.contents) }
        quietAnalysis.begin(quiet)
      }
      if history.count == 5_000 {
        replay(history, configuration, pool)
        history.append(command)
      }
    }
    if history.count < 5_000 { replay(history, configuration, pool) }
    checkEnd(pool, model, &mirror, log)
    checkVariety(model, setup, count)
    checkEntries(mirror, setup, pins: pins)
  }

  /// Nothing but the commands that changed something leads to the same digests, without a log.
  private func replay(
    _ history: [TestCommand], _ configuration: PoolConfiguration, _ pool: KVPool
  ) {
    let second = KVPool(configuration, hasher: TestHasher(configuration))
    let outcome = Outcome()
    for command in history { second.apply(command, into: outcome) }
    #expect(second.revision == pool.revision)
    #expect(second.stateDigest() == pool.stateDigest())
    #expect(second.historyDigest == pool.historyDigest)
  }

  /// Short of blocks means that what was needed and what was kept back were more than there were.
  private func unexplained(_ seen: Seen) -> String? {
    let refusals = seen.results.flatMap { [$0.refusal, $0.firstRefusal] } + [seen.refusal]
    for refusal in refusals where refusal.reason == .later {
      let parts = [refusal.needed, refusal.reserved, refusal.watermark].map { UInt64($0) }
      if parts.reduce(0, +) <= UInt64(refusal.available) { return "does not explain: \(refusal)" }
    }
    return nil
  }

  /// A walk that never met a refusal, a copy or a preemption would prove little.
  private func checkVariety(_ model: Model, _ setup: Setup, _ count: Int) {
    // What is rare is met in long walks only.
    let isLong = count > 10_000
    let some = count / 4_000
    let reasons: [Refusal.Reason] = [
      .later, .never, .notHeld, .staleGeneration, .unknownSequence, .sequenceExists, .wrongState,
      .unknownCopy, .revisionMoved, .invalid, .notAttempted,
    ]
    for reason in reasons where isLong {
      #expect(model.refusals[Int(reason.rawValue)] > 0, "seed \(setup.seed) never met \(reason)")
    }
    #expect(model.state.preemptions > some)
    // Where runs are reserved, only raw blocks are shared.
    #expect(model.state.copiesOrdered > (setup.strategy.reservesAtAdmission ? 0 : some))
    #expect(model.state.forks > some)
    if setup.pinBudget > 0 {
      #expect(model.pinsMade > count / 200 && model.pinsEnded > count / 200)
    }
    if setup.host > 0 {
      #expect(model.state.host.outs > some)
      #expect(model.state.host.ins > some)
    }
    if setup.places && isLong {
      #expect(model.refusals[Int(Refusal.Reason.noRun.rawValue)] > 0, "seed \(setup.seed)")
    }
    if setup.strategy == .contiguousExact || setup.strategy == .contiguousPowerOfTwo {
      #expect(model.refusals[Int(Refusal.Reason.quota.rawValue)] > some, "seed \(setup.seed)")
    }
    if setup.admission {
      #expect(model.keptPromises > some)
      let recovers = setup.options == AdmissionOptions() && !setup.recovers
      #expect(!recovers || !isLong || model.recovered > 0, "seed \(setup.seed)")
      #expect(setup.options.lazyFreeBatch == 0 || model.flushedFrees > some)
      #expect(setup.options.proactiveFreeBlocks == 0 || model.flushed > some)
      #expect(setup.options.threshold == nil || model.overThreshold > some)
    }
    if setup.choosesVictims {
      let chosen = [VictimPolicy.priority, .cost].map { model.chosenVictims[$0, default: 0] }
      #expect(chosen[0] + chosen[1] > some, "seed \(setup.seed)")
      #expect(!isLong || chosen.allSatisfy { $0 > 0 }, "seed \(setup.seed): \(chosen)")
    }
    if setup.recovers && isLong {
      // Where runs are needed or reserved little moves, or nothing.
      #expect(model.recoveredRuns[0] > 0, "seed \(setup.seed)")
      #expect(
        model.recoveredRuns[1] > 0 || setup.strategy.needsRuns, "seed \(setup.seed)")
    }
    if setup.moves && !setup.strategy.reservesAtAdmission {
      #expect(model.state.movesMade > some && (!isLong || model.state.movesGivenUp > 3))
    }
    if setup.caches {
      #expect(model.state.evictions > some)
      #expect(model.state.found[0] > some)
      #expect(!isLong || model.state.found[1] > 0)
    }
  }
}
