import Analysis
import KVBlocks
import Testing

/// A pool under a clock that stands still unless it is moved, its analyzer, and commands of one operation.
final class ReportedPool {
  let pool: KVPool
  let analyzer: MemoryFragmentationAnalyzer
  private let lifetimes: BlockLifetimes
  private let evicted = EvictedContents(secret: MapSecret(3, 4))
  private let log: ChangeLog
  private let outcome = Outcome()
  /// Milliseconds since the epoch.
  var now: UInt64 = 1_700_000_000_000
  private var next: SequenceID = 1

  init(_ configuration: PoolConfiguration, isRunning: Bool = true) {
    pool = KVPool(configuration, secret: MapSecret(1, 2))
    log = pool.attachChangeLog()
    analyzer = MemoryFragmentationAnalyzer(pool)
    lifetimes = BlockLifetimes(blocks: configuration.blocks, every: 1, seed: 1)
    if isRunning { analyzer.start(pool) }
  }

  convenience init(
    blocks: UInt32 = 64, blockSize: UInt32 = 16, strategy: AllocationStrategy = .freeQueue,
    longest: UInt32 = 0, watermark: Double = 0
  ) {
    self.init(
      PoolConfiguration(
        blocks: blocks, blockSize: blockSize, watermark: watermark, maxModelTokens: longest,
        strategy: strategy))
  }

  /// Whether it was accepted.
  @discardableResult
  func run(_ kind: KVBlocks.Operation.Kind, session: SessionID = 0) -> Bool {
    let isDone = pool.apply(one: kind, session: session, into: outcome) != nil
    if isDone && !log.isEmpty {
      lifetimes.note(log, now)
      evicted.note(log, at: pool.revision, now)
    }
    return isDone
  }

  @discardableResult
  func allocate(_ count: UInt32, session: SessionID = 0) -> Bool {
    run(.allocate(count: count), session: session)
  }

  func free(_ ids: [BlockID], session: SessionID = 0) {
    ids.withUnsafeBufferPointer {
      _ = run(.freeBlocks($0, generations: .init(start: nil, count: 0)), session: session)
    }
  }

  /// Each block gets a content of its own.
  func cache(_ ids: [BlockID], content: UInt64) {
    ids.withUnsafeBufferPointer { ids in
      hashes(ids, content).withUnsafeBufferPointer { _ = run(.cacheBlocks(ids, blockHashes: $0)) }
    }
  }

  /// Keeps what `cache` stored in these blocks, the first of them first.
  func pin(_ ids: [BlockID], content: UInt64, session: SessionID = 0) {
    ids.withUnsafeBufferPointer { ids in
      hashes(ids, content).withUnsafeBufferPointer {
        _ = run(.pin(PinPrefix(blockHashes: $0)), session: session)
      }
    }
  }

  private func hashes(_ ids: UnsafeBufferPointer<BlockID>, _ content: UInt64) -> [UInt8] {
    ids.flatMap { id in
      (0..<32).map { UInt8(truncatingIfNeeded: (content &* 1_000 &+ UInt64(id)) >> ($0 % 8 * 8)) }
    }
  }

  /// Whether a sequence of its own was let in.
  @discardableResult
  func admit(
    _ tokens: UInt32, label: String = "", keeps: Bool = false, lookahead: UInt32 = 0
  ) -> Bool {
    defer { next += 1 }
    return Array(label.utf8).withUnsafeBufferPointer {
      run(
        .admit(
          Admit(
            sequence: next, add: AddSequence(sequence: next, tokens: tokens, label: $0),
            keepsOnRefusal: keeps, lookaheadTokens: lookahead)))
    }
  }

  func preempt(_ ids: [SequenceID]) {
    ids.withUnsafeBufferPointer { _ = run(.preempt($0)) }
  }

  func swapOut(_ ids: [SequenceID]) {
    ids.withUnsafeBufferPointer { _ = run(.swapOut($0)) }
  }

  /// The first so many copies that were ordered are done.
  func acknowledgeCopies(_ count: UInt64) {
    #expect(run(.acknowledgeCopies(.init(start: nil, count: 0), upTo: count)))
  }

  func release(_ ids: [SequenceID]) {
    ids.withUnsafeBufferPointer { _ = run(.freeSequences($0, ignoresMissing: false)) }
  }

  func sample() { analyzer.sample(pool, at: now) }

  func report(_ name: String = "default", since: UInt64 = 0) -> FragmentationReport {
    analyzer.report(
      pool, named: name, at: now, since: since,
      intervalMilliseconds: analyzer.tracker.history.isEmpty ? 0 : 1_000, life: .init(lifetimes),
      losses: .init(evicted))
  }

  /// Names of the rules that advise something.
  var advised: [String] { report().advised.map(\.rule.name) }
}

extension FragmentationReport {
  func advice(_ rule: Advice.Rule) throws -> Advice {
    try #require(advice.first { $0.rule == rule })
  }

  /// All that the answers say.
  var words: String { answers.flatMap(\.paragraphs).joined(separator: "\n") }
}
