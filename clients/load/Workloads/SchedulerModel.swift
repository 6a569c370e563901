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
    /// Bytes of a step's additions, with their hashes: the next ones come with the next step. The last of them
    /// may have twice as much more; with all that runs the step is within the 4 MiB that a server reads.
    package var additionBytesPerStep = 1 << 20
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
  package internal(set) var metrics = RunMetrics()
  /// A refusal after which the run cannot go on: the pool and this model no longer agree.
  package internal(set) var failure: String?
  /// Since when nothing runs and the head of the line is refused all the same: somebody else holds
  /// the blocks. Nil while things move.
  package private(set) var blockedSince: UInt64?

  let plan: RequestPlan
  let interval: Double
  var requests: [Request]
  var nextArrival = 0
  var running: [Int32] = []
  var waiting = RequestQueue()
  /// Done with, to be freed by the next step.
  var ending: [Int32] = []
  var ledger: BlockLedger
  /// nil: nothing is looked up.
  let prompts: PromptHashes?
  /// Slots of running sequences that hold a token, shared ones once for each.
  var filledSlots = 0
  var available: UInt32
  var tick: Double = -1
  /// When the step under way was due.
  var due: UInt64 = 0
  var isUnderWay = false
  var cancelledAt = UInt64.max
  var lastReceived: UInt64 = 0
  /// The client's own share in how late the last step was sent.
  var lastLag: UInt64 = 0
  // Kept from step to step, so that a step allocates nothing once they have grown.
  var isPreempted: [Bool] = []
  var retained: [Int32] = []

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

  var nextTick: Double? {
    if !running.isEmpty || !waiting.isEmpty || !ending.isEmpty { return tick + 1 }
    guard nextArrival < requests.count else { return nil }
    let arrival = arrival(nextArrival)
    let first = (Double(arrival) / interval).rounded(.up)
    // The quotient may be rounded down to a tick that lies just before the arrival.
    return max(tick + 1, UInt64(first * interval) < arrival ? first + 1 : first)
  }

  /// When the request is meant to arrive, in the run's time.
  func arrival(_ request: Int) -> UInt64 {
    UInt64(Double(plan.requests[request].arrivalNanoseconds) / configuration.speed)
  }

  func sequence(_ request: Int32) -> UInt64 {
    configuration.firstSequence + UInt64(request)
  }

  func request(_ sequence: UInt64) -> Int32? {
    guard sequence >= configuration.firstSequence,
      sequence - configuration.firstSequence < UInt64(requests.count)
    else { return nil }
    return Int32(sequence - configuration.firstSequence)
  }

  /// Tokens the pool's sequence has before the step that computes the next one.
  func knownTokens(_ request: Int32) -> UInt32 {
    plan.requests[Int(request)].inputTokens + requests[Int(request)].generated
  }

  func blocks(forTokens tokens: UInt32) -> UInt32 {
    (tokens - 1) / configuration.blockSize + 1
  }

  /// Blocks that an admission takes if the cache has all that it may have.
  func leastNewBlocks(_ request: Int32) -> Int {
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

    while nextArrival < requests.count, arrival(nextArrival) <= due,
      step.additionBytes < configuration.additionBytesPerStep
    {
      let request = Int32(nextArrival)
      let tokens = plan.requests[nextArrival].inputTokens
      let before = step.hashes.count
      let isHashed = prompts?.append(
        of: nextArrival, in: plan, to: &step.hashes, most: 2 * configuration.additionBytesPerStep)
      if isHashed == false { metrics.promptsTooLong += 1 }
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

  // MARK: - Times and troubles

  mutating func time(sent: UInt64, received: UInt64) {
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

  mutating func broken(_ text: String) {
    metrics.invariantsBroken += 1
    metrics.error(text)
  }

  mutating func fail(_ what: String, _ refused: Refused) {
    let text = refused == .no ? what : "\(what): \(Self.text(refused))"
    metrics.error(text)
    failure = text
  }

  static func text(_ refused: Refused) -> String {
    refused.detail.isEmpty ? "reason \(refused.reason)" : refused.detail
  }
}
