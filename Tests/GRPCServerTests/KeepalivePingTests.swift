import Testing

@testable import GRPCServer

/// On a clock of the test's own: the answer may take 20 s, looked for every 5.
@Suite("keepalive ping")
struct KeepalivePingTests {
  private static let second: UInt64 = 1_000_000_000

  /// The seconds after which the client is given up; nil = not within an hour. `socket` says at each
  /// time how many bytes were written and delivered, and whether the socket is read.
  private func lost(
    before: Int, delivered: Int,
    _ socket: (_ time: Int) -> (written: Int, delivered: Int, isRead: Bool)
  ) -> Int? {
    var ping = KeepalivePing()
    ping.sent(before: before, delivered: delivered, at: KeepalivePingTests.second)
    for time in stride(from: 5, through: 3_600, by: 5) {
      let now = socket(time)
      if ping.isLost(
        written: now.written, delivered: now.delivered, isRead: now.isRead,
        at: KeepalivePingTests.second * UInt64(time + 1), limit: 20 * KeepalivePingTests.second)
      {
        return time
      }
    }
    return nil
  }

  @Test("a client that takes nothing is given up at the second look past the limit")
  func deadPeer() {
    #expect(lost(before: 1_000, delivered: 0) { _ in (1_017, 0, true) } == 25)
    #expect(lost(before: 1_000, delivered: 0) { _ in (1_000, 0, false) } == 25)
  }

  @Test("that the ping itself arrives is no sign of life, nor is what is sent after it")
  func hungPeer() {
    #expect(lost(before: 1_000, delivered: 1_000) { _ in (1_017, 1_017, true) } == 45)
    #expect(
      lost(before: 1_000, delivered: 1_000) { (1_017 + 100 * $0, 1_017 + 100 * $0, true) }! <= 50)
  }

  @Test("a client that takes what lies before the ping is waited for, and then for its answer")
  func slowReader() {
    // Ten bytes a second: the ping is there after 100 s.
    let found = lost(before: 1_000, delivered: 0) { (1_017, min(10 * $0, 1_017), true) }
    #expect((120...150).contains(try! #require(found)))
  }

  @Test("while the server does not read, whatever arrives is a sign of life")
  func unread() {
    #expect(lost(before: 1_000, delivered: 1_000) { (1_017 + $0, 1_017 + $0, false) } == nil)
  }

  @Test("what a few bytes take up in a Unix socket does not put off the end of who reads nothing")
  func deadPeerOfUnixSocket() {
    // Ten bytes are written each 5 s and take up 768.
    #expect(
      lost(before: 1_000, delivered: 0) { (1_017 + 2 * $0, 2 * $0 - 768 * $0 / 5, true) } == 25)
  }

  @Test("a slow reader of a Unix socket is waited for, whatever its unread bytes take up")
  func slowReaderOfUnixSocket() {
    // Each 5 s something is read, and every other time more is written than that.
    let found = lost(before: 100_000, delivered: 0) { time in
      (100_017, min(100 * time - time / 5 % 2 * 2_000, 100_017), true)
    }
    #expect((1_000...1_050).contains(try! #require(found)))
  }

  @Test("a ping that had to wait for room is looked for where it was written")
  func heldUpPing() {
    // Nothing can be written for 50 s, while a megabyte is taken; then the ping follows.
    let found = lost(before: 1_000_000, delivered: 0) { time in
      time < 50
        ? (1_000_000, 20_000 * time, false) : (1_000_017, min(20_000 * time, 1_000_017), true)
    }
    #expect((70...95).contains(try! #require(found)))
  }

  @Test("a pause of the server's own is not the client's")
  func pause() {
    var ping = KeepalivePing()
    ping.sent(before: 0, delivered: 0, at: KeepalivePingTests.second)
    for time in [5, 10, 15, 95, 100] as [UInt64] {
      let isLost = ping.isLost(
        written: 17, delivered: 17, isRead: true, at: KeepalivePingTests.second * time,
        limit: 20 * KeepalivePingTests.second)
      #expect(!isLost, "after \(time) s")
    }
  }
}
