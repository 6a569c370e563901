import Testing

@testable import GRPCServer
@testable import HTTP2

/// On a clock of the test's own.
@Suite("conduct of a peer")
struct PeerConductTests {
  private static let second: UInt64 = 1_000_000_000

  @Test("empty and broken frames may come a thousand at once, and then a hundred a second")
  func uselessFrames() {
    var conduct = PeerConduct()
    func judge(_ count: UInt32, at seconds: UInt64) -> CutOff? {
      var counts = HTTP2Conduct()
      counts.uselessFrames = count
      let found = conduct.judge(
        &counts, at: PeerConductTests.second * seconds, ServerOptions())
      #expect(counts.uselessFrames == 0)
      return found
    }
    #expect(judge(1_000, at: 100) == nil)
    #expect(judge(500, at: 105) == nil)
    // A hundred a second for an hour: four hundred times what a connection once had for its life.
    for time in 106...3_706 as ClosedRange<UInt64> { #expect(judge(100, at: time) == nil) }
    #expect(judge(1, at: 3_706) == .flood)
  }

  @Test("frames that are ignored may come ten thousand at once, and then a thousand a second")
  func ignoredFrames() {
    var conduct = PeerConduct()
    func judge(_ count: Int, at seconds: UInt64) -> CutOff? {
      var counts = HTTP2Conduct()
      // Two of them can be frames that have come in part.
      counts.ignoredFrames = count + HTTP2Conduct.mostUnfinishedFrames
      return conduct.judge(&counts, at: PeerConductTests.second * seconds, ServerOptions())
    }
    #expect(judge(10_000, at: 100) == nil)
    #expect(judge(1_000, at: 101) == nil)
    #expect(judge(1, at: 101) == .ignoredFrames)
  }
}
