package import KVBlocks

/// Plays a trace into a pool of its own, in memory, piece by piece: what that pool would have made of it.
///
/// The pool is the real one, so its answers are: the same commands give the same outcomes, always. The
/// engine around it is the one that `quire-load` plays: a step every so many microseconds frees what has
/// finished, gives each running sequence one more token (preempting the latest admitted where there is no
/// room, to be computed again), then admits from the head of the line up to the first that does not fit,
/// and nobody in a step that preempted. At most `mostRunning` run at once. A prompt takes the step that
/// admits it; the last token of an answer is never fed back. Blocks that answers fill are cached too, and are like no others.
///
/// One request at a time (`Pace.oneByOne`) is for the cache alone: whole stretches of prompts are taken
/// from it, cached and given back at once, without times, answers or the rule of the last token.
package final class TraceReplay {
  package enum Pace: Equatable, Sendable {
    /// As they arrive, with a step each so many microseconds.
    case steps(microseconds: UInt64)
    case oneByOne
  }

  /// What came of it.
  package struct Result: Equatable, Sendable {
    /// Requests that were played, and of them those that did not come to their end: longer than a sequence
    /// may be, larger than the pool, or than what was reserved, some of them after they had begun.
    package var requests: UInt64 = 0
    package var neverFit: UInt64 = 0
    /// Tokens of prompts that were looked up at their first admission, and those that were found.
    package var promptTokens: UInt64 = 0
    package var hitTokens: UInt64 = 0
    /// Cached blocks that lost their content for room.
    package var evictions: UInt64 = 0
    /// Admissions that were refused for want of room, each try.
    package var refusals: UInt64 = 0
    package var preemptions: UInt64 = 0
    /// Blocks held: the most, and the mean over the time in which anything ran.
    package var peakBlocks: UInt32 = 0
    package var meanBlocks: Double = 0
    /// Slots of the tables of running sequences, with what the strategy rounds them up by, those of them
    /// without a token, and the sequences, in the same mean.
    package var meanTableSlots: Double = 0
    package var meanWastedSlots: Double = 0
    package var meanRunning: Double = 0
    package var peakRunning: UInt32 = 0
    /// Microseconds from a request's arrival to its first admission, on average; and from the beginning of
    /// the trace to the step in which the last one ended.
    package var meanWait: Double = 0
    package var duration: UInt64 = 0
  }

  /// Blocks, or ids of content, that one command is given to do before the next piece begins, but for those
  /// of the last request in it: half a millisecond's worth. What comes of a replay does not depend on it.
  package static let usualBlocksAtOnce: UInt64 = 1 << 12
  /// Sequences of a command that admits or frees.
  package static let sequencesAtOnce = 256
  /// Sequences of a step, as engines have such a limit (vLLM's `max_num_seqs`): those behind it wait. So
  /// the command that decodes is bounded, too.
  package static let mostRunning = 4_096
  /// Entries of the tables of those who run and of those who have ended and are not freed yet, or as many as the
  /// pool has blocks: what many share of a small pool would otherwise take any amount of memory (an entry and its
  /// hash are 20 bytes). Who is behind waits.
  package static let usualMostHeld: UInt64 = 1 << 22

  package let pace: Pace
  let blocksAtOnce: UInt64
  let mostHeld: UInt64
  package let trace: ReplayTrace
  package let pool: KVPool
  let outcome = Outcome()
  let blockSize: UInt32
  let caches: Bool
  package internal(set) var result = Result()

  /// What one command is given to do: its sequences, and the blocks that it takes or gives back.
  package struct Piece: Equatable, Sendable {
    package var sequences = 0
    package var blocks: UInt64 = 0
  }

  struct Life: BitwiseCopyable {
    var known: UInt64
    /// Entries of its table, and what the strategy rounds them up by.
    var blocks: UInt32 = 0
    var generated: UInt32 = 0
    /// Preempted in the step at hand.
    var isPreempted = false
    var hash = ContentHash()
  }

  var lives: [Life?]
  var next = 0
  var running: [Int32] = []
  /// From `waitingHead` on; those before it are gone.
  var waiting: [Int32] = []
  var waitingHead = 0
  /// To be freed when the next step begins, with the entries of their tables.
  var ended: [SequenceID] = []
  var endedBlocks: [UInt32] = []
  /// The sum of them: the pool has their tables until they are freed.
  var heldByEnded: UInt64 = 0
  /// Admissions that are tried at once: one after a refusal, for what is behind it is tried in vain.
  var width = TraceReplay.sequencesAtOnce
  /// Sequences and blocks of all commands by now: what the replay costs, in refusals and again after
  /// preemptions, too.
  package internal(set) var work: UInt64 = 0
  /// Admissions that the pool was given to try, those behind a refusal included.
  package internal(set) var tried: UInt64 = 0
  /// The most that one command was given.
  package internal(set) var largest = Piece()
  var now: UInt64 = 0
  var isAdmitting = false
  /// Of `Pace.oneByOne`: what is not given back yet.
  var prompt: Prompt?
  /// Of a decode that is under way, the place in `running` of the first whose turn has not come.
  var turn: Int?
  var held: UInt64 = 0
  var known: UInt64 = 0
  var weight: Double = 0
  var blockTime: Double = 0
  var slotTime: Double = 0
  var wasteTime: Double = 0
  var runTime: Double = 0
  var waits: Double = 0
  var admitted: UInt64 = 0
  // Kept from step to step.
  var found = FlatList<BlockID>(minimumCapacity: 256)
  var hashes: [UInt64] = []
  var hashCounts: [UInt32] = []
  var preempted: [Int32] = []
  var ids: [SequenceID] = []

  /// The pool is made anew from `configuration`, whose block hashes have 16 bytes. O(blocks).
  package init(
    _ trace: ReplayTrace, _ pace: Pace, _ configuration: PoolConfiguration,
    blocksAtOnce: UInt64 = TraceReplay.usualBlocksAtOnce,
    mostHeld: UInt64 = TraceReplay.usualMostHeld
  ) {
    precondition(configuration.hashBytes == 16, "hashes of another size")
    precondition(configuration.sizeClasses.isEmpty, "a replay into size classes")
    self.trace = trace
    self.pace = pace
    self.blocksAtOnce = blocksAtOnce
    self.mostHeld = max(mostHeld, UInt64(configuration.blocks))
    pool = KVPool(configuration)
    blockSize = configuration.blockSize
    caches = configuration.cachesPrefixes
    lives = Array(repeating: nil, count: trace.requests.count)
  }

  package var isDone: Bool {
    next == trace.requests.count && running.isEmpty && waiting.isEmpty && ended.isEmpty
      && prompt == nil
  }

  /// The next piece: a command, or one and what follows from it. O(running sequences + blocks that it takes or
  /// frees).
  package func advance() {
    if isDone { return }
    switch pace {
    case .oneByOne: playOne()
    case .steps(let microseconds):
      if isAdmitting {
        admit()
      } else {
        step(microseconds)
      }
    }
    if isDone { finish() }
  }

  private func finish() {
    let stats = pool.stats()
    result.requests = UInt64(trace.requests.count)
    result.evictions = stats.evictions
    result.peakBlocks = stats.highWatermark
    if pace != .oneByOne {
      result.promptTokens = stats.prefixQueryTokens
      result.hitTokens = stats.prefixHitTokens
      result.preemptions = stats.preemptions
    }
    if weight > 0 {
      result.meanBlocks = blockTime / weight
      result.meanTableSlots = slotTime / weight
      result.meanWastedSlots = wasteTime / weight
      result.meanRunning = runTime / weight
    }
    if admitted > 0 { result.meanWait = waits / Double(admitted) }
  }

  func note(sequences: Int, blocks: UInt64 = 0) {
    largest.sequences = max(largest.sequences, sequences)
    largest.blocks = max(largest.blocks, blocks)
    work += UInt64(sequences) + blocks
  }

  func apply(_ operations: [Operation], stopsAtRefusal: Bool = false) {
    operations.withUnsafeBufferPointer {
      pool.apply(
        Command(
          session: 0, operations: $0, now: now / 1_000, isStep: true,
          onRefusal: stopsAtRefusal ? .stop : .continue), into: outcome)
    }
  }
}
