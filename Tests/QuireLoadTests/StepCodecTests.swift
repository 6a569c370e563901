import BlockMessages
import Testing
import Workloads
import quire_load

private func plan() -> StepPlan {
  var plan = StepPlan()
  plan.freed = [1 << 62, 7]
  plan.decoded = [3, 4, 5]
  plan.added = [.init(sequence: 6, tokens: 80), .init(sequence: 1 << 63, tokens: 1)]
  plan.admitted = [9, 6]
  return plan
}

@Test("the server's own decoder reads a step as free, decode, adds, admissions")
func request() throws {
  var codec = StepCodec(pool: "tight")
  let decoder = MessageDecoder()
  let step = try decoder.decode(StepRequest.self, from: codec.request(for: plan()))
  #expect(step.call.pool.elementsEqual("tight".utf8))
  #expect(step.refusesAdmissionAfterPreemption)
  #expect(step.onRefusal == .unspecified)
  #expect(!step.wantsStats)

  var lines: [String] = []
  for index in 0..<step.operationCount {
    let operation = step.operation(index)
    switch operation.kind {
    case .freeSequences(let free):
      lines.append("free \(Array(free.sequenceIDs)) \(free.ignoresMissing) \(operation.onRefusal)")
    case .decode(let decode):
      lines.append("decode \(Array(decode.sequenceIDs)) \(operation.onRefusal)")
      #expect(decode.appendCounts.isEmpty)
      #expect(decode.scheduleCounts.isEmpty)
    case .add(let add):
      lines.append("add \(add.sequenceID) \(add.content.tokens) \(operation.onRefusal)")
    case .admit(let admit):
      lines.append("admit \(admit.sequenceID) \(operation.onRefusal)")
      #expect(admit.add == nil)
    default: lines.append("something else")
    }
  }
  #expect(
    lines == [
      "free [4611686018427387904, 7] false unspecified", "decode [3, 4, 5] preempt",
      "add 6 80 unspecified", "add 9223372036854775808 1 unspecified", "admit 9 stop",
      "admit 6 stop",
    ])
}

@Test("a codec's buffer serves one step after another")
func reuse() throws {
  var codec = StepCodec(pool: "")
  let decoder = MessageDecoder()
  _ = codec.request(for: plan())
  var small = StepPlan()
  small.freed = [1]
  let step = try decoder.decode(
    StepRequest.self, from: codec.request(for: small, ignoresMissing: true))
  #expect(step.operationCount == 1)
  guard case .freeSequences(let free) = step.operation(0).kind else {
    Issue.record("not a free")
    return
  }
  #expect(free.ignoresMissing)
  #expect(Array(free.sequenceIDs) == [1])
}

/// Packs one result of a reply around `fill`.
private func pack(
  _ packer: inout MessagePacker, _ field: OperationReplyField, refusal: RefusalFields? = nil,
  _ fill: (inout MessagePacker) -> Void
) {
  let mark = packer.mark
  let inner = packer.mark
  fill(&packer)
  packer.closeOperationReply(field, since: inner)
  if let refusal { packer.operationRefusal(refusal) }
  packer.closeStepResult(since: mark)
}

/// Packs a result that is a refusal and nothing else.
private func packRefused(_ packer: inout MessagePacker, _ refusal: RefusalFields) {
  let mark = packer.mark
  packer.operationRefusal(refusal)
  packer.closeStepResult(since: mark)
}

private func refusal(_ reason: UInt32, _ detail: String) -> RefusalFields {
  RefusalFields(reason: reason, field: "", detail: detail)
}

@Test("what the server packs is read back: blocks, preemptions, refusals")
func reply() {
  var packer = MessagePacker()
  packer.stepReplyTail(availableBlocks: 300)
  // From the last result to the first.
  packRefused(&packer, refusal(16, "after a preemption"))
  pack(&packer, .admit) { packer in
    ([10, 200, 70_000] as [UInt32]).withUnsafeBufferPointer { blocks in
      packer.admitReplyBeforeCopies(
        revision: 5, cachedTokens: 0, scheduledTokens: 48,
        cachedBlockIDs: .init(start: nil, count: 0), newBlockIDs: blocks)
    }
  }
  packRefused(&packer, refusal(9, "sequence 6 exists"))
  pack(&packer, .add) { $0.addReply(revision: 5, tokens: 80, blocksNeeded: 5) }
  pack(&packer, .decode) { packer in
    ([0, 1, 0] as [UInt32]).withUnsafeBufferPointer { counts in
      ([129] as [UInt32]).withUnsafeBufferPointer { blocks in
        ([0] as [UInt32]).withUnsafeBufferPointer { refused in
          ([5] as [UInt64]).withUnsafeBufferPointer { preempted in
            packer.decodeResultBeforeCopies(
              newBlockCounts: counts, newBlockIDs: blocks, refused: refused,
              firstRefusal: refusal(2, "too large"), preemptedSequenceIDs: preempted)
          }
        }
      }
    }
  }
  pack(&packer, .freeSequences) {
    $0.freeSequencesReply(revision: 5, freedBlocks: 3, freedSequences: 2, availableBlocks: 12)
  }
  packer.stepReplyHead(revision: 5, refusal: nil)

  var result = StepResult()
  #expect(StepCodec(pool: "").read(packer.bytes, to: plan(), into: &result))
  #expect(result.refused == .no)
  #expect(result.availableBlocks == 300)
  #expect(result.freeRefused == .no)
  #expect(result.decodeRefused == .no)
  #expect(result.decodeBlockCounts == [0, 1, 0])
  #expect(result.decodeBlocks == [129])
  #expect(result.decodeRefusedIndexes == [0])
  #expect(result.decodeFirstRefused == .never)
  #expect(result.preempted == [5])
  #expect(result.additions == [.no, Refused(reason: 9, detail: "sequence 6 exists")])
  #expect(result.admissions == [.init(newBlocks: 3), .init(refused: .notAttempted)])
  #expect(result.admissionBlocks == [10, 200, 70_000])
}

