import Analysis
import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("Analyzer: reports")
struct ReportServiceTests {
  private func report(
    _ harness: ServiceHarness, format: UInt32 = 0, since: UInt64 = 0
  ) throws -> ReportMessage {
    let (status, reply) = harness.call(
      "Analyzer/GetReport",
      harness.packed {
        $0.getReportRequest(call: CallFields(), format: format, sinceMilliseconds: since)
      })
    #expect(status == .ok, "\(status.message)")
    return try harness.decode(ReportMessage.self, reply)
  }

  @Test(
    "each format says what it is, and text is what nobody asks for otherwise",
    arguments: [
      (0, "text/plain; charset=utf-8", "Report on pool 'default'"),
      (1, "text/plain; charset=utf-8", "Report on pool 'default'"),
      (2, "application/json", "{\"report\":\"quire-fragmentation-report\""),
      (3, "text/csv; charset=utf-8; header=present", "section,item,measure,value,unit"),
      (4, "text/html; charset=utf-8", "<!DOCTYPE html>"),
    ] as [(UInt32, String, String)])
  func formats(format: UInt32, type: String, beginning: String) throws {
    let harness = ServiceHarness()
    _ = try harness.allocate(3)
    let report = try report(harness, format: format)
    #expect(report.revision == 1)
    #expect(report.contentType == type)
    #expect(report.content.hasPrefix(beginning))
  }

  @Test("a report of a pool that nobody samples is one look, and says how to have a history")
  func unsampled() throws {
    let harness = ServiceHarness()
    _ = try harness.allocate(3)
    let text = try report(harness).content
    #expect(text.contains("5 free, 0 cached, 3 active"))
    #expect(text.contains("Start quired with --sample-interval"))
  }

  @Test("a report changes nothing, and nothing in it needs more than what a look may see")
  func untouched() throws {
    let harness = ServiceHarness()
    _ = try harness.allocate(3)
    let before = harness.pool.stateDigest()
    for format in 0...4 as ClosedRange<UInt32> { _ = try report(harness, format: format) }
    #expect(harness.pool.stateDigest() == before)
    #expect(harness.pool.revision == 1)
  }

  @Test("what was sampled is in it, also when the sampling was stopped and goes on")
  func sampled() throws {
    let harness = ServiceHarness(blocks: 100)
    harness.clock.now = 1_700_000_000_000
    harness.service.startSampling(intervalMilliseconds: 1_000)
    let analyses = try #require(harness.service.analyses)
    for _ in 0..<5 {
      _ = try harness.allocate(1)
      analyses.sample()
      harness.clock.now += 1_000
    }
    #expect(try report(harness).content.contains("Over time: 6 samples in 5.0 s"))
    #expect(try report(harness, since: 1_700_000_003_000).content.contains("3 samples in 2.0 s"))
    // Looks need no log: nobody is told of commands.
    #expect(harness.pool.touched != nil && harness.pool.changeLog == nil)

    harness.service.stopSampling()
    // Commands pay nothing any more.
    #expect(harness.pool.touched == nil)
    _ = try harness.allocate(2)
    analyses.sample()
    #expect(try report(harness).content.contains("Over time: 6 samples in 5.0 s"))
    #expect(try report(harness).content.contains("93 free, 0 cached, 7 active"))

    harness.service.startSampling(intervalMilliseconds: 1_000)
    #expect(analyses.all[0].tracker.disagreement(with: harness.pool) == nil)
    _ = try harness.allocate(1)
    analyses.sample()
    harness.clock.now += 1_000
    #expect(try report(harness).content.contains("Over time: 7 samples in 6.0 s"))
    #expect(try harness.stats(runs: true).freeBlocks == 92)
  }

  @Test("a format that nobody knows is refused")
  func unknown() {
    let harness = ServiceHarness()
    let (status, _) = harness.call(
      "Analyzer/GetReport", harness.packed { $0.getReportRequest(call: CallFields(), format: 9) })
    #expect(status.code == .invalidArgument)
    #expect(status.message.contains("format"))
  }
}
