import KVBlocks

/// A command that owns its lists, so that tests can write it down, record it and repeat it.
struct TestCommand {
  var session: SessionID = 0
  var ifRevision: Revision = 0
  var isDryRun = false
  var isStep = false
  var acknowledgedCopyID: UInt64 = 0
  var tokenBudget: UInt32 = 0
  var refusesAdmissionAfterPreemption = false
  var onRefusal = OnRefusal.continue
  var operations: [TestOperation] = []
}

/// One operation with its own `onRefusal`.
struct TestOperation {
  var kind: Kind
  var onRefusal = OnRefusal.inherit

  init(_ kind: Kind, onRefusal: OnRefusal = .inherit) {
    self.kind = kind
    self.onRefusal = onRefusal
  }

  struct New {
    var id: SequenceID
    var tokens: UInt32
    var priority: Int32 = 0
    var label: [UInt8] = []
  }

  struct TestAdmit {
    var id: SequenceID
    var add: New?
    var keeps = false
    var maxTokensNow: UInt32 = 0
    var lookahead: UInt32 = 0
    var partial = false
    var reserved: UInt32 = 0
  }

  struct TestDecode {
    var ids: [SequenceID]
    var append: [UInt32] = []
    var schedule: [UInt32] = []
    var lookahead: [UInt32] = []
    var victims: [SequenceID] = []
  }

  enum Kind {
    case allocate(UInt32)
    case freeBlocks([BlockID], generations: [UInt32] = [])
    case forkBlocks([BlockID], generations: [UInt32] = [])
    case copyOnWrite(BlockID, filled: UInt32 = 0)
    case acknowledge([UInt64], upTo: UInt64 = 0)
    case add(New)
    case admit(TestAdmit)
    case extend(Extend)
    case append(SequenceID, UInt32)
    case fork(SequenceID, [SequenceID])
    case rewind(Rewind)
    case preempt([SequenceID])
    case free([SequenceID], ignoresMissing: Bool = false)
    case decode(TestDecode)
  }
}

/// Memory for the lists of one command.
private final class Arena {
  private var memory: [UnsafeMutableRawPointer] = []

  deinit { for pointer in memory { pointer.deallocate() } }

  func copy<T: BitwiseCopyable>(_ list: [T]) -> UnsafeBufferPointer<T> {
    if list.isEmpty { return .init(start: nil, count: 0) }
    let copy = UnsafeMutableBufferPointer<T>.allocate(capacity: list.count)
    _ = copy.initialize(from: list)
    if let base = copy.baseAddress { memory.append(UnsafeMutableRawPointer(base)) }
    return UnsafeBufferPointer(copy)
  }

  func lower(_ new: TestOperation.New) -> AddSequence {
    AddSequence(
      sequence: new.id, tokens: new.tokens, priority: new.priority, label: copy(new.label))
  }

  func lower(_ kind: TestOperation.Kind) -> Operation.Kind {
    switch kind {
    case .allocate(let count): .allocate(count: count)
    case .freeBlocks(let ids, let generations):
      .freeBlocks(copy(ids), generations: copy(generations))
    case .forkBlocks(let ids, let generations):
      .forkBlocks(copy(ids), generations: copy(generations))
    case .copyOnWrite(let id, let filled): .copyOnWrite(id, filledTokens: filled)
    case .acknowledge(let ids, let upTo): .acknowledgeCopies(copy(ids), upTo: upTo)
    case .add(let new): .add(lower(new))
    case .admit(let admit):
      .admit(
        Admit(
          sequence: admit.id, add: admit.add.map { lower($0) }, keepsOnRefusal: admit.keeps,
          maxTokensNow: admit.maxTokensNow, lookaheadTokens: admit.lookahead,
          allowsPartialFit: admit.partial, reservedBlocks: admit.reserved))
    case .extend(let extend): .extend(extend)
    case .append(let id, let tokens): .append(id, tokens: tokens)
    case .fork(let parent, let children): .fork(parent: parent, children: copy(children))
    case .rewind(let rewind): .rewind(rewind)
    case .preempt(let ids): .preempt(copy(ids))
    case .free(let ids, let ignores): .freeSequences(copy(ids), ignoresMissing: ignores)
    case .decode(let decode):
      .decode(
        Decode(
          sequences: copy(decode.ids), appendCounts: copy(decode.append),
          scheduleCounts: copy(decode.schedule), lookaheadTokens: copy(decode.lookahead),
          victimOrder: copy(decode.victims)))
    }
  }
}