@Test("a refusal of the whole step is read with its text")
func wholeRefusal() {
  var packer = MessagePacker()
  packer.stepReplyHead(revision: 5, refusal: refusal(5, "the session is fenced"))
  var result = StepResult()
  #expect(StepCodec(pool: "").read(packer.bytes, to: plan(), into: &result))
  #expect(result.refused == Refused(reason: 5, detail: "the session is fenced"))
}

@Test(
  "bytes that are no reply are refused, whatever they are",
  arguments: 1...200 as ClosedRange<UInt64>)
func garbage(seed: UInt64) {
  var random = RandomStream(seed: seed)
  let bytes = (0..<Int(random.next() % 60)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
  var result = StepResult()
  // Not to crash is the point; a lucky message is one.
  _ = bytes.withUnsafeBytes { StepCodec(pool: "").read($0, to: plan(), into: &result) }
  let cut: [UInt8] = [0x22, 0x05, 0x12, 0x03, 0x0A, 0x01]
  #expect(!cut.withUnsafeBytes { StepCodec(pool: "").read($0, to: plan(), into: &result) })
}

@Test("a reply that leaves an operation out, or answers another one, is no reply to the step")
func mismatched() {
  var step = StepPlan()
  step.freed = [7]
  var result = StepResult()
  let codec = StepCodec(pool: "")
  var packer = MessagePacker()
  packer.stepReplyHead(revision: 5, refusal: nil)
  #expect(!codec.read(packer.bytes, to: step, into: &result))

  func answered(by field: OperationReplyField, times: Int = 1) -> Bool {
    packer.reset()
    for _ in 0..<times { pack(&packer, field) { _ in } }
    packer.stepReplyHead(revision: 5, refusal: nil)
    return codec.read(packer.bytes, to: step, into: &result)
  }
  #expect(answered(by: .freeSequences))
  #expect(!answered(by: .freeSequences, times: 2))
  #expect(!answered(by: .add))

  // Nor is a refusal that gives no reason.
  packer.reset()
  packRefused(&packer, refusal(0, "because"))
  packer.stepReplyHead(revision: 5, refusal: nil)
  #expect(!codec.read(packer.bytes, to: step, into: &result))
}

@Test("the pool's stats are asked for by name with their runs, and read back")
func stats() throws {
  let decoder = MessageDecoder()
  let bytes = StatsCodec.request(pool: "roomy")
  try bytes.withUnsafeBytes { bytes in
    let request = try decoder.decode(GetStatsRequest.self, from: bytes)
    #expect(request.call.pool.elementsEqual("roomy".utf8))
    #expect(request.includesRuns)
    #expect(!request.includesSlots)
  }

  var fields = StatsFields()
  fields.pool = "roomy"
  fields.capacityBlocks = 4_096
  fields.freeBlocks = 4_000
  fields.cachedBlocks = 1
  fields.activeBlocks = 90
  fields.sharedBlocks = 4
  fields.pinnedBlocks = 1
  fields.blockSize = 16
  fields.waitingSequences = 2
  fields.runningSequences = 3
  fields.preemptedSequences = 4
  fields.freeRuns = FreeRunsFields(count: 7, largest: 3_000, tenLargest: [3_000])
  var packer = MessagePacker()
  packer.stats(fields)

  var expected = PoolSnapshot()
  expected.capacityBlocks = 4_096
  expected.freeBlocks = 4_000
  expected.cachedBlocks = 1
  expected.activeBlocks = 90
  expected.sharedBlocks = 4
  expected.pinnedBlocks = 1
  expected.blockSize = 16
  expected.waitingSequences = 2
  expected.runningSequences = 3
  expected.preemptedSequences = 4
  expected.freeRuns = 7
  expected.largestFreeRun = 3_000
  let snapshot = StatsCodec.read(packer.bytes)
  #expect(snapshot == expected)
  #expect(snapshot?.usedBlocks == 95)
  #expect(snapshot?.availableBlocks == 4_001)
  #expect(snapshot?.sequences == 9)
}
