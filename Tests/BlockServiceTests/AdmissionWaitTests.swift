import BlockMessages
@testable import BlockService
import GRPCWire
import Metrics
import Testing

@Suite("Waits of sequences")
struct AdmissionWaitTests {
  let harness = ServiceHarness(blocks: 8, blockSize: 4)

  init() { harness.service.measureWaits() }

  /// Lines of the exposition of one of the families, without its name.
  private func lines(_ family: String) -> [Substring] {
    var text = MetricsText(.prometheus)
    PoolMetrics(harness.registry).write(to: &text)
    let name = "quire_\(family)_seconds_"
    return String(decoding: text.finished(), as: UTF8.self).split(separator: "\n")
      .filter { $0.hasPrefix(name) }.map { $0.dropFirst(name.count) }
  }

  private func total(_ family: String) -> [Substring] {
    lines(family).filter { !$0.hasPrefix("bucket") }
  }

  private func add(_ id: UInt64, _ tokens: UInt32, at milliseconds: UInt64) {
    harness.clock.now = milliseconds
    harness.succeed("Sequences/Add", .add(AddFields(sequenceID: id, tokenCount: tokens)))
  }

  private func admit(_ id: UInt64, at milliseconds: UInt64) {
    harness.clock.now = milliseconds
    harness.succeed("Sequences/Admit", .admit(AdmitFields(sequenceID: id)))
  }

  private func refuse(_ id: UInt64, at milliseconds: UInt64) {
    harness.clock.now = milliseconds
    _ = harness.refuse("Sequences/Admit", .admit(AdmitFields(sequenceID: id)))
  }

