import Workloads

/// A pool that answers steps: sequences in a dictionary, free blocks on a stack. Slow, small, and
/// written from the contract alone, so that the model under test has something to disagree with.
struct FakePool {
  private struct Sequence {
    var tokens: Int
    var blocks: [UInt32] = []
    var isRunning = false
  }

  let blockSize: Int
  let blocks: Int
  /// What the pool does with a decode that cannot be served even after every other sequence was
  /// preempted: preempt the asker too (vLLM), or refuse it as too large for the pool.
  var refusesTheLast = false
  private var free: [UInt32]
  private var sequences: [UInt64: Sequence] = [:]

  init(blocks: Int, blockSize: Int) {
    self.blocks = blocks
    self.blockSize = blockSize
    free = (1...UInt32(blocks)).reversed()
  }

  var freeBlocks: Int { free.count }
  var sequenceCount: Int { sequences.count }

  /// Takes blocks as another client would, beyond the reach of steps.
  mutating func occupy(_ count: Int) -> [UInt32] {
    defer { free.removeLast(count) }
    return Array(free.suffix(count))
  }

  mutating func vacate(_ blocks: [UInt32]) { free += blocks }

  mutating func answer(_ step: StepPlan) -> StepResult {
    var result = StepResult()
    freeSequences(step.freed, &result)
    decode(step.decoded, &result)
    for addition in step.added {
      if sequences[addition.sequence] != nil {
        result.additions.append(Refused(reason: 9, detail: "the sequence exists"))
      } else {
        sequences[addition.sequence] = Sequence(tokens: Int(addition.tokens))
        result.additions.append(.no)
      }
    }
    admit(step.admitted, &result)
    result.availableBlocks = UInt32(free.count)
    return result
  }

  private func needed(_ tokens: Int) -> Int { (tokens + blockSize - 1) / blockSize }

  private mutating func freeSequences(_ ids: [UInt64], _ result: inout StepResult) {
    if let unknown = ids.first(where: { sequences[$0] == nil }) {
      result.freeRefused = Refused(reason: 8, detail: "sequence \(unknown) is unknown")
      return
    }
    for id in ids { free += sequences.removeValue(forKey: id)!.blocks.reversed() }
  }

  private mutating func decode(_ ids: [UInt64], _ result: inout StepResult) {
    if ids.contains(where: { sequences[$0]?.isRunning != true }) {
      result.decodeRefused = Refused(reason: 10, detail: "a decoded sequence does not run")
      return
    }
    // Appended tokens are a fact, whatever becomes of their slots.
    for id in ids { sequences[id]!.tokens += 1 }
    result.decodeBlockCounts = Array(repeating: 0, count: ids.count)
    var victims = ids
    for (index, id) in ids.enumerated() where sequences[id]!.isRunning {
      let wanted = needed(sequences[id]!.tokens) - sequences[id]!.blocks.count
      while wanted > free.count, sequences[id]!.isRunning {
        let victim = victims.removeLast()
        if victim == id && refusesTheLast { break }
        free += sequences[victim]!.blocks.reversed()
        sequences[victim]!.blocks = []
        sequences[victim]!.isRunning = false
        result.preempted.append(victim)
      }
      guard sequences[id]!.isRunning else { continue }
      guard wanted <= free.count else {
        result.decodeRefusedIndexes.append(UInt32(index))
        result.decodeFirstRefused = .never
        continue
      }
      for _ in 0..<wanted {
        let block = free.removeLast()
        sequences[id]!.blocks.append(block)
        result.decodeBlocks.append(block)
      }
      result.decodeBlockCounts[index] = UInt32(wanted)
    }
    if result.decodeBlocks.isEmpty { result.decodeBlockCounts = [] }
  }

  private mutating func admit(_ ids: [UInt64], _ result: inout StepResult) {
    var isClosed = !result.preempted.isEmpty
    for id in ids {
      guard !isClosed else {
        result.admissions.append(.init(refused: .notAttempted))
        continue
      }
      let wanted = needed(sequences[id]!.tokens)
      if wanted > free.count {
        result.admissions.append(.init(refused: wanted > blocks ? .never : .later))
        isClosed = true
        continue
      }
      for _ in 0..<wanted {
        let block = free.removeLast()
        sequences[id]!.blocks.append(block)
        result.admissionBlocks.append(block)
      }
      sequences[id]!.isRunning = true
      result.admissions.append(.init(newBlocks: wanted))
    }
  }
}

/// Plays a model against a fake pool on a clock that only this function moves.
///
/// - Parameter service: Nanoseconds the pool takes for step n, from 0.
/// - Returns: Every step that was sent.
@discardableResult
func play(
  _ model: inout SchedulerModel, _ pool: inout FakePool, keepingSteps: Bool = true,
  service: (Int) -> UInt64 = { _ in 1000 }, sendsLate: (Int) -> UInt64 = { _ in 0 },
  before: (Int, inout FakePool) -> Void = { _, _ in }
) -> [StepPlan] {
  var steps: [StepPlan] = []
  var now: UInt64 = 0
  var step = StepPlan()
  var number = 0
  while let due = model.nextInstant, model.failure == nil {
    before(number, &pool)
    let sent = max(now, due) + sendsLate(number)
    model.planStep(&step)
    if keepingSteps { steps.append(step) }
    let result = pool.answer(step)
    now = sent + service(number)
    model.apply(result, to: step, sent: sent, received: now)
    number += 1
  }
  return steps
}
