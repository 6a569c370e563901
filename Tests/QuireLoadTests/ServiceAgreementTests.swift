import BlockMessages
import BlockService
import GRPCWire
import Testing
import Workloads
import quire_load

/// The service without a network: requests go in as bytes, replies come out as bytes.
private final class DirectService: ReplyWriter, CallContext {
  private let table = ServiceTable()
  private var reply: UnsafeMutableRawBufferPointer = .allocate(byteCount: 64, alignment: 16)
  private var replyCount = 0

  let path = ""
  let deadlineNanoseconds: UInt64? = nil
  let peer = "test"
  func metadata(_ name: String) -> [[UInt8]] { [] }

  init() { QuireService(pools: PoolRegistry()).register(in: table) }
  deinit { reply.deallocate() }

  func message(byteCount: Int) -> UnsafeMutableRawPointer {
    if byteCount > reply.count {
      reply.deallocate()
      reply = .allocate(byteCount: byteCount * 2, alignment: 16)
    }
    replyCount = byteCount
    return reply.baseAddress!
  }

  /// The reply is valid until the next call.
  func call(_ method: String, _ request: UnsafeRawBufferPointer) -> (Status, UnsafeRawBufferPointer)
  {
    guard case .unary(let handler) = table.methods["/quire.v1.\(method)"] else {
      return (Status(.unimplemented), UnsafeRawBufferPointer(start: nil, count: 0))
    }
    replyCount = 0
    let status = handler(request, self, self) ?? .ok
    return (status, UnsafeRawBufferPointer(rebasing: reply[..<replyCount]))
  }

  /// - Parameter hash: `HashAlgorithm`; 2: of 16 bytes, else of 32.
  func createPool(
    blocks: UInt32, blockSize: UInt32, hash: UInt32 = 0, lookahead: UInt32 = 0
  ) -> Status {
    var packer = MessagePacker()
    let mark = packer.mark
    packer.uint32(16, lookahead)
    packer.uint32(10, hash)
    packer.uint32(2, blockSize)
    packer.uint32(1, blocks)
    packer.close(3, since: mark)
    return call("Pools/CreatePool", packer.bytes).0
  }

  func hashing() -> PoolHashing? {
    PoolCodec.request(pool: "").withUnsafeBytes {
      let (status, reply) = call("Pools/GetPool", $0)
      return status.code == .ok ? PoolCodec.read(reply) : nil
    }
  }

  func stats() -> PoolSnapshot? {
    StatsCodec.request(pool: "").withUnsafeBytes {
      let (status, reply) = call("Analyzer/GetStats", $0)
      return status.code == .ok ? StatsCodec.read(reply) : nil
    }
  }
}

