import Testing
import Workloads

private let millisecond: UInt64 = 1_000_000

private func plan(_ requests: [(at: UInt64, input: UInt32, output: UInt32)]) -> RequestPlan {
  var plan = RequestPlan()
  for request in requests {
    plan.append(
      arrivalNanoseconds: request.at * millisecond, inputTokens: request.input,
      outputTokens: request.output)
  }
  return plan
}

private func model(
  _ plan: RequestPlan, blocks: UInt32, blockSize: UInt32, speed: Double = 1
) -> SchedulerModel {
  SchedulerModel(plan, .init(blocks: blocks, blockSize: blockSize, speed: speed))
}

/// A step as one line: frees, decodes, adds, admissions.
private func line(_ step: StepPlan) -> String {
  func list(_ mark: String, _ ids: [UInt64]) -> [String] {
    ids.isEmpty ? [] : [mark + ids.map(String.init).joined(separator: ",")]
  }
  let added = step.added.map { "+\($0.sequence)(\($0.tokens))" }
  return
    (list("free ", step.freed) + list("decode ", step.decoded) + added
    + list("admit ", step.admitted)).joined(separator: " ")
}

@Test("vLLM's smallest case: two fit exactly, the next token preempts the later one")
func smallestCase() {
  var model = model(plan([(0, 80, 3), (0, 80, 3)]), blocks: 10, blockSize: 16)
  var pool = FakePool(blocks: 10, blockSize: 16)
  let steps = play(&model, &pool)
  #expect(
    steps.map(line) == [
      "+1(80) +2(80) admit 1,2",  // 5 + 5 blocks, none left.
      "decode 1,2",  // Token 81 of 1 needs a block: 2 is preempted.
      "decode 1 admit 2",  // 2 has 81 tokens now: 6 blocks, 4 are free.
      "free 1 admit 2",
      "decode 2",
      "free 2",
    ])
  let metrics = model.metrics
  #expect(metrics.finished == 2)
  #expect(metrics.preemptions == 1)
  #expect(metrics.preemptedRequests == 1)
  #expect(metrics.maximumPreemptionsOfOneRequest == 1)
  #expect(metrics.admissionRefusals == 1)
  #expect(metrics.generatedTokens == 6)
  #expect(metrics.steps == 6)
  #expect(metrics.operations == 12)
  #expect(metrics.errors == 0)
  #expect(metrics.blockUsage.peak == 1)
  #expect(metrics.slotUsage.peak == 1)
  #expect(pool.freeBlocks == 10)
  #expect(pool.sequenceCount == 0)
}

@Test(
  "what arrives at once is added by as many steps as its hashes need, and no prompt has too many")
func manyHashes() {
  var plan = RequestPlan()
  for id in 1...10 as ClosedRange<UInt64> {
    // 64 blocks each: 1,024 bytes.
    plan.append(arrivalNanoseconds: 0, inputTokens: 1_024, outputTokens: 1, hashIDs: [0, id])
  }
  // 314 blocks: 5,024 bytes, more than twice what a step has.
  plan.append(arrivalNanoseconds: 0, inputTokens: 5_024, outputTokens: 1, hashIDs: [0])
  var options = SchedulerModel.Configuration(
    blocks: 2_000, blockSize: 16, hashing: .init(bytes: 16))
  options.additionBytesPerStep = 2_500
  var model = SchedulerModel(plan, options)
  var pool = FakePool(blocks: 2_000, blockSize: 16)
  let steps = play(&model, &pool)
  #expect(steps.map(\.added.count) == [3, 3, 3, 2, 0])
  #expect(steps.map(\.hashes.count) == [3_072, 3_072, 3_072, 1_024, 0])
  #expect((model.metrics.finished, model.metrics.errors) == (11, 0))
  #expect(model.metrics.promptsTooLong == 1)
}

@Test("preempted requests return to the head of the line, the earliest admitted first")
func preemptedGoFirst() {
  // Three of 4 tokens in 3 blocks of 4, a fourth waiting. The next token of 1 preempts 3; 2's
  // preempts itself, because no one is left behind it.
  var model = model(plan([(0, 4, 3), (0, 4, 3), (0, 4, 3), (0, 4, 1)]), blocks: 3, blockSize: 4)
  var pool = FakePool(blocks: 3, blockSize: 4)
  let steps = play(&model, &pool)
  #expect(
    Array(steps.map(line).prefix(4)) == [
      "+1(4) +2(4) +3(4) +4(4) admit 1,2,3,4",
      "decode 1,2,3 admit 4",
      "decode 1 admit 2",
      "free 1 admit 2,3",
    ])
  #expect(model.metrics.finished == 4)
  #expect(pool.freeBlocks == 3)
}

