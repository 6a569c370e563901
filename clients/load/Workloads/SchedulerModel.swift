/// Plays the life of every request of a plan against a pool: wait, be admitted, grow by one token a
/// tick, perhaps be preempted and recomputed, finish.
///
/// A state machine without I/O, clock or randomness. Its driver asks when the next step is due
/// (`nextInstant`), sends what `planStep` fills in, and hands the answer to `apply`; one step is
/// under way at a time. Ticks keep to their schedule: a late answer makes the following steps late,
/// and the lateness is measured, but no tick and no arrival is ever skipped.
///
/// The engine imagined behind it finishes a prompt in the tick that admits it and a token a tick
/// afterwards; a request of `input` and `output` tokens holds at most `input + output - 1` slots,
/// because the last token is never fed back (as in vLLM).
package struct SchedulerModel {
  package struct Configuration {
    /// Nanoseconds from step to step, at speed 1.
    package var tickNanoseconds: Double
    /// How many times faster than its plan's time the run goes.
    package var speed: Double
    package var blocks: UInt32
    package var blockSize: UInt32
    /// Available before the run.
    package var availableBlocks: UInt32
    /// Sequence n of the plan is called `firstSequence + n`.
    package var firstSequence: UInt64
    /// Most admissions tried in one step.
    package var admissionsPerStep = 256
    package var hashing = PoolHashing()

    package init(
      blocks: UInt32, blockSize: UInt32, availableBlocks: UInt32? = nil,
      tickNanoseconds: Double = 30_000_000, speed: Double = 1, firstSequence: UInt64 = 1,
      hashing: PoolHashing = .init()
    ) {
      precondition(blocks > 0 && blockSize > 0, "a pool without slots")
      precondition(tickNanoseconds > 0 && speed > 0, "time has to pass")
      self.blocks = blocks
      self.blockSize = blockSize
      self.availableBlocks = availableBlocks ?? blocks
      self.tickNanoseconds = tickNanoseconds
      self.speed = speed
      self.firstSequence = firstSequence
      self.hashing = hashing
    }
  }

  /// What became of a request; its number is its place in the plan.
  struct Request {
    /// Tokens sampled so far; all but the newest are in the pool's sequence.
    var generated: UInt32 = 0
    var preemptions: UInt32 = 0
    var holding = BlockLedger.Holding()
    var end = End.none
  }

  enum End: UInt8 { case none, finished, neverFit, cancelled, failed }

  package let configuration: Configuration
  package private(set) var metrics = RunMetrics()
  /// A refusal after which the run cannot go on: the pool and this model no longer agree.
  package private(set) var failure: String?
  /// Since when nothing runs and the head of the line is refused all the same: somebody else holds
  /// the blocks. Nil while things move.
  package private(set) var blockedSince: UInt64?

  private let plan: RequestPlan
  private let interval: Double
  private var requests: [Request]
  private var nextArrival = 0
  private var running: [Int32] = []
  private var waiting = RequestQueue()
  /// Done with, to be freed by the next step.
  private var ending: [Int32] = []
  private var ledger: BlockLedger
  /// nil: nothing is looked up.
  private let prompts: PromptHashes?
  /// Slots of running sequences that hold a token, shared ones once for each.
  private var filledSlots = 0
  private var available: UInt32
  private var tick: Double = -1
  /// When the step under way was due.
  private var due: UInt64 = 0
  private var isUnderWay = false
  private var cancelledAt = UInt64.max
  private var lastReceived: UInt64 = 0
  /// The client's own share in how late the last step was sent.
  private var lastLag: UInt64 = 0
  // Kept from step to step, so that a step allocates nothing once they have grown.
  private var isPreempted: [Bool] = []
  private var retained: [Int32] = []

  package init(_ plan: RequestPlan, _ configuration: Configuration) {
    precondition(plan.requests.count < Int(Int32.max), "a plan too long to number")
    precondition(
      Double(plan.spanNanoseconds) / configuration.speed <= RequestPlan.longestRun,
      "a plan too long to time")
    self.plan = plan
    self.configuration = configuration
    interval = configuration.tickNanoseconds / configuration.speed
    requests = Array(repeating: Request(), count: plan.requests.count)
    ledger = BlockLedger(blocks: configuration.blocks)
    prompts =
      configuration.hashing.bytes == 0 || plan.hashIDs.isEmpty
      ? nil
      : PromptHashes(
        hashing: configuration.hashing, blockSize: configuration.blockSize,
        salt: configuration.firstSequence)
    available = configuration.availableBlocks
    metrics.planned = plan.requests.count
  }

  package var runningCount: Int { running.count }
  package var waitingCount: Int { waiting.count }
  package var heldBlocks: Int { ledger.heldBlocks }
  package var availableBlocks: UInt32 { available }
  /// Everything has ended and been freed.
  package var isDone: Bool { nextInstant == nil }

  /// When the next step is due; nil when there is none left. Ticks in which nothing waits, runs or
  /// ends are no steps.
  package var nextInstant: UInt64? {
    nextTick.map { min(UInt64($0 * interval), cancelledAt) }
  }

  private var nextTick: Double? {
    if !running.isEmpty || !waiting.isEmpty || !ending.isEmpty { return tick + 1 }
    guard nextArrival < requests.count else { return nil }
    let arrival = arrival(nextArrival)
    let first = (Double(arrival) / interval).rounded(.up)
    // The quotient may be rounded down to a tick that lies just before the arrival.
    return max(tick + 1, UInt64(first * interval) < arrival ? first + 1 : first)
  }

  /// When the request is meant to arrive, in the run's time.
  private func arrival(_ request: Int) -> UInt64 {
    UInt64(Double(plan.requests[request].arrivalNanoseconds) / configuration.speed)
  }

  private func sequence(_ request: Int32) -> UInt64 {
    configuration.firstSequence + UInt64(request)
  }

  private func request(_ sequence: UInt64) -> Int32? {
    guard sequence >= configuration.firstSequence,
      sequence - configuration.firstSequence < UInt64(requests.count)
    else { return nil }
    return Int32(sequence - configuration.firstSequence)
  }

  /// Tokens the pool's sequence has before the step that computes the next one.
  private func knownTokens(_ request: Int32) -> UInt32 {
    plan.requests[Int(request)].inputTokens + requests[Int(request)].generated
  }

  private func blocks(forTokens tokens: UInt32) -> UInt32 {
    (tokens - 1) / configuration.blockSize + 1
  }

  /// Blocks that an admission takes if the cache has all that it may have.
  private func leastNewBlocks(_ request: Int32) -> Int {
    let tokens = knownTokens(request)
    let all = Int(blocks(forTokens: tokens))
    if prompts == nil { return all }
    let planned = plan.requests[Int(request)]
    // Its own, too, once it has run.
    let ids = requests[Int(request)].generated > 0 ? planned.hashCount : planned.knownIDs
    let known = min(
      UInt64(ids) * UInt64(RequestPlan.idTokens), UInt64(min(planned.inputTokens, tokens - 1)))
    return all - Int(known / UInt64(configuration.blockSize))
  }

  /// Fills in the step due at `nextInstant`. O(running + what is new).
  package mutating func planStep(_ step: inout StepPlan) {
    precondition(!isUnderWay, "a step is planned before the answer to the one before")
    guard let next = nextTick, let instant = nextInstant else {
      preconditionFailure("no step is due")
    }
    isUnderWay = true
    let passed = next - max(tick, 0)
    metrics.blockUsage.change(to: metrics.blockUsage.latest, after: passed)
    metrics.slotUsage.change(to: metrics.slotUsage.latest, after: passed)
    metrics.running.change(to: metrics.running.latest, after: passed)
    metrics.waiting.change(to: metrics.waiting.latest, after: passed)
    tick = next
    due = instant
    step.removeAll()

    var estimate = Int(available)
    for request in ending {
      step.freed.append(sequence(request))
      estimate += Int(requests[Int(request)].holding.count)
    }
    for request in running { step.decoded.append(sequence(request)) }

    while nextArrival < requests.count, arrival(nextArrival) <= due {
      let request = Int32(nextArrival)
      let tokens = plan.requests[nextArrival].inputTokens
      let before = step.hashes.count
      prompts?.append(of: nextArrival, in: plan, to: &step.hashes)
      step.added.append(
        StepPlan.Addition(
          sequence: sequence(request), tokens: tokens, hashBytes: step.hashes.count - before))
      waiting.append(request)
      nextArrival += 1
      metrics.started += 1
    }

    // The pool decides who gets in. The estimate only keeps a long line from being sent every time:
    // the last one tried is the first that should be refused.
    var position = 0
    while position < waiting.count, position < configuration.admissionsPerStep, estimate >= 0 {
      step.admitted.append(sequence(waiting[position]))
      estimate -= leastNewBlocks(waiting[position])
      position += 1
    }
  }

  /// Takes the answer to the step that `planStep` filled in last.
  ///
  /// - Parameters:
  ///   - sent: When the step left; no earlier than it was due.
  ///   - received: When its answer was here.
  package mutating func apply(
    _ result: StepResult, to step: StepPlan, sent: UInt64, received: UInt64
  ) {
    precondition(isUnderWay, "an answer to nothing")
    isUnderWay = false
    time(sent: sent, received: received)
    guard result.refused == .no else { return fail("the step was refused", result.refused) }
    guard result.additions.count == step.added.count,
      result.admissions.count == step.admitted.count,
      result.decodeBlockCounts.isEmpty || result.decodeBlockCounts.count == step.decoded.count
    else { return fail("the answer has not one result for each operation", .no) }

    applyFrees(result, step)
    guard result.decodeRefused == .no else {
      return fail("the decode was refused", result.decodeRefused)
    }
    applyDecode(result, step)
    // Of a pool that no longer knows what runs, the rest of the answer says nothing.
    if failure == nil {
      applyAdditions(result, step)
      applyAdmissions(result, step, received)
    }
    // Latest victim first, so that whoever was admitted first is back at the head of the line.
    for request in retained.reversed() { waiting.prepend(request) }

    available = result.availableBlocks
    let capacity = Double(configuration.blocks)
    metrics.blockUsage.change(to: Double(ledger.heldBlocks) / capacity, after: 0)
    metrics.slotUsage.change(
      // Blocks that several have are full.
      to: (Double(filledSlots) / Double(configuration.blockSize) - Double(ledger.sharedReferences))
        / capacity, after: 0)
    metrics.running.change(to: Double(running.count), after: 0)
    metrics.waiting.change(to: Double(waiting.count), after: 0)
    if running.isEmpty, ending.isEmpty, !waiting.isEmpty {
      blockedSince = blockedSince ?? received
    } else {
      blockedSince = nil
    }
  }

  /// No more arrivals, and whatever is held is freed by the next step, which is due `now` instead of
  /// at its tick. Only between steps.
  package mutating func cancel(at now: UInt64) {
    precondition(!isUnderWay, "cancelled while a step is under way")
    cancelledAt = now
    nextArrival = requests.count
    for request in running { end(request, .cancelled) }
    running.removeAll()
    while !waiting.isEmpty { end(waiting.removeFirst(), .cancelled) }
    blockedSince = nil
  }

  // MARK: - Parts of an answer, in the step's order

  private mutating func applyFrees(_ result: StepResult, _ step: StepPlan) {
    if result.freeRefused != .no {
      metrics.error(
        "freeing \(step.freed.count) sequences was refused: \(Self.text(result.freeRefused))")
      metrics.invariantsBroken += 1
    }
    metrics.operations += UInt64(step.freed.count)
    for request in ending {
      filledSlots -= slots(of: request)
      ledger.release(&requests[Int(request)].holding)
      switch requests[Int(request)].end {
      case .finished: metrics.finished += 1
      case .neverFit: metrics.neverFit += 1
      case .cancelled: metrics.cancelled += 1
      case .failed: metrics.failed += 1
      case .none: preconditionFailure("a live request was freed")
      }
    }
    ending.removeAll(keepingCapacity: true)
  }

  /// Survivors grow, finish or stay; the preempted are left in `retained`, by admission.
  private mutating func applyDecode(_ result: StepResult, _ step: StepPlan) {
    metrics.operations += UInt64(step.decoded.count)
    retained.removeAll(keepingCapacity: true)
    if isPreempted.count < requests.count {
      isPreempted = Array(repeating: false, count: requests.count)
    }
    for sequence in result.preempted {
      guard let request = request(sequence) else {
        metrics.error("a sequence of another client was preempted: \(sequence)")
        continue
      }
      isPreempted[Int(request)] = true
      filledSlots -= slots(of: request)
      ledger.release(&requests[Int(request)].holding)
    }

    var block = 0
    var refusal = 0
    var kept = 0
    for position in running.indices {
      let request = running[position]
      if !result.decodeBlockCounts.isEmpty {
        let count = Int(result.decodeBlockCounts[position])
        take(count, of: result.decodeBlocks, from: &block, for: request)
      }
      let isRefused =
        refusal < result.decodeRefusedIndexes.count
        && Int(result.decodeRefusedIndexes[refusal]) == position
      if isRefused { refusal += 1 }
      if isPreempted[Int(request)] {
        isPreempted[Int(request)] = false
        retained.append(request)
        preempted(request)
      } else if isRefused {
        // Alone and still too large: it cannot be finished in this pool.
        let refused = result.decodeFirstRefused
        // What runs here does not run there: a server that began anew, or that forgot.
        if !refused.isNever, failure == nil { fail("a decode was refused", refused) }
        end(request, refused.isNever ? .neverFit : .failed)
      } else {
        filledSlots += 1
        grown(request)
        if requests[Int(request)].end == .none {
          running[kept] = request
          kept += 1
        }
      }
    }
    running.removeSubrange(kept...)
    if retained.count != result.preempted.count {
      broken("\(result.preempted.count - retained.count) sequences were preempted that do not run")
      for request in isPreempted.indices { isPreempted[request] = false }
    }
    if block != result.decodeBlocks.count {
      broken("the decode handed out \(result.decodeBlocks.count - block) blocks to nobody")
    }
  }

  private mutating func applyAdditions(_ result: StepResult, _ step: StepPlan) {
    metrics.operations += UInt64(step.added.count)
    for (addition, refused) in zip(step.added, result.additions) where refused != .no {
      guard let request = request(addition.sequence) else { continue }
      // The pool knows nothing of it, so there is nothing to free.
      waiting.remove(request)
      if refused.isNever {
        requests[Int(request)].end = .neverFit
        metrics.neverFit += 1
      } else {
        requests[Int(request)].end = .failed
        metrics.failed += 1
        metrics.error("adding a sequence was refused: \(Self.text(refused))")
      }
    }
  }

  private mutating func applyAdmissions(
    _ result: StepResult, _ step: StepPlan, _ received: UInt64
  ) {
    var block = 0
    var found = 0
    var leftInLine: [Int32] = []
    for (sequence, admission) in zip(step.admitted, result.admissions) {
      guard let request = request(sequence), requests[Int(request)].end == .none else { continue }
      let first = waiting.removeFirst()
      precondition(first == request, "the line is not the one that was sent")
      if !admission.refused.isNotAttempted { metrics.operations += 1 }
      if admission.refused == .no {
        share(admission.foundBlocks, of: result.foundBlocks, from: &found, for: request)
        take(admission.newBlocks, of: result.admissionBlocks, from: &block, for: request)
        running.append(request)
        filledSlots += Int(knownTokens(request))
        if requests[Int(request)].generated == 0 {
          let intended = arrival(Int(request))
          metrics.admission.record(received > intended ? received - intended : 0)
          if prompts != nil {
            metrics.lookedUpTokens += UInt64(plan.requests[Int(request)].inputTokens)
            metrics.foundTokens += UInt64(admission.foundTokens)
          }
        }
        grown(request)
        if requests[Int(request)].end != .none { running.removeLast() }
      } else if admission.refused.isNever {
        end(request, .neverFit)
      } else if admission.refused.isLater || admission.refused.isNotAttempted {
        if admission.refused.isLater { metrics.admissionRefusals += 1 }
        leftInLine.append(request)
      } else {
        metrics.error("an admission was refused: \(Self.text(admission.refused))")
        end(request, .failed)
      }
    }
    for request in leftInLine.reversed() { waiting.prepend(request) }
    if block != result.admissionBlocks.count || found != result.foundBlocks.count {
      let left = result.admissionBlocks.count - block + result.foundBlocks.count - found
      broken("admissions handed out \(left) blocks to nobody")
    }
  }

  // MARK: - Single requests

  /// The step computed all of the request's tokens: one more is sampled, or it is finished.
  private mutating func grown(_ request: Int32) {
    let held = requests[Int(request)].holding.count
    let needed = blocks(forTokens: knownTokens(request))
    if held != needed {
      broken(
        "sequence \(sequence(request)) holds \(held) blocks for \(knownTokens(request)) tokens; "
          + "expected \(needed)")
    }
    requests[Int(request)].generated += 1
    metrics.generatedTokens += 1
    if requests[Int(request)].generated == plan.requests[Int(request)].outputTokens {
      end(request, .finished)
    }
  }

  private mutating func preempted(_ request: Int32) {
    requests[Int(request)].preemptions += 1
    let times = requests[Int(request)].preemptions
    metrics.preemptions += 1
    if times == 1 { metrics.preemptedRequests += 1 }
    metrics.maximumPreemptionsOfOneRequest = max(metrics.maximumPreemptionsOfOneRequest, times)
  }

  private mutating func end(_ request: Int32, _ end: End) {
    requests[Int(request)].end = end
    ending.append(request)
  }

  /// Slots of the request that hold a token: all it knew when it was last computed.
  private func slots(of request: Int32) -> Int {
    requests[Int(request)].holding.count == 0 ? 0 : Int(knownTokens(request)) - 1
  }

  private mutating func take(
    _ count: Int, of blocks: [UInt32], from next: inout Int, for request: Int32
  ) {
    guard next + count <= blocks.count else {
      return broken("sequence \(sequence(request)) got blocks that are not listed")
    }
    for block in blocks[next..<(next + count)] {
      do throws(BlockLedger.Fault) {
        try ledger.take(block, into: &requests[Int(request)].holding)
      } catch {
        switch error {
        case .heldAlready(let block): broken("block \(block) was handed out twice")
        case .outOfRange(let block): broken("block \(block) is none of the pool's")
        }
      }
    }
    next += count
  }

  private mutating func share(
    _ count: Int, of blocks: [UInt32], from next: inout Int, for request: Int32
  ) {
    guard next + count <= blocks.count else {
      return broken("sequence \(sequence(request)) found blocks that are not listed")
    }
    for block in blocks[next..<(next + count)] {
      do throws(BlockLedger.Fault) {
        try ledger.share(block, into: &requests[Int(request)].holding)
      } catch {
        broken("block \(block) is none of the pool's")
      }
    }
    next += count
  }

  // MARK: - Times and troubles

  private mutating func time(sent: UInt64, received: UInt64) {
    precondition(sent >= due && received >= sent, "time runs backwards")
    metrics.steps += 1
    metrics.response.record(received - due)
    metrics.service.record(received - sent)
    let ready = max(due, min(lastReceived, sent))
    // Of the wait for the previous reply, what this side caused by sending late before. Otherwise
    // one stall of ours would count once, and the steps it delayed would be the server's fault.
    lastLag = sent - ready + min(lastLag, ready - due)
    metrics.clientLag.record(lastLag)
    lastReceived = received
    if sent - due > RunMetrics.lateLimit { metrics.lateStarts += 1 }
    metrics.maximumScheduleLag = max(metrics.maximumScheduleLag, sent - due)
  }

  private mutating func broken(_ text: String) {
    metrics.invariantsBroken += 1
    metrics.error(text)
  }

  private mutating func fail(_ what: String, _ refused: Refused) {
    let text = refused == .no ? what : "\(what): \(Self.text(refused))"
    metrics.error(text)
    failure = text
  }

  private static func text(_ refused: Refused) -> String {
    refused.detail.isEmpty ? "reason \(refused.reason)" : refused.detail
  }
}
