internal import HTTP2
internal import TestSupport

/// A byte of choices, two of seed, then a `FrameScript`, or bytes as they are.
///
/// One HTTP/2 session of either role, whose owner does to its streams whatever it may do to them.
func fuzzSession(_ input: UnsafeRawBufferPointer) {
  var reader = InputReader(input)
  let choices = reader.byte()
  let role: HTTP2Session.Role = choices & 1 == 0 ? .server : .client
  var options = HTTP2Options()
  options.maxHeaderListBytes = 4_096
  options.outputLowWaterBytes = 64
  if choices & 2 != 0 {
    options.expectedFields = [.init(":method", "POST"), .init(":authority"), .init("te")]
  }
  if choices & 4 != 0 {
    options.maxConcurrentStreams = 3
    options.streamWindowBytes = 70
    options.connectionWindowBytes = 65_535
  }
  let context = HTTP2Context(options)
  let owner = SessionOwner(
    HTTP2Session(role, context: context), isServer: role == .server, options,
    seed: UInt64(reader.word()))
  if role == .client { for _ in 0..<(choices >> 6 + 1) { owner.beginRequest() } }
  owner.drain()
  let slices =
    choices & 8 == 0
    ? FrameScript(reader, isServer: role == .client, paths: ["/a.B/C", "/"]).slices
    : [Array(reader.rest.prefix(4_096)), Array(reader.rest.dropFirst(4_096))]
  for slice in slices where !owner.isOver { owner.receive(slice) }
  owner.end()
  demand(context.openStreams == 0, "\(context.openStreams) streams left open")
}

/// Owns a session and keeps account of its streams: what it is told of each must make sense.
private final class SessionOwner {
  private struct Stream {
    var hasBegun = false
    var hasEnded = false
    var hasAnswered = false
    var unconsumed = 0
    var heldFields: HTTP2Fields?
  }

  private let session: HTTP2Session
  private let options: HTTP2Options
  private var random: SplitMix64
  private var streams: [(ref: HTTP2StreamRef, state: Stream)] = []
  private var closed: [HTTP2StreamRef] = []
  private(set) var isOver = false
  private let isServer: Bool

  init(
    _ session: HTTP2Session, isServer: Bool, _ options: HTTP2Options, seed: UInt64
  ) {
    self.session = session
    self.options = options
    self.isServer = isServer
    random = SplitMix64(seed: seed)
  }

  private func chance(_ one: UInt64) -> Bool { random.next() % one == 0 }

  // MARK: Bytes

  func receive(_ slice: [UInt8]) {
    let failure = withExactCopy(slice) { bytes in session.receive(bytes) { handle($0) } }
    // What could still be said is said, whatever happened.
    drain()
    if failure != nil || (!session.wantsRead && !session.wantsWrite) { isOver = true }
    meddle()
    if !isOver { drain() }
  }

  func drain() {
    let output = session.context.output
    let limit = chance(4) ? 1 : Int.max
    repeat {
      let before = output.count
      if session.drain(limit: limit, { handle($0) }) != nil { isOver = true }
      demand(output.count - before >= 0, "output went")
      output.removeAll()
    } while limit == 1 && session.wantsWrite && !isOver && !chance(8)
    // There may be one more whose first block of fields is not complete, or never was.
    demand(session.openStreams >= streams.count, "\(session.openStreams), not \(streams.count)")
    let queued = streams.reduce(0) { $0 + $1.ref.queuedBytes }
    demand(
      session.queuedOutputBytes == queued, "\(session.queuedOutputBytes) queued, not \(queued)")
  }

  func end() {
    session.closeAll(.cancel) { handle($0) }
    demand(streams.isEmpty, "\(streams.count) streams were never closed")
    demand(session.queuedOutputBytes == 0, "output of no stream")
  }

  // MARK: Events

  private func handle(_ event: HTTP2Event) {
    guard event.hasStream else {
      if event.kind == .ping, chance(2) { session.submitPing(7) }
      return
    }
    let ref = event.stream
    demand(ref.isOpen && ref.id > 0, "an event of stream \(ref.id)")
    var index = streams.firstIndex { $0.ref == ref }
    if index == nil {
      demand(event.kind == .headers || event.kind == .closed, "\(event.kind) before the headers")
      streams.append((ref, Stream()))
      index = streams.count - 1
    }
    guard let index else { return }
    note(event, &streams[index].state)
    if event.kind == .closed {
      streams.remove(at: index)
      closed.append(ref)
      return
    }
    react(event, index)
  }