@Test("arrivals never wait for completions: they are added on time into a full pool")
func openLoop() {
  let requests = (0..<20).map { (at: UInt64($0) * 30, input: UInt32(16), output: UInt32(100)) }
  var model = model(plan(requests), blocks: 8, blockSize: 16)
  var pool = FakePool(blocks: 8, blockSize: 16)
  let steps = play(&model, &pool)
  for index in 0..<20 {
    #expect(steps[index].added.map(\.sequence) == [UInt64(index + 1)])
  }
  #expect(model.metrics.finished == 20)
  #expect(model.metrics.errors == 0)
}

@Test("speed shortens the gaps between arrivals and between ticks alike")
func speed() {
  var requests = plan([(0, 4, 2), (600, 4, 2)])
  var pool = FakePool(blocks: 8, blockSize: 4)
  var fast = model(requests, blocks: 8, blockSize: 4, speed: 60)
  var due: [UInt64] = []
  var step = StepPlan()
  while let instant = fast.nextInstant {
    due.append(instant)
    fast.planStep(&step)
    let result = pool.answer(step)
    fast.apply(result, to: step, sent: instant, received: instant)
  }
  // Ticks of 30 ms / 60 = 0.5 ms; the second request comes at 600 ms / 60 = 10 ms. No idle steps.
  #expect(due == [0, 500_000, 1_000_000, 10_000_000, 10_500_000, 11_000_000])
  requests = plan([])
  #expect(model(requests, blocks: 8, blockSize: 4).nextInstant == nil)
}

@Test("no step is sent before the arrival that it is for, whatever the speed rounds to")
func rounding() {
  // At speed 7 a tick is 30 / 7 ms. 3,479,490 ms / 7 is exactly 115,983 ticks, which a Double makes
  // 497,069,999,999.99 ns.
  var model = model(plan([(0, 4, 1), (3_479_490, 4, 1)]), blocks: 4, blockSize: 4, speed: 7)
  var pool = FakePool(blocks: 4, blockSize: 4)
  let steps = play(&model, &pool)
  #expect(steps.map(line) == ["+1(4) admit 1", "free 1", "+2(4) admit 2", "free 2"])
}

@Test("means weigh each tick alike, those without a step too, and leave out what others hold")
func means() {
  // 6 blocks of 4, 2 of them others'. Tick 0 admits 5 tokens into 2 blocks; ticks 1 to 4 make them
  // 6, 7, 8 and 9, in 3 blocks; tick 5 frees. Ticks 6 to 9 are empty; tick 10 admits one token, tick
  // 11 frees it.
  var model = model(plan([(0, 5, 5), (300, 1, 1)]), blocks: 6, blockSize: 4)
  var pool = FakePool(blocks: 6, blockSize: 4)
  _ = pool.occupy(2)
  let steps = play(&model, &pool)
  #expect(steps.count == 8)
  let metrics = model.metrics
  // Blocks held after ticks 0 ... 10: 2, 2, 2, 2, 3, 0, 0, 0, 0, 0, 1 of 6.
  #expect(abs(metrics.blockUsage.mean - 12.0 / 66) < 1e-12)
  #expect(metrics.blockUsage.peak == 0.5)
  // Tokens: 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 1 of 24.
  #expect(abs(metrics.slotUsage.mean - 36.0 / 264) < 1e-12)
  #expect(metrics.slotUsage.peak == 0.375)
}

@Test("a request between two ticks is added by the second of them")
func betweenTicks() {
  var model = model(plan([(1, 4, 1)]), blocks: 4, blockSize: 4)
  #expect(model.nextInstant == 30 * millisecond)
  var pool = FakePool(blocks: 4, blockSize: 4)
  play(&model, &pool, service: { _ in 2 * millisecond })
  // Due at 30 ms, answered at 32 ms: 31 ms after it arrived, 2 ms after the step was due.
  #expect(model.metrics.admission.maximum == 31 * millisecond)
  #expect(model.metrics.response.maximum == 2 * millisecond)
  #expect(model.metrics.service.maximum == 2 * millisecond)
}

