import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("Analyzer: watched stats")
struct WatchStatsTests {
  private let harness = ServiceHarness(blocks: 8, blockSize: 4)
  private let asked = Asked()

  /// What the service asked for.
  private final class Asked {
    /// The clock's time at which it wants to be called.
    var due: UInt64?
    /// Looks at the clock that measures costs: two for each message that is packed.
    var measured = 0
    /// Nanoseconds that a message takes.
    var cost: UInt64 = 0
  }

  init() {
    harness.clock.now = 10_300
    let (asked, clock) = (asked, harness.clock)
    harness.service.onWatch = { asked.due = clock.now + $0 }
    var time: UInt64 = 0
    harness.service.nanoseconds = {
      asked.measured += 1
      time += asked.cost
      return time
    }
  }

  private func watch(
    every interval: UInt32, runs: Bool = false, call: CallFields = CallFields()
  ) -> (call: any RequestStream, responses: RecordedStream) {
    let responses = RecordedStream()
    let stream = harness.stream("Analyzer/WatchStats", responses)
    let request = harness.packed {
      $0.watchStatsRequest(call: call, intervalMilliseconds: interval, includesRuns: runs)
    }
    request.withUnsafeBytes { stream.received($0) }
    return (stream, responses)
  }

  private func tick(at time: UInt64) {
    harness.clock.now = time
    harness.service.tickWatches()
  }

  private func active(_ responses: RecordedStream) throws -> [UInt32] {
    try responses.messages.map { try harness.decode(StatsMessage.self, $0).fields.activeBlocks }
  }

  @Test("come at once, and then at multiples of the interval, packed once for all")
  func together() throws {
    let first = watch(every: 1_000)
    #expect(asked.due == 11_000)
    harness.clock.now = 10_700
    let second = watch(every: 1_000)
    _ = try harness.allocate(3)
    tick(at: 11_000)
    #expect(asked.measured == 2)
    #expect(asked.due == 12_000)
    #expect(try active(first.responses) == [0, 3])
    #expect(try active(second.responses) == [0, 3])
    #expect(first.responses.messages[1] == second.responses.messages[1])
    // Others want other parts.
    let third = watch(every: 1_000, runs: true)
    tick(at: 12_000)
    #expect(asked.measured == 6)
    let last = try #require(third.responses.messages.last)
    #expect(try harness.decode(StatsMessage.self, last).fields.freeRuns?.largest == 5)
    #expect(first.responses.messages.count == 3)
  }

  @Test("a watcher that does not read misses some, and nothing waits for it")
  func slow() throws {
    let slow = watch(every: 100)
    slow.responses.queuedBytes = 1
    tick(at: 10_400)
    #expect(asked.measured == 2)
    #expect(slow.responses.messages.count == 1)
    slow.responses.queuedBytes = 0
    tick(at: 10_500)
    #expect(slow.responses.messages.count == 2)
  }

  @Test("looks that take long come less often: 3 ms at 1 % is one in 300 ms")
  func dear() {
    asked.cost = 3_000_000
    let dear = watch(every: 10)
    #expect(asked.due == 10_310)
    tick(at: 10_310)
    // 3 ms of work and 297 of rest, and then the next multiple of ten.
    #expect(asked.due == 10_610)
    #expect(dear.responses.messages.count == 2)
  }

  @Test("a watcher that goes leaves no feed behind")
  func going() {
    let one = watch(every: 100)
    let two = watch(every: 100)
    one.call.cancelled(Status(.cancelled))
    tick(at: 10_400)
    #expect(one.responses.messages.count == 1)
    #expect(two.responses.messages.count == 2)
    two.call.cancelled(Status(.cancelled))
    asked.due = nil
    tick(at: 10_500)
    #expect(asked.due == nil)
    #expect(one.call.isIdle)
  }

  @Test("a pool that is deleted ends its watchers with NOT_FOUND")
  func deleted() {
    let one = watch(every: 100)
    _ = harness.call(
      "Pools/DeletePool", harness.packed { $0.poolRequest(call: CallFields(), flag: false) })
    tick(at: 10_400)
    #expect(one.responses.status?.code == .notFound)
    #expect(one.responses.status?.message.contains("was deleted") == true)
    #expect(one.responses.messages.count == 1)
  }

  @Test("what cannot be watched is refused", arguments: [9, 3_600_001] as [UInt32])
  func refused(interval: UInt32) {
    let one = watch(every: interval)
    #expect(one.responses.status?.code == .invalidArgument)
    #expect(
      one.responses.status?.message == "interval_ms must be 0 or 10 to 3600000")
    let none = watch(every: 100, call: CallFields(pool: "none"))
    #expect(none.responses.status?.code == .notFound)
    #expect(asked.due == nil)
  }
}
