import GRPCWire
import HTTP2
import UVLoop

/// When things happened on a connection, for its checkups. All times are nanoseconds of the loop's
/// clock; `.max` = never.
struct ConnectionTimes {
  var began: UInt64
  /// Of the TLS handshake, then of the greeting: nothing counts as progress but the end.
  var greeting = StallWatch()
  var hasSettings = false
  var hasSettingsAcknowledged = false
  var lastRead: UInt64
  var lastCall: UInt64
  var lastStreamID: Int32 = 0
  var ping = KeepalivePing()
  var endsAt = UInt64.max
  /// When the final GOAWAY is due and when the calls that are left are cancelled.
  var goAwayAt = UInt64.max
  var cancelsAt = UInt64.max
  var socket = StallWatch()
  /// Bytes that have arrived at the client while the socket was watched.
  var socketProgress = Growth()
  var headers = StallWatch()

  init(now: UInt64) {
    began = now
    greeting.start(at: now)
    lastRead = now
    lastCall = now
  }

  var isGreeted: Bool { hasSettings && hasSettingsAcknowledged }
}

/// Every few seconds each connection with something to do looks at itself, and what is not as it
/// should be has its consequences. A quiet connection sleeps until the next of its own times. Nothing
/// on the path of a call touches a clock or a timer for this.
extension ServerConnection {
  static let keepalivePing: UInt64 = 0x7175_6972_652D_6B61

  /// The next checkup, at the latest at `time`.
  func scheduleCheckup(at time: UInt64) {
    isDozing = false
    server.deadlines.set(checkup, at: time)
  }

  /// Something was read while the connection slept.
  @inline(never)
  func wake() { scheduleCheckup(at: server.loop.now &+ server.checkupInterval) }

  func lookAtItself() {
    // Not the turn's time, which can lie before that of the deadlines being run: what is due again
    // by then would be run again at once, and for ever.
    let now = EventLoop.clock
    let hasNews = hasRead
    hasRead = false
    if hasNews {
      times.lastRead = now
      times.ping.answered()
    }
    if isShakingHands {
      if takesTooLong(server.options.tlsHandshakeNanoseconds, now) { return end(.handshake) }
    } else if !times.isGreeted, takesTooLong(server.options.handshakeNanoseconds, now) {
      return cutOff(.handshake, .settingsTimeout, "no SETTINGS, or no answer to ours")
    }
    let delivered = deliveredBytes
    if socketIsStalled(delivered, now) { return end(.unreadSocket) }
    let hasCalls = session.openStreams > 0
    if !hasCalls {
      times.headers.reset()
    } else if !lookAtStreams(delivered, hasNews: hasNews, now) {
      return cutOff(.slowHeaders, .enhanceYourCalm, "a header block does not end")
    }
    let lastStreamID = session.lastProcessedStreamID
    if hasCalls || lastStreamID != times.lastStreamID {
      times.lastStreamID = lastStreamID
      times.lastCall = now
    }
    if !keepAlive(now) { return end(.keepalive) }
    endInTime(now)
    if isClosed { return }
    if server.isShuttingDown, hasSentGoAway { endIdleCalls(now) }

    let isQuiet =
      !hasNews && !hasCalls && times.isGreeted && !times.ping.isUnanswered
      && queuedSocketBytes == 0
    let soon = isQuiet ? UInt64.max : now &+ checkupInterval
    let next = min(soon, nextOfItsTimes())
    if next == .max {
      server.deadlines.clear(checkup)
    } else {
      scheduleCheckup(at: max(next, now &+ 1_000_000))
    }
    isDozing = isQuiet
  }

  private var checkupInterval: UInt64 {
    // A stop waits for it.
    server.isShuttingDown
      ? min(server.checkupInterval, server.options.idleCallGraceNanoseconds / 4)
      : server.checkupInterval
  }

  private func nextOfItsTimes() -> UInt64 {
    func after(_ start: UInt64, _ span: UInt64) -> UInt64 {
      let (time, overflow) = start.addingReportingOverflow(span)
      return overflow ? .max : time
    }
    let options = server.options
    // None of them counts yet.
    if isShakingHands { return .max }
    let isPinged = times.ping.isUnanswered || !times.isGreeted
    let keepalive = isPinged ? .max : after(times.lastRead, options.keepaliveNanoseconds)
    let idle = isEnding ? .max : after(times.lastCall, options.maxIdleNanoseconds)
    return min(
      min(keepalive, idle), min(times.endsAt, min(times.goAwayAt, times.cancelsAt)))
  }

  /// Whether the handshake or the greeting does.
  private func takesTooLong(_ limit: UInt64, _ now: UInt64) -> Bool {
    times.greeting.isStalled(0, at: now, limit: limit, bytesPerSecond: 0)
  }

  /// Bytes that have arrived at the client; nil = none waits for the socket. Our kernel takes more by the
  /// megabyte only, which a slow reader may not empty within the limit. A system call.
  var deliveredBytes: Int? { queuedSocketBytes > 0 ? stream.deliveredBytes : nil }

