import Testing
import Workloads
import ToolSupport

private let second: UInt64 = 1_000_000_000

/// Requests at the given seconds, told apart by their input length.
private func plan(_ seconds: [UInt64]) -> RequestPlan {
  var plan = RequestPlan()
  for (index, at) in seconds.enumerated() {
    plan.append(
      arrivalNanoseconds: at * second, inputTokens: UInt32(index + 1), outputTokens: 1,
      hashIDs: [UInt64(index)])
  }
  return plan
}

@Test("dequantising spreads each instant's requests over its tick and keeps them in order")
func dequantise() {
  let original = plan([0, 0, 0, 0, 3, 3, 3, 6, 6, 30, 30, 33])
  var spread = original
  #expect(spread.dequantise(seed: 42) == 3 * second)
  for (before, after) in zip([0..<4, 4..<7, 7..<9, 9..<11, 11..<12], [0, 3, 6, 30, 33]) {
    let start = UInt64(after) * second
    for request in spread.requests[before] {
      #expect(request.arrivalNanoseconds >= start)
      // The long silence after second 6 is silence, not a long tick.
      #expect(request.arrivalNanoseconds < start + 3 * second)
    }
    // The same requests, in whichever order they now arrive, each with its own hash ids.
    #expect(Set(spread.requests[before].map(\.inputTokens)) == Set(before.map { UInt32($0 + 1) }))
  }
  for request in spread.requests {
    #expect(spread.hashIDs(of: request) == [UInt64(request.inputTokens - 1)])
  }
  let arrivals = spread.requests.map(\.arrivalNanoseconds)
  #expect(arrivals == arrivals.sorted())
  #expect(Set(arrivals).count == arrivals.count)
}

@Test("the same seed spreads alike, another seed does not")
func dequantiseSeed() {
  let original = plan([0, 0, 0, 3, 3, 6])
  let spread = ([1, 1, 2] as [UInt64]).map { seed in
    var copy = original
    copy.dequantise(seed: seed)
    return copy.digest
  }
  #expect(spread[0] == spread[1])
  #expect(spread[0] != spread[2])
}

@Test("a plan whose instants all differ has nothing to dequantise")
func nothingToDequantise() {
  let original = plan([0, 1, 5])
  var copy = original
  #expect(copy.dequantise(seed: 42) == nil)
  #expect(copy == original)
}

@Test("a run that would last over ten years is refused by its speed")
func tooLong() throws {
  var decade = RequestPlan()
  decade.append(arrivalNanoseconds: 315_360_000 * second, inputTokens: 1, outputTokens: 1)
  try decade.check(speed: 1)
  #expect(
    throws: UsageError(
      "--speed is 0.001; expected one at which the last request, 315360000.0 s after the first, "
        + "arrives within ten years")
  ) { try decade.check(speed: 0.001) }
}

@Test("the digest is FNV-1a over arrival, lengths and ids, eight bytes each, low byte first")
func digest() {
  var plan = RequestPlan()
  #expect(plan.digest == 0xCBF2_9CE4_8422_2325)  // FNV-1a of nothing.
  plan.append(arrivalNanoseconds: 0x41, inputTokens: 1, outputTokens: 2, hashIDs: [3])
  var bytes: [UInt8] = []
  for value: UInt8 in [0x41, 1, 2, 1, 3] { bytes += [value, 0, 0, 0, 0, 0, 0, 0] }
  var expected: UInt64 = 14_695_981_039_346_656_037
  for byte in bytes { expected = (expected ^ UInt64(byte)) &* 1_099_511_628_211 }
  #expect(plan.digest == expected)
}
