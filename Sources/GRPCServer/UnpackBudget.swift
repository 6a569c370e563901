import HTTP2
import UVLoop

/// Bounds the work that compressed messages make: a kilobyte can unpack to a megabyte, so that whoever
/// pays for the one has us pay for the other. What counts is what a message grows by.
///
/// How much that is is known afterwards. So a message is unpacked while the budget is not used up, and
/// may overdraw it: what one turn of the loop unpacks for a connection is the burst and one message.
struct UnpackBudget {
  private var grown = RateLimit()

  func isYoung(since began: UInt64, at now: UInt64, _ options: ServerOptions) -> Bool {
    // The time in which a burst is earned.
    Double(now &- began) * Double(options.unpackBytesPerSecond)
      < Double(options.unpackBurstBytes) * 1e9
  }

  mutating func hasRoom(at now: UInt64, _ options: ServerOptions) -> Bool { put(0, now, options) }

  mutating func took(_ bytes: Int, at now: UInt64, _ options: ServerOptions) {
    _ = put(UInt32(clamping: bytes), now, options)
  }

  private mutating func put(_ bytes: UInt32, _ now: UInt64, _ options: ServerOptions) -> Bool {
    grown.takes(
      bytes, at: now, burst: options.unpackBurstBytes, perSecond: options.unpackBytesPerSecond)
  }
}

extension ServerConnection {
  /// Whether one more compressed message may be unpacked now.
  ///
  /// A connection that has not been there for long enough to earn a burst shares one budget with all
  /// others like it: whoever comes back with every burst would otherwise have no limit.
  func mayUnpack() -> Bool {
    let now = server.loop.now
    if !conduct.unpacking.hasRoom(at: now, server.options) { return false }
    return !isNewToUnpacking(now) || server.newcomersUnpacking.hasRoom(at: now, server.options)
  }

  func hasUnpacked(_ packed: Int, to plain: Int) {
    let growth = max(0, plain - packed)
    let now = server.loop.now
    conduct.unpacking.took(growth, at: now, server.options)
    if isNewToUnpacking(now) { server.newcomersUnpacking.took(growth, at: now, server.options) }
  }

  private func isNewToUnpacking(_ now: UInt64) -> Bool {
    conduct.unpacking.isYoung(since: times.began, at: now, server.options)
  }

  /// Refusing costs as much as a control frame does, and is as welcome in numbers.
  func hasRefusedToUnpack() {
    if !conduct.toleratesRefusal(at: server.loop.now, server.options) {
      cutOff(.unpacking, .enhanceYourCalm, CutOff.unpacking.words)
    }
  }
}