@Test("what can never fit is dropped, freed and counted apart; what is behind it gets in")
func neverFits() {
  var model = model(plan([(0, 65, 3), (0, 16, 2)]), blocks: 4, blockSize: 16)
  var pool = FakePool(blocks: 4, blockSize: 16)
  let steps = play(&model, &pool)
  #expect(
    steps.map(line) == [
      "+1(65) +2(16) admit 1", "free 1 admit 2", "decode 2", "free 2",
    ])
  #expect(model.metrics.neverFit == 1)
  #expect(model.metrics.finished == 1)
  #expect(model.metrics.errors == 0)
  #expect(pool.sequenceCount == 0)
}

@Test(
  "a request that outgrows the whole pool ends as never fitting, however the pool says so",
  arguments: [false, true])
func outgrows(refusesTheLast: Bool) {
  var model = model(plan([(0, 4, 10)]), blocks: 2, blockSize: 4)
  var pool = FakePool(blocks: 2, blockSize: 4)
  pool.refusesTheLast = refusesTheLast
  play(&model, &pool)
  #expect(model.metrics.neverFit == 1)
  #expect(model.metrics.finished == 0)
  #expect(model.metrics.errors == 0)
  #expect(pool.freeBlocks == 2)
  #expect(pool.sequenceCount == 0)
}

@Test("a server that stalls once shows in the response times and not in the service times")
func coordinatedOmission() {
  // One request of 2,000 tokens: 2,001 steps, of which the 500th takes a second.
  var model = model(plan([(0, 4, 2_000)]), blocks: 200, blockSize: 16)
  var pool = FakePool(blocks: 200, blockSize: 16)
  play(&model, &pool, service: { $0 == 500 ? 1_000 * millisecond : millisecond })
  let metrics = model.metrics
  #expect(metrics.service.percentile(99) < 2 * millisecond)
  // 33 ticks fall due during the stall: more than one step in a hundred answers over 400 ms late.
  #expect(metrics.response.percentile(99) > 400 * millisecond)
  #expect(metrics.lateStarts >= 33)
  #expect(metrics.maximumScheduleLag == 970 * millisecond)
  // The lateness was the server's: this side sent each step as soon as it could.
  #expect(metrics.clientLag.maximum == 0)
  #expect(!metrics.isClientTooSlow)
}

@Test("a client that sends late knows it")
func clientLag() {
  var model = model(plan([(0, 4, 100)]), blocks: 200, blockSize: 16)
  var pool = FakePool(blocks: 200, blockSize: 16)
  var step = StepPlan()
  while let due = model.nextInstant {
    model.planStep(&step)
    let result = pool.answer(step)
    model.apply(result, to: step, sent: due + 11 * millisecond, received: due + 12 * millisecond)
  }
  #expect(model.metrics.isClientTooSlow)
}

@Test("the steps that a stall of the client holds up are late by its fault, not the server's")
func clientStall() {
  // 2,001 steps, one in 30 ms, answered in 1 ms. The 500th is sent a second late, so the next finds
  // its place in the schedule 970 ms gone, plus the millisecond of the answer, and so on.
  var model = model(plan([(0, 4, 2_000)]), blocks: 200, blockSize: 16)
  var pool = FakePool(blocks: 200, blockSize: 16)
  play(
    &model, &pool, service: { _ in millisecond },
    sendsLate: { $0 == 500 ? 1_000 * millisecond : 0 })
  let metrics = model.metrics
  #expect(metrics.clientLag.maximum == 1_000 * millisecond)
  // 35 steps are late: more than one in a hundred, by more than 400 ms.
  #expect(metrics.clientLag.percentile(99) > 400 * millisecond)
  #expect(metrics.isClientTooSlow)
  #expect(metrics.service.maximum == millisecond)
}

@Test("cancelling frees whatever is held or waits, and starts nothing more")
func cancelling() {
  let requests = (0..<30).map { (at: UInt64($0) * 30, input: UInt32(30), output: UInt32(50)) }
  var model = model(plan(requests), blocks: 8, blockSize: 16)
  var pool = FakePool(blocks: 8, blockSize: 16)
  var step = StepPlan()
  for _ in 0..<10 {
    let due = model.nextInstant!
    model.planStep(&step)
    let result = pool.answer(step)
    model.apply(result, to: step, sent: due, received: due)
  }
  #expect(pool.sequenceCount == 10)
  // Between two ticks: what is held is freed at once, not at the next tick.
  model.cancel(at: 275 * millisecond)
  #expect(model.nextInstant == 275 * millisecond)
  play(&model, &pool, service: { _ in 400 * millisecond })
  #expect(pool.sequenceCount == 0)
  #expect(pool.freeBlocks == 8)
  #expect(model.metrics.started == 10)
  #expect(model.metrics.cancelled == 10)
  #expect(model.metrics.errors == 0)
}