  private func note(_ event: HTTP2Event, _ stream: inout Stream) {
    switch event.kind {
    case .headers:
      demand(!stream.hasBegun, "headers twice")
      stream.hasBegun = true
      if !event.fieldsTooLarge { stream.heldFields = event.fields }
      walk(event)
    case .trailers: walk(event)
    case .data:
      demand(!stream.hasEnded, "data after the end")
      stream.unconsumed += event.data.count
      // Until it has acknowledged our SETTINGS, the peer may go by RFC 9113's 65,535 bytes.
      demand(
        stream.unconsumed <= max(65_535, options.streamWindowBytes), "more than the window")
      _ = event.data.reduce(0 as UInt8, ^)
    case .ended: demand(event.endsStream, "an end that is none")
    case .closed, .drained, .settings, .settingsAcknowledged, .pingAcknowledged, .ping, .goAway:
      break
    }
    if event.endsStream {
      demand(!stream.hasEnded, "ended twice")
      stream.hasEnded = true
    }
  }

  private func walk(_ event: HTTP2Event) {
    var bytes = 0
    for (name, value) in event.fields {
      demand(!name.isEmpty, "a field without a name")
      bytes += name.count + value.count + 32
      demand(!value.contains(0), "a NUL in a value")
    }
    demand(bytes <= options.maxHeaderListBytes, "\(bytes) bytes of fields")
  }

  // MARK: What an owner does

  func beginRequest() {
    let fields = HTTP2FieldList()
    for (name, value) in [
      (":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "a"),
      ("content-type", "application/grpc"),
    ] { fields.append(name, value) }
    guard let ref = session.submitRequest(fields, endsStream: chance(3)) else { return }
    streams.append((ref, Stream()))
    if chance(2) { write(ref) }
  }

  private func write(_ ref: HTTP2StreamRef) {
    let count = Int(random.next() % (chance(3) ? 90_000 : 40))
    guard let place = session.reserve(ref, count) else { return }
    if chance(10) {
      session.unreserve(ref, count)
    } else {
      place.initializeMemory(as: UInt8.self, repeating: 5, count: count)
    }
  }

  private func react(_ event: HTTP2Event, _ index: Int) {
    let ref = streams[index].ref
    if chance(3) { consume(index) }
    if isServer, !streams[index].state.hasAnswered, event.kind != .drained, chance(2) {
      streams[index].state.hasAnswered = true
      if chance(3) {
        // As the server does: the body first, then the headers before it.
        write(ref)
        session.finish(ref, trailers: trailers())
      }
      session.submitResponse(ref, answer(), endsStream: chance(4))
    }
    act(on: ref)
  }

  private func consume(_ index: Int) {
    let unconsumed = streams[index].state.unconsumed
    let count = chance(2) ? unconsumed : Int(random.next() % UInt64(unconsumed + 1))
    session.consume(streams[index].ref, count)
    streams[index].state.unconsumed -= count
  }

  private func act(on ref: HTTP2StreamRef) {
    switch random.next() % 12 {
    case 0, 1, 2: write(ref)
    case 3: session.finish(ref, trailers: chance(2) ? trailers() : nil)
    case 4: session.notifyWhenDrained(ref)
    case 5: session.reset(ref, .cancel)
    case 6: session.resetWhenEnded(ref)
    default: break
    }
  }

  /// Between two reads: streams that are open, and some that are not.
  private func meddle() {
    for index in streams.indices where chance(2) {
      consume(index)
      act(on: streams[index].ref)
      if let fields = streams[index].state.heldFields, streams[index].ref.isOpen {
        // Kept from an earlier read, and valid until the stream closes.
        for (name, _) in fields { demand(!name.isEmpty, "a kept field was lost") }
      }
    }
    for ref in closed where chance(3) {
      demand(!ref.isOpen && ref.id == 0 && ref.queuedBytes == 0, "a closed stream is open")
      act(on: ref)
      session.consume(ref, 5)
      session.submitResponse(ref, answer(), endsStream: true)
    }
    switch random.next() % 40 {
    case 0: session.submitShutdownNotice()
    case 1: session.submitGoAway(.noError)
    case 2:
      session.forEachOpenStream { ref in
        if streams.contains(where: { $0.ref == ref }) { act(on: ref) }
      }
    case 3 where !isServer: beginRequest()
    default: break
    }
  }

  private func answer() -> HTTP2FieldList {
    let fields = HTTP2FieldList()
    fields.append(":status", "200")
    fields.append("content-type", "application/grpc")
    return fields
  }

  private func trailers() -> HTTP2FieldList {
    let fields = HTTP2FieldList()
    fields.append("grpc-status", "0")
    if chance(2) { fields.append("grpc-message", "a", isIndexed: false) }
    return fields
  }
}
