import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("Scheduler")
struct SchedulerTests {
  /// vLLM's smallest exact case: two requests of 80 tokens fill 10 blocks of 16.
  let harness = ServiceHarness(blocks: 10, blockSize: 16)

  private static func admit(_ id: UInt64, _ tokens: UInt32) -> StepFields.Item {
    .init(.admit(AdmitFields(sequenceID: id, add: AddFields(sequenceID: id, tokenCount: tokens))))
  }

  private func stream() -> (stream: any RequestStream, responses: RecordedStream) {
    let responses = RecordedStream()
    guard
      case .streaming(let isClientStreaming, let factory)? =
        harness.table.methods["/quire.v1.Scheduler/Run"]
    else { preconditionFailure("Run is not registered") }
    #expect(isClientStreaming)
    return (factory(responses, ServiceHarness.Context()), responses)
  }

  @Test("answers each operation in its order, as one command")
  func order() throws {
    let reply = try harness.step(
      StepFields(operations: [
        .init(.allocate(count: 2)), Self.admit(5, 20), .init(.freeBlocks([2])),
        .init(.append(sequence: 5, tokens: 3)), .init(.fork(parent: 5, children: [6])),
        .init(.preempt([6])), .init(.freeSequences([5, 6])),
      ]))
    #expect(reply.revision == 1)
    #expect(reply.refusal == nil)
    #expect(reply.resultCount == 7)
    #expect(reply.availableBlocks == 9)
    guard case .allocate(let allocate) = reply.result(0).reply,
      case .admit(let admit) = reply.result(1).reply,
      case .freeBlocks(let free) = reply.result(2).reply,
      case .append(let tokens) = reply.result(3).reply,
      case .fork(let children) = reply.result(4).reply,
      case .preempt(_, let preempted) = reply.result(5).reply,
      case .freeSequences(let freed, let sequences) = reply.result(6).reply
    else {
      Issue.record("a reply is of the wrong kind")
      return
    }
    #expect(Array(allocate.blockIDs) == [1, 2])
    #expect(allocate.revision == 1)
    #expect(Array(admit.newBlockIDs) == [3, 4])
    #expect(admit.scheduledTokens == 20)
    #expect(free.freedBlocks == 1)
    #expect(tokens == 23)
    #expect(children == 1)
    #expect(preempted == 1)
    #expect((freed, sequences) == (2, 2))
  }

  @Test("two 80-token requests fit exactly, the next token preempts the second")
  func vLLM() throws {
    let filled = try harness.step(
      StepFields(operations: [Self.admit(1, 80), Self.admit(2, 80)]))
    #expect(filled.availableBlocks == 0)
    var decode = StepFields(operations: [.init(.decode(DecodeFields(sequenceIDs: [1, 2])))])
    decode.onRefusal = .preempt
    let reply = try harness.step(decode)
    guard case .decode(let result) = reply.result(0).reply else {
      Issue.record("no decode result")
      return
    }
    #expect(Array(result.preemptedSequenceIDs) == [2])
    #expect(Array(result.newBlockCounts) == [1, 0])
    // The tail of the preempted table is freed first and so reused first.
    #expect(Array(result.newBlockIDs) == [10])
    #expect(reply.availableBlocks == 4)
  }

  @Test("counts of new blocks are left out when none was needed")
  func quietDecode() throws {
    _ = try harness.step(StepFields(operations: [Self.admit(1, 20)]))
    let (_, bytes) = harness.call(
      "Scheduler/Step",
      harness.packed {
        $0.stepRequest(StepFields(operations: [.init(.decode(DecodeFields(sequenceIDs: [1])))]))
      })
    // revision 2, results { decode {} }, available 8
    #expect(bytes == [8, 2, 0x22, 2, 0x12, 0, 40, 8])
  }