  @Test("the queue is all of the waiting, the wait for room what follows the first refusal")
  func both() {
    add(1, 8, at: 1_000)
    admit(1, at: 1_500)
    add(2, 32, at: 2_000)
    refuse(2, at: 3_000)
    refuse(2, at: 3_500)
    harness.succeed("Sequences/Free", .freeSequences([1]))
    admit(2, at: 5_000)
    // 0.5 s and 3 s; 0 s and 2 s.
    #expect(
      total("request_queue_time") == ["sum{pool=\"default\"} 3.5", "count{pool=\"default\"} 2"])
    #expect(total("admission_wait") == ["sum{pool=\"default\"} 2", "count{pool=\"default\"} 2"])
    #expect(lines("request_queue_time").contains("bucket{pool=\"default\",le=\"0.5\"} 1"))
    #expect(lines("admission_wait").contains("bucket{pool=\"default\",le=\"0.001\"} 1"))
    #expect(lines("admission_wait").contains("bucket{pool=\"default\",le=\"2.0\"} 2"))
  }

  @Test("who is added and admitted in one waits only if it was refused; its id says who it is")
  func addAndAdmit() {
    let admit = AdmitFields(sequenceID: 1, add: AddFields(sequenceID: 1, tokenCount: 12))
    harness.clock.now = 100
    harness.succeed("BlockPool/Allocate", .allocate(count: 6))
    _ = harness.refuse("Sequences/Admit", .admit(admit))
    harness.clock.now = 350
    harness.succeed("BlockPool/Free", .freeBlocks([1, 2, 3]))
    harness.succeed("Sequences/Admit", .admit(admit))
    #expect(total("request_queue_time").first == "sum{pool=\"default\"} 0")
    #expect(total("admission_wait").first == "sum{pool=\"default\"} 0.25")
  }

  @Test("after a preemption the wait for room counts again, and the queue does not")
  func preempted() {
    add(1, 8, at: 0)
    admit(1, at: 10)
    harness.succeed("Sequences/Preempt", .preempt([1]))
    harness.succeed("BlockPool/Allocate", .allocate(count: 8))
    refuse(1, at: 1_000)
    harness.succeed("BlockPool/Free", .freeBlocks(Array(1...8)))
    admit(1, at: 4_000)
    #expect(
      total("request_queue_time") == ["sum{pool=\"default\"} 0.01", "count{pool=\"default\"} 1"])
    #expect(total("admission_wait") == ["sum{pool=\"default\"} 3", "count{pool=\"default\"} 2"])
  }

  @Test("dry runs, sequences that never fit and those that are freed leave nothing behind")
  func nothing() {
    add(1, 8, at: 0)
    harness.succeed(
      "Sequences/Admit", .admit(AdmitFields(sequenceID: 1)), call: CallFields(isDryRun: true))
    harness.succeed("BlockPool/Allocate", .allocate(count: 8))
    let dry = harness.call(
      "Sequences/Admit",
      harness.packed {
        $0.request(.admit(AdmitFields(sequenceID: 1)), call: CallFields(isDryRun: true))
      })
    #expect(dry.status.code == .resourceExhausted)
    harness.succeed("BlockPool/Free", .freeBlocks(Array(1...8)))
    admit(1, at: 2_000)
    #expect(total("admission_wait") == ["sum{pool=\"default\"} 0", "count{pool=\"default\"} 1"])
    // Refused at 3 s and freed: who comes under that id at 9 s has not waited.
    harness.succeed("BlockPool/Allocate", .allocate(count: 6))
    add(2, 4, at: 3_000)
    refuse(2, at: 3_000)
    harness.succeed("Sequences/Free", .freeSequences([2]))
    harness.succeed("Sequences/Free", .freeSequences([1]))
    add(2, 4, at: 9_000)
    admit(2, at: 9_000)
    #expect(total("admission_wait") == ["sum{pool=\"default\"} 0", "count{pool=\"default\"} 2"])
  }

  @Test("steps count too, and a step that is undone for an admission says who waits")
  func steps() throws {
    add(1, 32, at: 0)
    harness.succeed("BlockPool/Allocate", .allocate(count: 1))
    harness.clock.now = 1_000
    var step = StepFields(operations: [
      .init(.add(AddFields(sequenceID: 2, tokenCount: 4))),
      .init(.admit(AdmitFields(sequenceID: 1))),
    ])
    step.onRefusal = .abort
    let (status, _) = harness.call("Scheduler/Step", harness.packed { $0.stepRequest(step) })
    #expect(status.code == .resourceExhausted)
    harness.clock.now = 2_500
    let reply = try harness.step(
      StepFields(operations: [
        .init(.freeBlocks([1])), .init(.admit(AdmitFields(sequenceID: 1))),
      ]))
    #expect(reply.resultCount == 2)
    #expect(total("admission_wait") == ["sum{pool=\"default\"} 1.5", "count{pool=\"default\"} 1"])
    #expect(
      total("request_queue_time") == ["sum{pool=\"default\"} 2.5", "count{pool=\"default\"} 1"])
  }

  @Test("an admission counts as the first, though the same step takes the blocks away again")
  func preemptedAtOnce() throws {
    add(1, 8, at: 0)
    harness.clock.now = 500
    func step(_ operations: [OperationFields]) throws {
      let reply = try harness.step(StepFields(operations: operations.map { .init($0) }))
      #expect(reply.resultCount == operations.count)
    }
    let admit = OperationFields.admit(AdmitFields(sequenceID: 1))
    try step([admit, .preempt([1])])
    #expect(
      total("request_queue_time") == ["sum{pool=\"default\"} 0.5", "count{pool=\"default\"} 1"])
    // It was admitted before, and preempted before and behind.
    harness.clock.now = 9_000
    try step([admit, .preempt([1]), admit])
    #expect(total("request_queue_time").last == "count{pool=\"default\"} 1")
    // Both within one step: the first of the two counts.
    add(2, 4, at: 10_000)
    harness.clock.now = 11_000
    let other = OperationFields.admit(AdmitFields(sequenceID: 2))
    try step([other, .preempt([2]), other])
    #expect(
      total("request_queue_time") == ["sum{pool=\"default\"} 1.5", "count{pool=\"default\"} 2"])
  }

  @Test("who is added under an id that was refused with its sequence has not waited before")
  func idUsedAgain() {
    harness.clock.now = 0
    harness.succeed("BlockPool/Allocate", .allocate(count: 6))
    _ = harness.refuse(
      "Sequences/Admit",
      .admit(AdmitFields(sequenceID: 1, add: AddFields(sequenceID: 1, tokenCount: 12))))
    add(1, 4, at: 3_600_000)
    admit(1, at: 3_600_500)
    #expect(total("admission_wait") == ["sum{pool=\"default\"} 0", "count{pool=\"default\"} 1"])
    #expect(total("request_queue_time").first == "sum{pool=\"default\"} 0.5")
  }

  @Test("only calls that add, fork, admit and free sequences look at the clock for it")
  func paid() throws {
    func reads(_ method: String, _ operation: OperationFields) -> Int {
      let before = harness.clock.reads
      harness.succeed(method, operation)
      return harness.clock.reads - before
    }
    // Once as the command's own clock, and once for this.
    #expect(reads("Sequences/Add", .add(AddFields(sequenceID: 1, tokenCount: 4))) == 2)
    #expect(reads("Sequences/Admit", .admit(AdmitFields(sequenceID: 1))) == 2)
    #expect(reads("Sequences/Append", .append(sequence: 1, tokens: 1)) == 1)
    #expect(
      reads("Sequences/Extend", .extend(ExtendFields(sequenceID: 1, appendTokens: 1))) == 1)
    #expect(reads("Sequences/Free", .freeSequences([1])) == 2)
    let ids = try harness.allocate(1)
    #expect(reads("BlockPool/Fork", .forkBlocks(ids)) == 1)
  }

  @Test("what was there before the measuring, or before a reset, is not known, and left out")
  func unknown() {
    let harness = ServiceHarness(blocks: 8, blockSize: 4)
    harness.clock.now = 5
    harness.succeed("Sequences/Add", .add(AddFields(sequenceID: 1, tokenCount: 4)))
    harness.service.measureWaits()
    harness.clock.now = 1_000
    harness.succeed("Sequences/Admit", .admit(AdmitFields(sequenceID: 1)))
    #expect(harness.registry.pools[0].waits?.queue.total == 0)
    #expect(harness.registry.pools[0].waits?.admission.total == 1)
    _ = harness.call(
      "Pools/ResetPool", harness.packed { $0.poolRequest(call: CallFields(), flag: true) })
    harness.succeed("Sequences/Add", .add(AddFields(sequenceID: 1, tokenCount: 4)))
    harness.clock.now = 1_020
    harness.succeed("Sequences/Admit", .admit(AdmitFields(sequenceID: 1)))
    #expect(harness.registry.pools[0].waits?.queue.total == 1)
    #expect(harness.registry.pools[0].waits?.queue.sum == 20_000_000)
  }

  @Test("arrivals are known for the latest 65,536 milliseconds in which any came")
  func arrivals() {
    var times = ArrivalTimes(from: 10)
    #expect(times.time(of: 10) == nil)
    times.note(12, at: 100)
    times.note(12, at: 150)
    times.note(13, at: 200)
    #expect([10, 11, 12, 13, 14].map { times.time(of: $0) } == [nil, 100, 100, 200, nil])
    for i in 1...65_536 as ClosedRange<UInt64> { times.note(13 + 2 * i, at: 200 + i) }
    #expect(times.time(of: 13) == nil)
    #expect(times.time(of: 14) == 201)
    #expect(times.time(of: 15) == 201)
    #expect(times.time(of: 13 + 2 * 65_536) == 200 + 65_536)
  }

  @Test("ever new ids make it forget those that were refused before and not since")
  func forgetting() {
    func key(_ id: UInt64) -> RefusedAdmissions.Key { .init(session: 0, sequence: id) }
    var refused = RefusedAdmissions()
    refused.begin(key(1), at: 5)
    refused.begin(key(2), at: 6)
    for id in 3...32_769 as ClosedRange<UInt64> { refused.begin(key(id), at: 7) }
    // The first generation is full; 1 is asked for again.
    refused.begin(key(1), at: 8)
    for id in 40_000...80_000 as ClosedRange<UInt64> { refused.begin(key(id), at: 9) }
    #expect(refused.end(key(1)) == 5)
    #expect(refused.end(key(1)) == nil)
    #expect(refused.end(key(2)) == nil)
  }
}