  func socketIsStalled(_ delivered: Int?, _ now: UInt64) -> Bool {
    let options = server.options
    guard let delivered, options.responseStallNanoseconds != ServerOptions.never else {
      times.socket.reset()
      return false
    }
    times.socketProgress.note(delivered)
    return times.socket.isStalled(
      times.socketProgress.total, at: now, limit: options.responseStallNanoseconds,
      bytesPerSecond: options.minBytesPerSecond)
  }

  /// Ends the calls that do not move. False when a header block does not: nothing else can come
  /// before its end.
  ///
  /// While output is held up, what waits for the socket has the socket's own watch. But only what the
  /// client can do nothing about is excused: it is expected to go on, with the window it gives and the
  /// request it sends, once it has what was sent before and we have read what it says.
  ///
  /// - Parameters:
  ///   - delivered: What `deliveredBytes` says.
  ///   - hasNews: Something was read since the look before.
  func lookAtStreams(_ delivered: Int?, hasNews: Bool, _ now: UInt64) -> Bool {
    let options = server.options
    let written = stream.writtenBytes
    let isRead = stream.isReading
    // What it has said to any of this may lie there.
    let isUnheard = delivered != nil && !isRead && stream.hasUnread
    // One read, which its flush ends. With output for every drain we would otherwise not hear it for long.
    if isUnheard, !hasNews { self.stream.startReading() }
    var unansweredID: Int32 = 0
    session.forEachOpenStream { stream in
      if stream.isUnanswered { unansweredID = stream.id }
      var notes = stream.notes
      let framed = stream.framedBytes
      if stream.queuedBytes == 0 {
        notes.response.reset()
      } else if let delivered,
        isUnheard && !hasNews || !stream.isHeldByWindow
          || !notes.responseMark.hasArrived(framed, written: written, delivered: delivered)
      {
        notes.response.pause(at: now)
      } else if notes.response.isStalled(
        framed, at: now, limit: options.responseStallNanoseconds,
        bytesPerSecond: options.minBytesPerSecond)
      {
        server.count(.unreadResponses, on: self)
        if let call = ServerCall.of(stream) {
          call.takeUnretainedValue().fail(
            Status(.unavailable, "the responses are not read"), timeHasRunOut: true)
        } else {
          stream.reset(.cancel)
          scheduleFlush()
        }
        return
      }
      if let call = ServerCall.of(stream)?.takeUnretainedValue(), call.waitsForRequest {
        let moved = call.requestBytes
        if let delivered,
          isUnheard || !notes.requestMark.hasArrived(moved, written: written, delivered: delivered)
        {
          notes.request.pause(at: now)
        } else if notes.request.isStalled(
          moved, at: now, limit: options.requestStallNanoseconds,
          bytesPerSecond: options.minBytesPerSecond)
        {
          server.count(.slowRequest, on: self)
          call.fail(Status(.deadlineExceeded, "the request does not arrive"))
          return
        }
      } else {
        notes.request.reset()
      }
      stream.notes = notes
    }
    // Header blocks are not interleaved: there is one at most, and it stops all else. Another stream's is
    // another block.
    if unansweredID == 0 {
      times.headers.reset()
      return true
    }
    // While we do not read, its end may have come, nor is what we answered sent. It needs no window.
    if delivered != nil, !isRead {
      times.headers.pause(at: now)
      return true
    }
    return !times.headers.isStalled(
      Int(unansweredID), at: now, limit: options.requestStallNanoseconds, bytesPerSecond: 0)
  }

  /// False when the client is gone.
  private func keepAlive(_ now: UInt64) -> Bool {
    let options = server.options
    if times.ping.isUnanswered {
      return !times.ping.isLost(
        written: stream.writtenBytes, delivered: stream.deliveredBytes, isRead: stream.isReading,
        at: now, limit: options.keepaliveTimeoutNanoseconds)
    }
    if options.keepaliveNanoseconds != ServerOptions.never,
      now &- times.lastRead >= options.keepaliveNanoseconds, times.isGreeted
    {
      times.ping.sent(
        before: stream.writtenBytes, delivered: stream.deliveredBytes, at: now)
      session.submitPing(ServerConnection.keepalivePing)
      scheduleFlush()
    }
    return true
  }

  /// The graceful ends: for age, for idleness, and the steps of one that has begun.
  private func endInTime(_ now: UInt64) {
    let options = server.options
    // Whoever is still shaking hands is told nothing.
    if isShakingHands { return }
    if !isEnding {
      if now >= times.endsAt {
        server.count(.age, on: self)
        beginEnding(graceNanoseconds: options.ageGraceNanoseconds)
      } else if options.maxIdleNanoseconds != ServerOptions.never,
        now &- times.lastCall >= options.maxIdleNanoseconds
      {
        server.count(.idle, on: self)
        beginEnding(graceNanoseconds: options.ageGraceNanoseconds)
      }
      times.endsAt = isEnding ? .max : times.endsAt
    }
    if now >= times.goAwayAt { sendGoAway() }
    if now >= times.cancelsAt {
      times.cancelsAt = .max
      cancelAndClose(Status(.unavailable, "the connection has reached its age limit"))
    }
  }
}