  @Test("refusals stand beside the operations that hold")
  func refusals() throws {
    let reply = try harness.step(
      StepFields(operations: [
        .init(.allocate(count: 11)), .init(.allocate(count: 10)), .init(.allocate(count: 1)),
        .init(.decode(DecodeFields(sequenceIDs: [9]))),
      ]))
    #expect(reply.result(0).refusal?.reason == 2)
    #expect(reply.result(0).refusal?.detail == "needs 11 blocks, more than the pool's 10")
    #expect(reply.result(1).refusal == nil)
    #expect(
      reply.result(2).refusal == RefusalFields(reason: 1, needed: 1, available: 0))
    guard case .decode(let decode) = reply.result(3).reply else {
      Issue.record("no decode result")
      return
    }
    #expect(Array(decode.refused) == [0])
    #expect(decode.firstRefusal?.reason == 8)
    #expect(decode.firstRefusal?.sequenceID == 9)
  }

  @Test("stop leaves the rest unattempted")
  func stop() throws {
    var step = StepFields(operations: [.init(.allocate(count: 11)), .init(.allocate(count: 1))])
    step.onRefusal = .stop
    let reply = try harness.step(step)
    #expect(reply.result(1).refusal?.reason == 16)
    #expect(reply.availableBlocks == 10)
  }

  @Test("abort undoes everything and is the status of the call")
  func abort() throws {
    let before = harness.pool.stateDigest()
    var step = StepFields(operations: [.init(.allocate(count: 4)), .init(.allocate(count: 7))])
    step.onRefusal = .abort
    let (status, reply) = harness.call("Scheduler/Step", harness.packed { $0.stepRequest(step) })
    #expect(status.code == .resourceExhausted)
    #expect(status.trailer("quire-needed") == "7")
    #expect(reply.isEmpty)
    #expect(harness.pool.stateDigest() == before)
  }

  @Test(
    "a step that is aborted names the operation that did it, and the field",
    arguments: [
      (
        OperationFields.allocate(count: 7), "ops[1].allocate",
        "ops[1].allocate: needs 7 blocks, 6 are available now"
      ),
      (
        .allocate(count: 0), "ops[1].allocate.count",
        "ops[1].allocate.count must be at least 1"
      ),
      (
        .freeBlocks([]), "ops[1].free_blocks.block_ids",
        "ops[1].free_blocks.block_ids must name at least one block"
      ),
      (
        .preempt([5]), "ops[1].preempt", "ops[1].preempt: there is no sequence 5"
      ),
    ])
  func abortNames(operation: OperationFields, field: String, message: String) throws {
    var step = StepFields(operations: [.init(.allocate(count: 4)), .init(operation)])
    step.onRefusal = .abort
    let request = harness.packed { $0.stepRequest(step) }
    #expect(harness.call("Scheduler/Step", request).status.message == message)
    let (stream, responses) = stream()
    request.withUnsafeBytes { stream.received($0) }
    let reply = try harness.decode(StepReplyMessage.self, responses.messages[0])
    #expect(reply.refusal?.field == field)
  }

  @Test("an extension that preempts says whom, also when it is refused in the end")
  func extendPreempts() throws {
    _ = try harness.step(StepFields(operations: [Self.admit(1, 80), Self.admit(2, 80)]))
    var step = StepFields(operations: [
      .init(.extend(ExtendFields(sequenceID: 1, appendTokens: 1)))
    ])
    step.onRefusal = .preempt
    let first = try harness.step(step).result(0)
    #expect(first.refusal == nil)
    guard case .extend(let extended) = first.reply else {
      Issue.record("no reply to the extension")
      return
    }
    #expect(Array(extended.preemptedSequenceIDs) == [2])
    #expect(Array(extended.newBlockIDs) == [10])
    // 81 tokens hold 6 blocks; the other 4 go to a raw holder, so that 1 can only preempt itself.
    _ = try harness.step(StepFields(operations: [.init(.allocate(count: 4))]))
    step.operations = [.init(.extend(ExtendFields(sequenceID: 1, appendTokens: 16)))]
    let second = try harness.step(step).result(0)
    #expect(second.refusal?.reason == 1)
    guard case .extend(let refused) = second.reply else {
      Issue.record("no reply beside the refusal")
      return
    }
    #expect(Array(refused.preemptedSequenceIDs) == [1])
    #expect(Array(refused.newBlockIDs) == [])
  }

  @Test("an operation that is none is named by its index, and nothing is applied")
  func emptyOperation() {
    let before = harness.pool.stateDigest()
    // ops { allocate { count 1 } }, ops {}
    let (status, _) = harness.call(
      "Scheduler/Step", [0x12, 5, 0xA2, 1, 2, 8, 1, 0x12, 0])
    #expect(status.code == .invalidArgument)
    #expect(status.message == "ops[1] names no operation")
    #expect(harness.pool.stateDigest() == before)
  }

  @Test("more operations than the limit are refused with it")
  func tooManyOperations() {
    let item: [UInt8] = [0x12, 5, 0xA2, 1, 2, 8, 1]
    let (status, _) = harness.call(
      "Scheduler/Step", Array(repeating: item, count: 65_537).flatMap { $0 })
    #expect(status.code == .invalidArgument)
    #expect(status.message == "ops has 65537 operations, more than 65536")
    #expect(harness.pool.revision == 0)
  }

  @Test("columns of unequal length are invalid")
  func columns() throws {
    _ = try harness.step(StepFields(operations: [Self.admit(1, 4)]))
    var decode = DecodeFields(sequenceIDs: [1])
    decode.appendCounts = [1, 1]
    let reply = try harness.step(StepFields(operations: [.init(.decode(decode))]))
    #expect(reply.result(0).refusal?.field == "decode.append_counts")
    #expect(reply.result(0).refusal?.detail == "must be empty or one for each of 1 sequences")
  }

  @Test("stats come along when asked for")
  func stats() throws {
    var step = StepFields(operations: [.init(.allocate(count: 4))])
    step.wantsStats = true
    let stats = try harness.step(step).stats
    #expect(stats?.capacityBlocks == 10)
    #expect(stats?.activeBlocks == 4)
    #expect(stats?.freeBlocks == 6)
    #expect(stats?.freeRuns == nil)
  }

  // MARK: Run

  @Test("a stream answers one reply per request, refusals too, and ends with its client")
  func run() throws {
    let (stream, responses) = stream()
    var moved = StepFields(
      call: CallFields(ifRevision: 9), operations: [.init(.allocate(count: 1))])
    moved.wantsStats = true
    let steps = [
      StepFields(operations: [.init(.allocate(count: 2))]),
      StepFields(call: CallFields(pool: "other")),
      moved,
      StepFields(operations: [.init(.allocate(count: 1))]),
    ]
    for step in steps {
      harness.packed { $0.stepRequest(step) }.withUnsafeBytes { stream.received($0) }
    }
    #expect(responses.messages.count == 4)
    #expect(responses.status == nil)
    #expect(try harness.decode(StepReplyMessage.self, responses.messages[0]).revision == 1)
    let unknown = try harness.decode(StepReplyMessage.self, responses.messages[1])
    #expect(unknown.refusal?.field == "call.pool")
    let later = try harness.decode(StepReplyMessage.self, responses.messages[2])
    #expect(later.refusal?.reason == 14)
    #expect(later.resultCount == 0)
    #expect(later.revision == 1)
    #expect(later.stats?.activeBlocks == 2)
    #expect(try harness.decode(StepReplyMessage.self, responses.messages[3]).revision == 2)
    stream.halfClosed()
    #expect(responses.status == .ok)
  }

  @Test("a malformed request ends the stream")
  func malformed() {
    let (stream, responses) = stream()
    [UInt8](arrayLiteral: 0xFF).withUnsafeBytes { stream.received($0) }
    #expect(responses.status?.code == .internal)
    [UInt8]().withUnsafeBytes { stream.received($0) }
    stream.halfClosed()
    #expect(responses.messages.isEmpty)
  }

  @Test("a client that does not read is cut off before the replies pile up")
  func unread() {
    let (stream, responses) = stream()
    responses.queuedBytes = (16 << 20) + 1
    [UInt8]().withUnsafeBytes { stream.received($0) }
    #expect(responses.status?.code == .unavailable)
    #expect(responses.messages.isEmpty)
  }

  @Test("streams that are not served yet end at once and say so")
  func unservedStreams() {
    guard
      case .streaming(_, let factory)? = harness.table.methods["/quire.v1.Sessions/KeepAlive"]
    else {
      Issue.record("not registered")
      return
    }
    let responses = RecordedStream()
    _ = factory(responses, ServiceHarness.Context())
    #expect(responses.status?.code == .unimplemented)
    #expect(responses.status?.message == "quire.v1.Sessions/KeepAlive is not served yet")
  }
}

