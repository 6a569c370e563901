import FoundationEssentials
import Testing
import Workloads

@Test("the trace that ships is what its generator writes, byte for byte")
func demoTrace() throws {
  let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
  let path = root.appending(path: "clients/load/Traces/demo.jsonl")
  let shipped = try String(decoding: Data(contentsOf: path), as: UTF8.self)
  let generated = MooncakeWriter.text(of: ChatSystemPrompt.plan(seed: 42, limit: 300))
  #expect(shipped == generated)
  let plan = try RequestPlan.trace(path: path.path)
  #expect(plan.requests.count == 300)
  // About a minute: 300 / 5.5 = 54.5 s, give or take three times its root.
  #expect((45_000_000_000...64_000_000_000).contains(plan.spanNanoseconds))
}

@Test("at ten times its speed the trace fits 16,384 blocks and preempts in 3,072")
func demoPools() {
  let plan = ChatSystemPrompt.plan(seed: 42, limit: 300)
  for (blocks, preempts) in [(16_384, false), (3_072, true)] {
    var model = SchedulerModel(plan, .init(blocks: UInt32(blocks), blockSize: 16, speed: 10))
    var pool = FakePool(blocks: blocks, blockSize: 16)
    play(&model, &pool, keepingSteps: false)
    #expect(model.metrics.finished == 300)
    #expect((model.metrics.preemptions > 0) == preempts)
    #expect(pool.freeBlocks == blocks)
  }
}
