package import KVBlocks

/// Plays a trace into a pool of its own, in memory, piece by piece: what that pool would have made of it.
///
/// The pool is the real one, so its answers are: the same commands give the same outcomes, always. The
/// engine around it is the one that `quire-load` plays: a step every so many microseconds frees what has
/// finished, gives each running sequence one more token (preempting the latest admitted where there is no
/// room, to be computed again), then admits from the head of the line up to the first that does not fit,
/// and nobody in a step that preempted. A prompt takes the step that admits it; the last token of an
/// answer is never fed back. Blocks that answers fill are cached too, and are like no others.
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

  /// Blocks that one command is given to do at least before the next piece begins: some milliseconds'
  /// worth. A single request may need more.
  static let blocksAtOnce: UInt64 = 1 << 13
  static let admissionsAtOnce = 256

  package let pace: Pace
  private let trace: ReplayTrace
  let pool: KVPool
  private let outcome = Outcome()
  private let blockSize: UInt32
  private let caches: Bool
  private(set) package var result = Result()

  private struct Life: BitwiseCopyable {
    var known: UInt64
    /// Entries of its table, and what the strategy rounds them up by.
    var blocks: UInt32 = 0
    var generated: UInt32 = 0
    var hash = ContentHash()
  }

  private var lives: [Life?]
  private var next = 0
  private var running: [Int32] = []
  /// From `waitingHead` on; those before it are gone.
  private var waiting: [Int32] = []
  private var waitingHead = 0
  private var ended: [SequenceID] = []
  private var now: UInt64 = 0
  private var isAdmitting = false
  private var held: UInt64 = 0
  private var known: UInt64 = 0
  private var weight: Double = 0
  private var blockTime: Double = 0
  private var slotTime: Double = 0
  private var wasteTime: Double = 0
  private var runTime: Double = 0
  private var waits: Double = 0
  private var admitted: UInt64 = 0
  // Kept from step to step.
  private var found = FlatList<BlockID>(minimumCapacity: 256)
  private var hashes: [UInt64] = []
  private var hashCounts: [UInt32] = []
  private var ids: [SequenceID] = []

  /// The pool is made anew from `configuration`, whose block hashes have 16 bytes. O(blocks).
  package init(_ trace: ReplayTrace, _ pace: Pace, _ configuration: PoolConfiguration) {
    precondition(configuration.hashBytes == 16, "hashes of another size")
    precondition(configuration.sizeClasses.isEmpty, "a replay into size classes")
    self.trace = trace
    self.pace = pace
    pool = KVPool(configuration)
    blockSize = configuration.blockSize
    caches = configuration.cachesPrefixes
    lives = Array(repeating: nil, count: trace.requests.count)
  }

  package var isDone: Bool {
    next == trace.requests.count && running.isEmpty && waiting.isEmpty && ended.isEmpty
  }

  /// The next piece: a command or a few. O(running sequences + blocks that it takes).
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

  private func apply(_ operations: [Operation], stopsAtRefusal: Bool = false) {
    operations.withUnsafeBufferPointer {
      pool.apply(
        Command(
          session: 0, operations: $0, now: now / 1_000, isStep: true,
          onRefusal: stopsAtRefusal ? .stop : .continue), into: outcome)
    }
  }

  // MARK: - One by one

  /// Whole stretches, as blocks: what its prompt has of them is acquired, the rest is taken and cached,
  /// and all of it is given back from its tail.
  private func playOne() {
    let request = trace.requests[next]
    var tokens = UInt64(request.input)
    // A stretch counts as a whole, as it does in what is published of such traces.
    let whole = UInt64(trace.contentTokens)
    if request.contents > 0 { tokens = (tokens + whole - 1) / whole * whole }
    var state = ContentHash()
    hashes.removeAll(keepingCapacity: true)
    trace.hashes(
      of: next, tokens: tokens, blockSize: blockSize, inWholeStretches: true, state: &state,
      into: &hashes)
    next += 1
    let blocks = UInt32(hashes.count / 2)
    if blocks == 0 { return }
    result.promptTokens += UInt64(blocks) * UInt64(blockSize)
    hashes.withUnsafeBytes { raw in
      let bytes = raw.bindMemory(to: UInt8.self)
      let found = caches ? cachedBlocks(bytes) : 0
      let kind: Operation.Kind =
        caches
        ? .acquire(
          blockHashes: UnsafeBufferPointer(rebasing: bytes[..<(Int(found) * 16)]),
          count: blocks - found)
        : .allocate(count: blocks)
      guard let taken = pool.apply(one: kind, into: outcome) else {
        result.neverFit += 1
        return
      }
      result.hitTokens += UInt64(found) * UInt64(blockSize)
      let hit = Array(outcome.cached.elements(taken.pointee.cachedBlocks))
      let new = Array(outcome.blocks.elements(taken.pointee.newBlocks))
      if caches && !new.isEmpty { cache(new, bytes, from: Int(found)) }
      let all: [BlockID] = new.reversed() + hit.reversed()
      all.withUnsafeBufferPointer {
        let freed = pool.apply(
          one: .freeBlocks($0, generations: .init(start: nil, count: 0)), into: outcome)
        precondition(freed != nil, "blocks of a replay are not its own")
      }
    }
  }

  /// Of a prompt the leading blocks that are cached.
  private func cachedBlocks(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
    do throws(Refusal) {
      _ = try pool.lookupBlocks(bytes, into: &found)
      return UInt32(found.count)
    } catch {
      preconditionFailure("hashes of a replay were refused")
    }
  }

  private func cache(_ new: [BlockID], _ bytes: UnsafeBufferPointer<UInt8>, from found: Int) {
    let parent = UnsafeBufferPointer(
      rebasing: bytes[max(0, found - 1) * 16..<found * 16])
    new.withUnsafeBufferPointer {
      let cached = pool.apply(
        one: .cacheBlocks(
          $0, blockHashes: UnsafeBufferPointer(rebasing: bytes[(found * 16)...]),
          parentHash: parent), into: outcome)
      precondition(cached != nil, "content of a replay was refused")
    }
  }

  // MARK: - Steps

  /// The first part of a step: who has finished goes, who runs grows, who has come gets in line.
  private func step(_ interval: UInt64) {
    if running.isEmpty && waiting.isEmpty && ended.isEmpty {
      // The first step at or after the next arrival.
      let arrival = trace.requests[next].arrival
      now = max(now, (arrival + interval - 1) / interval * interval)
    }
    if !ended.isEmpty {
      ended.withUnsafeBufferPointer {
        apply([Operation(.freeSequences($0, ignoresMissing: false))])
      }
      precondition(outcome.results[0].refusal.reason == .none, "a sequence of a replay is gone")
      ended.removeAll(keepingCapacity: true)
    }
    let preempted = decode()
    while next < trace.requests.count, trace.requests[next].arrival <= now {
      waiting.append(Int32(next))
      next += 1
    }
    if preempted || waiting.isEmpty {
      endStep(interval)
    } else {
      isAdmitting = true
    }
  }

  private func endStep(_ interval: UInt64) {
    isAdmitting = false
    if waitingHead > 0 {
      waiting.removeFirst(waitingHead)
      waitingHead = 0
    }
    let stats = pool.stats()
    result.peakRunning = max(result.peakRunning, UInt32(running.count))
    if !running.isEmpty {
      weight += 1
      blockTime += Double(stats.blocks - stats.free - stats.cached - stats.lazyPending)
      slotTime += Double(held * UInt64(blockSize))
      wasteTime += Double(held * UInt64(blockSize) - known)
      runTime += Double(running.count)
    }
    now += interval
  }

  /// One more token for each that runs. Returns whether any were preempted.
  private func decode() -> Bool {
    if running.isEmpty { return false }
    hashes.removeAll(keepingCapacity: true)
    hashCounts.removeAll(keepingCapacity: true)
    ids.removeAll(keepingCapacity: true)
    for index in running {
      let i = Int(index)
      ids.append(SequenceID(i + 1))
      let before = hashes.count
      if caches, var life = lives[i], (life.known + 1) % UInt64(blockSize) == 0 {
        trace.hashes(
          of: i, tokens: life.known + 1, blockSize: blockSize,
          from: life.known / UInt64(blockSize), state: &life.hash, into: &hashes)
        lives[i]?.hash = life.hash
      }
      hashCounts.append(UInt32((hashes.count - before) / 2))
    }
    ids.withUnsafeBufferPointer { ids in
      hashes.withUnsafeBytes { raw in
        hashCounts.withUnsafeBufferPointer { counts in
          apply([
            Operation(
              .decode(
                Decode(
                  sequences: ids, blockHashes: raw.bindMemory(to: UInt8.self),
                  hashCounts: hashes.isEmpty ? .init(start: nil, count: 0) : counts)),
              onRefusal: .preempt)
          ])
        }
      }
    }
    let decoded = outcome.results[0]
    if decoded.refusal.reason != .none {
      // Nothing is known that the pool refuses as a whole; were there anything, a trace from anywhere must
      // not bring down who plays it: those who run end with what they have.
      result.neverFit += UInt64(running.count)
      for index in running { end(Int(index)) }
      running.removeAll(keepingCapacity: true)
      return false
    }
    let preempted = Set(outcome.preempted.elements(decoded.preempted))
    let refused = Set(outcome.refusedIndexes.elements(decoded.refusedIndexes))
    let counts = outcome.counts.elements(decoded.counts)
    var kept: [Int32] = []
    var back: [Int32] = []
    kept.reserveCapacity(running.count)
    for (place, index) in running.enumerated() {
      let i = Int(index)
      let count = counts.isEmpty ? 0 : counts[place]
      lives[i]?.known += 1
      known += 1
      let taken = rounded(count)
      lives[i]?.blocks += taken
      held += UInt64(taken)
      if preempted.contains(SequenceID(i + 1)) {
        forgetTable(i)
        back.append(index)
      } else if refused.contains(UInt32(place)) {
        // Alone and still too large: it cannot be finished in this pool.
        result.neverFit += 1
        end(i)
      } else if !hasEnded(i) {
        kept.append(index)
      }
    }
    running = kept
    // Whoever was admitted first is at the head of the line again.
    waiting.insert(contentsOf: back, at: 0)
    return !preempted.isEmpty
  }

  /// Its table is no more; its tokens are to be computed again.
  private func forgetTable(_ i: Int) {
    guard let life = lives[i] else { preconditionFailure("preempted what does not live") }
    held -= UInt64(life.blocks)
    known -= life.known
    lives[i]?.blocks = 0
  }

  private func end(_ i: Int) {
    forgetTable(i)
    lives[i] = nil
    ended.append(SequenceID(i + 1))
    result.duration = now
  }

  /// A step has computed all that is known: one more token is sampled, or it is finished. It ends, too, where
  /// it has as many tokens as a sequence of the pool can have, though it wants more.
  private func hasEnded(_ i: Int) -> Bool {
    lives[i]?.generated += 1
    guard let life = lives[i] else { preconditionFailure("what does not live has run") }
    if life.generated < trace.requests[i].output {
      if life.known < UInt64(pool.tokenLimit) { return false }
      result.neverFit += 1
    }
    end(i)
    return true
  }

  /// Blocks that the pool gives out for so many new ones of a table.
  private func rounded(_ blocks: UInt32) -> UInt32 {
    if pool.configuration.strategy != .buddy || blocks <= 1 { return blocks }
    return 1 << (32 - UInt32((blocks - 1).leadingZeroBitCount))
  }

  /// A piece of the second part of a step: some of the line get in, up to the first that does not fit.
  private func admit() {
    guard case .steps(let interval) = pace else { return }
    let first = waitingHead
    var operations: [Operation] = []
    var blocks: UInt64 = 0
    // Hashes of those that are new, one after the other; nothing may move while the command runs.
    hashes.removeAll(keepingCapacity: true)
    var ends: [Int] = []
    var last = first
    while last < waiting.count && ends.count < Self.admissionsAtOnce && blocks < Self.blocksAtOnce {
      let i = Int(waiting[last])
      let tokens = lives[i]?.known ?? UInt64(trace.requests[i].input)
      blocks += tokens / UInt64(blockSize) + 1
      if lives[i] == nil {
        var life = Life(known: tokens)
        if caches {
          trace.hashes(
            of: i, tokens: tokens, blockSize: blockSize, state: &life.hash, into: &hashes)
        }
        lives[i] = life
        // Marked as new by where its hashes end.
        ends.append(hashes.count)
      } else {
        ends.append(-1)
      }
      last += 1
    }
    hashes.withUnsafeBytes { raw in
      let bytes = raw.bindMemory(to: UInt8.self)
      var begin = 0
      for (place, end) in ends.enumerated() {
        let i = Int(waiting[first + place])
        let id = SequenceID(i + 1)
        if end < 0 {
          operations.append(Operation(.admit(Admit(sequence: id))))
          continue
        }
        let request = trace.requests[i]
        operations.append(
          Operation(
            .admit(
              Admit(
                sequence: id,
                add: AddSequence(
                  sequence: id, tokens: request.input,
                  // The last one is never fed back.
                  expectedTokens: UInt32(
                    clamping: UInt64(request.input) + UInt64(request.output) - 1),
                  blockHashes: UnsafeBufferPointer(rebasing: bytes[begin * 8..<end * 8])),
                keepsOnRefusal: true))))
        begin = end
      }
      apply(operations, stopsAtRefusal: true)
    }
    var isStopped = false
    for place in 0..<operations.count {
      let i = Int(waiting[first + place])
      let answer = outcome.results[place]
      switch answer.refusal.reason {
      case .none:
        waitingHead += 1
        begin(i, answer)
      case .later where isBusy, .noRun where isBusy:
        result.refusals += 1
        isStopped = true
      case .notAttempted:
        // It was not even added: it is new the next time, too.
        if ends[place] >= 0 { lives[i] = nil }
        isStopped = true
      default:
        // What never fits, even alone, goes, and the others have their turn.
        waitingHead += 1
        result.neverFit += 1
        if isAdded(i) { ended.append(SequenceID(i + 1)) }
        lives[i] = nil
        for later in place + 1..<operations.count where ends[later] >= 0 {
          lives[Int(waiting[first + later])] = nil
        }
        return
      }
    }
    if isStopped || waitingHead == waiting.count { endStep(interval) }
  }

  /// Whether anything will come back that an admission could wait for.
  private var isBusy: Bool { !running.isEmpty || !ended.isEmpty }

  /// Whether the pool has it, from an admission that was refused.
  private func isAdded(_ i: Int) -> Bool {
    pool.arrival(session: 0, sequence: SequenceID(i + 1)) != nil
  }

  private func begin(_ i: Int, _ answer: OperationResult) {
    guard let life = lives[i] else { preconditionFailure("admitted what does not live") }
    if life.generated == 0 {
      waits += Double(now - trace.requests[i].arrival)
      admitted += 1
    }
    let blocks =
      rounded(answer.newBlocks.count) + answer.cachedBlocks.count + answer.nullBlocks
    lives[i]?.blocks = blocks
    held += UInt64(blocks)
    known += life.known
    if !hasEnded(i) { running.append(Int32(i)) }
  }
}