@Suite("Analyzer")
struct AnalyzerTests {
  @Test("the partition is exact, and a scan adds runs and slots when asked")
  func stats() throws {
    let harness = ServiceHarness(blocks: 10, blockSize: 4)
    _ = try harness.allocate(3)  // 1, 2, 3
    harness.succeed(
      "Sequences/Admit",
      .admit(AdmitFields(sequenceID: 1, add: AddFields(sequenceID: 1, tokenCount: 6))))  // 4, 5
    harness.succeed("BlockPool/Fork", .forkBlocks([1]))
    harness.succeed("BlockPool/Free", .freeBlocks([2]))
    let stats = try harness.stats(runs: true, slots: true)
    #expect(stats.capacityBlocks == 10)
    #expect((stats.freeBlocks, stats.activeBlocks, stats.sharedBlocks) == (6, 3, 1))
    #expect((stats.cachedBlocks, stats.pinnedBlocks, stats.availableBlocks) == (0, 0, 6))
    #expect(stats.freeRuns == FreeRunsFields(count: 2, largest: 5, tenLargest: [5, 1]))
    // 6 free blocks, the largest run 5: 1 - 5/6. 2 blocks of 4 slots hold 6 tokens: 1 - 6/8.
    #expect(abs(stats.externalFragmentation - 1.0 / 6) < 1e-12)
    #expect(stats.internalFragmentation == 0.25)
    #expect((stats.sequenceSlotsHeld, stats.sequenceSlotsUsed, stats.rawBlocks) == (8, 6, 2))
    #expect(stats.highWatermarkBlocks == 5)
    #expect((stats.allocateCalls, stats.allocatedBlocks) == (2, 5))
    let cheap = try harness.stats()
    #expect(cheap.freeRuns == nil)
    #expect(cheap.sequenceSlotsHeld == 0)
  }
}