extension KVPool {
  func apply(_ command: TestCommand, into outcome: Outcome) {
    let arena = Arena()
    let operations = command.operations.map {
      Operation(arena.lower($0.kind), onRefusal: $0.onRefusal)
    }
    operations.withUnsafeBufferPointer { buffer in
      apply(
        Command(
          session: command.session, operations: buffer, ifRevision: command.ifRevision,
          isDryRun: command.isDryRun, isStep: command.isStep,
          acknowledgedCopyID: command.acknowledgedCopyID, tokenBudget: command.tokenBudget,
          refusesAdmissionAfterPreemption: command.refusesAdmissionAfterPreemption,
          onRefusal: command.onRefusal),
        into: outcome)
    }
    withExtendedLifetime(arena) {}
  }
}

/// An outcome as plain values, to be compared and kept.
struct Seen: Equatable {
  struct Result: Equatable {
    var refusal = Refusal.none
    var newBlocks: [BlockID] = []
    var counts: [UInt32] = []
    var refused: [UInt32] = []
    var firstRefusal = Refusal.none
    var preempted: [SequenceID] = []
    var copies: [CopyOrder] = []
    var scheduled: UInt32 = 0
    var tokens: UInt32 = 0
    var blocksNeeded: UInt32 = 0
    var freed: UInt32 = 0
    var affected: UInt32 = 0
    var block: BlockID = 0
    var computed: UInt32 = 0
    var shared: UInt32 = 0
    var pendingCopies: UInt32 = 0
    var available: UInt32 = 0
  }

  var revision: Revision = 0
  var refusal = Refusal.none
  var available: UInt32 = 0
  var results: [Result] = []

  init() {}

  init(_ outcome: Outcome) {
    revision = outcome.revision
    refusal = outcome.refusal
    available = outcome.availableBlocks
    for result in outcome.results.elements {
      results.append(
        Result(
          refusal: result.refusal, newBlocks: Array(outcome.blocks.elements(result.newBlocks)),
          counts: Array(outcome.counts.elements(result.counts)),
          refused: Array(outcome.refusedIndexes.elements(result.refusedIndexes)),
          firstRefusal: result.firstRefusal,
          preempted: Array(outcome.preempted.elements(result.preempted)),
          copies: Array(outcome.copies.elements(result.copies)),
          scheduled: result.scheduledTokens, tokens: result.tokens,
          blocksNeeded: result.blocksNeeded, freed: result.freedBlocks, affected: result.affected,
          block: result.block, computed: result.computedTokens, shared: result.sharedBlocks,
          pendingCopies: result.pendingCopies, available: result.availableBlocks))
    }
  }
}

/// A pool with short words for what the hand-worked cases do.
final class Bench {
  let pool: KVPool
  private let outcome = Outcome()

  init(blocks: UInt32, blockSize: UInt32 = 16, copyAck: CopyAck = .explicit) {
    pool = KVPool(PoolConfiguration(blocks: blocks, blockSize: blockSize, copyAck: copyAck))
  }

  func apply(_ command: TestCommand) -> Seen {
    pool.apply(command, into: outcome)
    return Seen(outcome)
  }

  @discardableResult
  func run(_ kind: TestOperation.Kind, session: SessionID = 0) -> Seen.Result {
    let seen = apply(TestCommand(session: session, operations: [TestOperation(kind)]))
    return seen.results.first ?? Seen.Result(refusal: seen.refusal)
  }

  /// Adds and admits in one.
  @discardableResult
  func admit(_ id: SequenceID, _ tokens: UInt32) -> Seen.Result {
    run(.admit(.init(id: id, add: .init(id: id, tokens: tokens))))
  }

  func table(_ id: SequenceID, session: SessionID = 0) -> [BlockID] {
    guard let view = pool.describe(session: session, sequence: id) else { return [] }
    return Array(view.blocks)
  }

  func state(_ id: SequenceID) -> SequenceState? {
    pool.describe(session: 0, sequence: id)?.state
  }

  var queue: [BlockID] { pool.freeQueue() }
}
