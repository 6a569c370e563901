import Glibc
import Testing
import Workloads

/// The folder of the published traces, where there is one.
private let traces = getenv("QUIRE_TRACES").map { String(cString: $0) }

@Suite("published traces, where QUIRE_TRACES names their folder", .enabled(if: traces != nil))
struct RealTraceTests {
  @Test("Azure's conversations of 2023 read to the last of 19,366 requests over 3,502 s")
  func azure() throws {
    let plan = try RequestPlan.trace(path: "\(traces!)/azure2023_conv.csv")
    #expect(plan.requests.count == 19_366)
    #expect(plan.spanNanoseconds / 1_000_000_000 == 3_501)
    #expect(plan.requests[0].inputTokens == 374)
    #expect(plan.requests.last?.outputTokens == 183)
  }

  @Test("Mooncake's conversations read to the last of 12,031 requests, and lose their 3 s ticks")
  func mooncake() throws {
    var plan = try RequestPlan.trace(path: "\(traces!)/mooncake_conversation_trace.jsonl")
    #expect(plan.requests.count == 12_031)
    #expect(plan.hashIDs.count == 288_500)
    #expect(Set(plan.hashIDs).count == 182_790)
    #expect(Set(plan.requests.map(\.arrivalNanoseconds)).count == 1_180)
    #expect(plan.dequantise(seed: 42) == 3_000_000_000)
    #expect(Set(plan.requests.map(\.arrivalNanoseconds)).count > 12_000)
  }

  @Test(
    "the head of each trace plays through a roomy and a tight pool; only the tight one preempts",
    arguments: [
      ("azure2023_conv.csv", 65_536, false), ("azure2023_conv.csv", 2_048, true),
      ("mooncake_conversation_trace.jsonl", 65_536, false),
      ("mooncake_conversation_trace.jsonl", 12_288, true),
    ])
  func plays(file: String, blocks: Int, isTight: Bool) throws {
    // QUIRE_TRACE_REQUESTS=20000 plays them whole; that is for a release build.
    let limit = getenv("QUIRE_TRACE_REQUESTS").flatMap { Int(String(cString: $0)) } ?? 600
    var plan = try RequestPlan.trace(path: "\(traces!)/\(file)", limit: limit)
    plan.dequantise(seed: 42)
    var model = SchedulerModel(plan, .init(blocks: UInt32(blocks), blockSize: 16, speed: 60))
    var pool = FakePool(blocks: blocks, blockSize: 16)
    play(&model, &pool, keepingSteps: false)
    let metrics = model.metrics
    #expect(metrics.errors == 0, "\(metrics.errorSamples)")
    #expect(metrics.finished == plan.requests.count)
    #expect(metrics.neverFit == 0)
    #expect((metrics.preemptions > 0) == isTight)
    #expect(pool.freeBlocks == blocks)
    #expect(pool.sequenceCount == 0)
  }
}
