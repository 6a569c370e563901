import Testing
import Workloads

@Test("requests share the system prompt's block and nothing else")
func structure() {
  let plan = ChatSystemPrompt.plan(seed: 42, limit: 500)
  #expect(plan.requests.count == 500)
  var seen: Set<UInt64> = []
  for request in plan.requests {
    let ids = plan.hashIDs(of: request)
    #expect(ids.first == 0)
    #expect(ids.count == Int(request.inputTokens + 511) / 512)
    for id in ids.dropFirst() { #expect(seen.insert(id).inserted) }
    #expect(request.inputTokens >= 513)
  }
}

@Test("lengths and rate are those of the conversations they are fitted to")
func distribution() {
  let plan = ChatSystemPrompt.plan(seed: 1, durationSeconds: 2_000)
  // 5.5 a second for 2,000 s is 11,000, give or take three times its root.
  #expect(abs(plan.requests.count - 11_000) < 320)
  let count = plan.requests.count
  // Medians: exp(6.633) = 759.8 and exp(5.019) = 151.3.
  let input = plan.requests.map { Int($0.inputTokens) - 512 }.sorted()[count / 2]
  let output = plan.requests.map { Int($0.outputTokens) }.sorted()[count / 2]
  #expect(abs(input - 760) < 38)
  #expect(abs(output - 151) < 8)
  // 512 of 512 and 1,155, which is the mean of the conversations: what an endless cache has of prompts.
  let prompts = plan.requests.reduce(0.0) { $0 + Double($1.inputTokens) }
  #expect(abs(512 * Double(count) / prompts - 0.31) < 0.02)
  // exp(6.633 + 3.0902 x 0.985) = 15,948 and exp(5.019 + 3.0902 x 0.859) = 2,151: clipped there.
  #expect(plan.requests.map(\.inputTokens).max()! <= 512 + 15_960)
  #expect(plan.requests.map(\.outputTokens).max()! <= 2_155)
  #expect(plan.spanNanoseconds <= 2_000_000_000_000)
}

@Test("a longer plan begins with the shorter one: each session has a stream of its own")
func prefixes() {
  let short = ChatSystemPrompt.plan(seed: 5, limit: 50)
  let long = ChatSystemPrompt.plan(seed: 5, limit: 100)
  #expect(short.requests == Array(long.requests.prefix(50)))
}

@Test("a generated trace reads back as it was planned, to the millisecond")
func roundTrip() throws {
  let plan = ChatSystemPrompt.plan(seed: 3, limit: 40)
  let file = TemporaryFile(MooncakeWriter.text(of: plan))
  let read = try RequestPlan.trace(path: file.path)
  #expect(read.requests.map(\.inputTokens) == plan.requests.map(\.inputTokens))
  #expect(read.requests.map(\.outputTokens) == plan.requests.map(\.outputTokens))
  #expect(read.hashIDs == plan.hashIDs)
  let first = plan.requests[0].arrivalNanoseconds / 1_000_000
  #expect(
    read.requests.map { $0.arrivalNanoseconds / 1_000_000 + first }
      == plan.requests.map { $0.arrivalNanoseconds / 1_000_000 })
}
