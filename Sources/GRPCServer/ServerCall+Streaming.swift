import GRPCWire
import HTTP2

/// What a streaming call does beyond a unary one: its handler lives on between messages, and may fall
/// behind in both directions.
extension ServerCall {
  func startStreaming(_ route: Unmanaged<Route>) {
    guard let factory = route.takeUnretainedValue().streaming else { return }
    let handle = StreamingCall(self)
    self.handle = handle
    isDelivering = true
    let receiver = factory(handle, handle)
    isDelivering = false
    if isOver { recycle() } else { self.receiver = receiver }
  }

  /// Ends a streaming call as its handler wants.
  func finish(_ status: Status) {
    guard !isOver, let connection, let stream else { return }
    if !hasSentHeaders, status.code == .ok, extras?.initialMetadata.isEmpty == false {
      sendHeaders()
    }
    if !hasSentHeaders, status.code != .ok || stream.queuedBytes == 0 {
      connection.respondTrailersOnly(stream, status)
    } else {
      submitTrailers(status)
    }
    end(status.code)
  }

  func send(_ byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
    queue(5 + byteCount) { place in
      MessageFramer.writePrefix(byteCount, to: place)
      fill(place + 5)
      if extras != nil { packReply(byteCount) }
    }
  }

  /// `fill` writes messages with their prefixes.
  @inline(__always)
  func queue(_ byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
    guard !isOver, let connection, let stream else { return }
    if !connection.hasRoom(for: byteCount) {
      server.count(.overload, on: connection)
      if !hasSentHeaders { return fail(connection.tooMuchUnread) }
      stream.reset(.cancel)
      connection.scheduleFlush()
      tellCancelled(connection.tooMuchUnread)
      return
    }
    guard let place = stream.reserve(byteCount) else { return }
    fill(place)
    // What other connections may have waiting depends on it.
    if byteCount > ServerConnection.freeBytes { connection.countOutput() }
    sendHeaders()
    if !isBackedUp, stream.queuedBytes > server.options.responseHighWaterBytes {
      isBackedUp = true
      stream.notifyWhenDrained()
    }
    connection.scheduleFlush()
  }

  var queuedBytes: Int { stream?.queuedBytes ?? 0 }

  func drained() {
    isBackedUp = false
    receiver?.drained()
    guard !isOver, !isBackedUp, !held.isEmpty else { return }
    let requests = held
    let isLast = hasHeldEnd
    held = []
    hasHeldEnd = false
    connection?.scheduleFlush()
    requests.withUnsafeBytes { received($0, endsStream: isLast) }
  }

  func dropHandler() {
    if !held.isEmpty {
      stream?.consume(held.count)
      held = []
    }
    hasHeldEnd = false
    isBackedUp = false
    handle?.detach()
    handle = nil
    receiver = nil
  }
}
