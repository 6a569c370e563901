import BlockService
import GRPCWire
import Testing

@Suite("traces that calls wait for")
struct TraceReplaysTests {
  /// WhatIfRequest.trace (9): two arrivals at 0 (1), prompts of 80 tokens (2), answers of 3 (3).
  private static let request: [UInt8] = [
    0x4A, 12, 0x0A, 2, 0, 0, 0x12, 2, 80, 80, 0x1A, 2, 3, 3,
  ]

  private func begin(
    _ harness: ServiceHarness, from peer: String = "127.0.0.1:1"
  ) -> (RecordedStream, any RequestStream) {
    let answer = RecordedStream()
    let call = harness.stream("Analyzer/WhatIf", answer, peer: peer)
    Self.request.withUnsafeBytes { call.received($0) }
    return (answer, call)
  }

  @Test("what a call may have done is bounded, refused and repeated admissions included")
  func work() {
    // Ten blocks of 16: both are admitted with six blocks each at most, and one of them again.
    for (limit, isPlayed) in [(20, false), (1_000, true)] as [(UInt64, Bool)] {
      let harness = ServiceHarness(blocks: 10, blockSize: 16)
      harness.service.replayWork = limit
      let (answer, _) = begin(harness)
      #expect(answer.status == nil)
      harness.service.playTraces()
      #expect(answer.messages.count == (isPlayed ? 1 : 0))
      #expect(answer.status?.code == (isPlayed ? .ok : .invalidArgument))
      if !isPlayed {
        #expect(answer.status?.message.hasPrefix("trace takes more than 20 blocks") == true)
      }
    }
  }

  @Test(
    "four traces wait at most, one given up makes room, and who was too long lets the next play")
  func line() {
    let harness = ServiceHarness(blocks: 10, blockSize: 16)
    let calls = (0..<4).map { begin(harness, from: "127.0.0.1:\($0)") }
    #expect(calls.allSatisfy { $0.0.status == nil })
    #expect(begin(harness, from: "127.0.0.1:9").0.status?.code == .unavailable)
    calls[1].1.cancelled(Status(.cancelled))
    let (last, _) = begin(harness, from: "127.0.0.1:9")
    #expect(last.status == nil)
    harness.service.replayWork = 20
    harness.service.playTraces()
    #expect(calls[0].0.status?.code == .invalidArgument)
    harness.service.replayWork = 1_000
    for _ in 0..<3 { harness.service.playTraces() }
    #expect([calls[2].0, calls[3].0, last].allSatisfy { $0.status?.code == .ok })
  }

  @Test(
    "a connection has half of the line at most, and its place again when one of its traces is done")
  func share() {
    let harness = ServiceHarness(blocks: 10, blockSize: 16)
    let first = begin(harness)
    let second = begin(harness)
    let third = begin(harness).0
    #expect(third.status?.code == .unavailable)
    #expect(
      third.status?.message
        == "2 traces of this connection are being played already; try again when one is done")
    let other = begin(harness, from: "127.0.0.1:2")
    #expect(other.0.status == nil)
    harness.service.playTraces()
    #expect(first.0.status?.code == .ok)
    let fourth = begin(harness)
    #expect(fourth.0.status == nil)
    second.1.cancelled(Status(.cancelled))
    #expect(begin(harness).0.status == nil)
  }
}