/// Plays `plan` against the service with a clock that never runs late.
private func play(
  _ plan: RequestPlan, blocks: UInt32, blockSize: UInt32, cancellingAfter limit: Int = .max,
  isHashed: Bool = true, hash: UInt32 = 0, lookahead: UInt32 = 0
) throws -> (metrics: RunMetrics, leaks: LeakCheck) {
  let service = DirectService()
  #expect(
    service.createPool(blocks: blocks, blockSize: blockSize, hash: hash, lookahead: lookahead).code
      == .ok)
  let before = try #require(service.stats())
  var model = SchedulerModel(
    plan,
    .init(
      blocks: before.capacityBlocks, blockSize: before.blockSize, firstSequence: 1 << 40,
      hashing: isHashed ? try #require(service.hashing()) : .init()))
  var codec = StepCodec(pool: "")
  var step = StepPlan()
  var result = StepResult()
  var steps = 0
  while let due = model.nextInstant, model.failure == nil {
    if steps == limit { model.cancel(at: due) }
    steps += 1
    model.planStep(&step)
    let (status, reply) = service.call("Scheduler/Step", codec.request(for: step))
    try #require(status.code == .ok, "\(status.message)")
    let isRead = codec.read(reply, to: step, into: &result)
    try #require(isRead)
    model.apply(result, to: step, sent: due, received: due)
  }
  let after = try #require(service.stats())
  return (model.metrics, LeakCheck(before: before, after: after))
}

@Test("chat plays through a roomy and a tight pool of the real service")
func chat() throws {
  let plan = ChatSystemPrompt.plan(seed: 42, limit: 40)
  for (blocks, isTight) in [(16_384, false), (1_200, true)] as [(UInt32, Bool)] {
    let (metrics, leaks) = try play(plan, blocks: blocks, blockSize: 16)
    #expect(metrics.errors == 0, "\(metrics.errorSamples)")
    #expect(metrics.finished == 40)
    #expect((metrics.preemptions > 0) == isTight)
    #expect(leaks.isClean)
    #expect(leaks.after.freeBlocks + leaks.after.cachedBlocks == blocks)
  }
}

@Test("who shares a system prompt finds it: 512 tokens of each prompt but the first")
func systemPrompt() throws {
  let plan = ChatSystemPrompt.plan(seed: 42, limit: 40)
  let prompts = plan.requests.reduce(0) { $0 + UInt64($1.inputTokens) }
  let (metrics, leaks) = try play(plan, blocks: 16_384, blockSize: 16)
  #expect(metrics.errors == 0, "\(metrics.errorSamples)")
  #expect(metrics.lookedUpTokens == prompts)
  #expect(metrics.foundTokens == 39 * 512)
  #expect(leaks.isClean)
}

@Test("blocks that many have count once, in use and in slots")
func sharedOnce() throws {
  var plan = RequestPlan()
  for id in 1...10 as ClosedRange<UInt64> {
    plan.append(arrivalNanoseconds: 0, inputTokens: 1_024, outputTokens: 30, hashIDs: [0, id])
  }
  // 1,024 tokens and 29 are 66 blocks, of which 32 are everybody's.
  let (metrics, leaks) = try play(plan, blocks: 1_000, blockSize: 16)
  #expect(metrics.errors == 0, "\(metrics.errorSamples)")
  #expect(metrics.blockUsage.peak == Double(32 + 10 * 34) / 1_000)
  let slots: Double = 512 + 10 * (1_053 - 512)
  #expect(metrics.slotUsage.peak == slots / 16_000)
  #expect(leaks.isClean)
  let (counted, _) = try play(plan, blocks: 1_000, blockSize: 16, isHashed: false)
  #expect((counted.lookedUpTokens, counted.foundTokens) == (0, 0))
  #expect(counted.blockUsage.peak == 0.66)
}

@Test(
  "content that a trace names is found in blocks of any size, and by who was preempted",
  arguments: [16, 512, 48, 7] as [UInt32])
func sharedContent(blockSize: UInt32) throws {
  let (metrics, leaks) = try play(talks(), blocks: 8_192 / blockSize, blockSize: blockSize)
  #expect(metrics.errors == 0, "\(metrics.errorSamples)")
  #expect((metrics.finished, metrics.preemptions) == (12, 0))
  #expect(leaks.isClean)
  // Whole blocks of 512 and of 1,024 tokens, four times each.
  #expect(metrics.foundTokens == UInt64(4 * (512 / blockSize + 1_024 / blockSize) * blockSize))
}

/// Three turns of four talks; each turn has what the one before it had and 512 tokens more.
private func talks() -> RequestPlan {
  var plan = RequestPlan()
  for turn in 1...3 as ClosedRange<UInt64> {
    for talk in 0..<4 as Range<UInt64> {
      plan.append(
        arrivalNanoseconds: turn * 10_000_000_000, inputTokens: UInt32(turn) * 512,
        outputTokens: 30,
        hashIDs: (0..<turn).map { talk * 3 + $0 })
    }
  }
  return plan
}

@Test(
  "hashes of 16 bytes find the same; with a lookahead the last block of a prompt has none",
  arguments: [
    // Of the second turn 32 blocks, of the third 64, in each of four talks; or one less.
    (16, 2, 0, 6_144), (16, 2, 1, 6_016), (16, 0, 1, 6_016),
    // A block of 512 tokens needs 513, so the second turn finds nothing.
    (512, 2, 0, 6_144), (512, 2, 1, 2_048),
  ] as [(UInt32, UInt32, UInt32, UInt64)])
func kindsOfHashes(
  _ blockSize: UInt32, _ hash: UInt32, _ lookahead: UInt32, _ found: UInt64
) throws {
  let (metrics, leaks) = try play(
    talks(), blocks: 8_192 / blockSize, blockSize: blockSize, hash: hash, lookahead: lookahead)
  #expect(metrics.errors == 0, "\(metrics.errorSamples)")
  #expect((metrics.finished, metrics.preemptions) == (12, 0))
  #expect(metrics.foundTokens == found)
  #expect(leaks.isClean)
}

@Test("vLLM's smallest case against the real service: two fit exactly, then one is preempted")
func smallestCase() throws {
  var plan = RequestPlan()
  for _ in 0..<2 { plan.append(arrivalNanoseconds: 0, inputTokens: 80, outputTokens: 3) }
  let (metrics, leaks) = try play(plan, blocks: 10, blockSize: 16)
  #expect(metrics.errors == 0, "\(metrics.errorSamples)")
  #expect(metrics.preemptions == 1)
  #expect(metrics.steps == 6)
  #expect(leaks.isClean)
}

@Test("random loads never disagree with the real service", arguments: 1...10 as ClosedRange<UInt64>)
func randomLoads(seed: UInt64) throws {
  var random = RandomStream(seed: seed)
  var plan = RequestPlan()
  var at: UInt64 = 0
  for _ in 0..<120 {
    at += UInt64(random.exponential(mean: 50) * 1e6)
    // Some are larger than the pool from the start, and some outgrow it.
    plan.append(
      arrivalNanoseconds: at, inputTokens: UInt32(1 + random.next() % 100),
      outputTokens: UInt32(1 + random.next() % 90))
  }
  let (metrics, leaks) = try play(plan, blocks: 12, blockSize: 8)
  #expect(metrics.errors == 0, "\(metrics.errorSamples)")
  #expect(metrics.finished + metrics.neverFit == 120)
  #expect(metrics.preemptions > 0)
  #expect(metrics.neverFit > 0)
  #expect(leaks.isClean)
}

@Test("a run stopped half way leaves nothing behind", arguments: [1, 50, 200])
func stopped(steps: Int) throws {
  let plan = ChatSystemPrompt.plan(seed: 42, limit: 40)
  let (metrics, leaks) = try play(
    plan, blocks: 1_200, blockSize: 16, cancellingAfter: steps)
  #expect(metrics.errors == 0, "\(metrics.errorSamples)")
  #expect(metrics.finished + metrics.cancelled + metrics.neverFit == metrics.started)
  #expect(leaks.isClean)
}