@Test("a pool that somebody else fills is noticed, and let be once they go")
func blockedByOthers() {
  var model = model(plan([(0, 16, 2)]), blocks: 4, blockSize: 16)
  var pool = FakePool(blocks: 4, blockSize: 16)
  let others = pool.occupy(4)
  var since: [UInt64?] = []
  var step = StepPlan()
  for round in 0..<5 {
    if round == 3 { pool.vacate(others) }
    let due = model.nextInstant!
    model.planStep(&step)
    let result = pool.answer(step)
    model.apply(result, to: step, sent: due, received: due)
    since.append(model.blockedSince)
  }
  #expect(since == [0, 0, 0, nil, nil])
}

@Test("a block handed out twice is an invariant broken, not a crash")
func handedOutTwice() {
  var model = model(plan([(0, 16, 2), (0, 16, 2)]), blocks: 4, blockSize: 16)
  var step = StepPlan()
  model.planStep(&step)
  var result = StepResult()
  result.additions = [.no, .no]
  result.admissions = [.init(newBlocks: 1), .init(newBlocks: 1)]
  result.admissionBlocks = [3, 3]
  model.apply(result, to: step, sent: 0, received: 0)
  #expect(model.metrics.invariantsBroken == 2)
  #expect(
    model.metrics.errorSamples == [
      "block 3 was handed out twice", "sequence 2 holds 0 blocks for 16 tokens; expected 1",
    ])
}

@Test("an answer with too few results stops the run and says why")
func shortAnswer() {
  var model = model(plan([(0, 16, 2)]), blocks: 4, blockSize: 16)
  var step = StepPlan()
  model.planStep(&step)
  model.apply(StepResult(), to: step, sent: 0, received: 0)
  #expect(model.failure == "the answer has not one result for each operation")
}

@Test("a pool that no longer knows what runs ends the run as a server's error, not as a leak")
func forgotten() {
  var model = model(plan([(0, 16, 3), (0, 16, 3), (30, 16, 3)]), blocks: 4, blockSize: 16)
  var pool = FakePool(blocks: 4, blockSize: 16)
  var step = StepPlan()
  model.planStep(&step)
  let result = pool.answer(step)
  model.apply(result, to: step, sent: 0, received: 0)
  model.planStep(&step)
  #expect(line(step) == "decode 1,2 +3(16) admit 3")
  // The server was replaced between two steps.
  var answer = StepResult()
  answer.decodeRefusedIndexes = [0, 1]
  answer.decodeFirstRefused = Refused(reason: 8, detail: "sequence 1 is unknown")
  answer.additions = [.no]
  answer.admissions = [.init(newBlocks: 1)]
  answer.admissionBlocks = [1]  // The first one of a new pool, and 1's in the old.
  answer.availableBlocks = 3
  model.apply(answer, to: step, sent: 30 * millisecond, received: 30 * millisecond)
  #expect(model.failure == "a decode was refused: sequence 1 is unknown")
  #expect(model.metrics.errors == 1)
  #expect(model.metrics.invariantsBroken == 0)
  // Whatever the pool may hold is still asked back.
  model.cancel(at: 30 * millisecond)
  model.planStep(&step)
  #expect(Set(step.freed) == [1, 2, 3])
}

@Test("a random load always ends with every request done and every block back", arguments: 1...20)
func randomLoads(seed: UInt64) {
  var random = RandomStream(seed: seed)
  var load = RequestPlan()
  var at: UInt64 = 0
  for _ in 0..<150 {
    at += UInt64(random.exponential(mean: 60) * 1e6)
    load.append(
      arrivalNanoseconds: at, inputTokens: UInt32(1 + random.next() % 90),
      outputTokens: UInt32(1 + random.next() % 60))
  }
  var model = SchedulerModel(load, .init(blocks: 24, blockSize: 8))
  var pool = FakePool(blocks: 24, blockSize: 8)
  play(&model, &pool, keepingSteps: false)
  let metrics = model.metrics
  #expect(metrics.errors == 0, "\(metrics.errorSamples)")
  #expect(metrics.finished + metrics.neverFit == 150)
  #expect(metrics.preemptions > 0)
  #expect(pool.freeBlocks == 24)
  #expect(pool.sequenceCount == 0)
  #expect(model.heldBlocks == 0)
  // No request of 90 + 59 tokens at most is larger than 24 blocks of 8.
  #expect(metrics.neverFit == 0)
  // Every token that was planned was generated, once.
  #expect(metrics.generatedTokens == load.requests.reduce(0) { $0 + UInt64($1.outputTokens) })
}
