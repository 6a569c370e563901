internal import GRPCWire

/// Calls a unary method of `table` without a transport.
///
/// - Returns: The reply that would be sent: empty unless the status is OK.
func unary(
  _ table: ServiceTable, _ path: String, _ request: UnsafeRawBufferPointer
) -> (status: Status, reply: [UInt8]) {
  guard case .unary(let handler)? = table.methods[path] else {
    fatalError("\(path) is no unary method")
  }
  let reply = RecordedReply()
  let status = withExactCopy(request) { handler($0, reply, NoContext()) } ?? .ok
  demand(status.code != .ok || reply.isWritten, "\(path) returned ok without a reply")
  return (status, status.code == .ok ? reply.bytes : [])
}

/// Makes one streaming call of `table` without a transport: sends the messages, then ends.
func stream(
  _ table: ServiceTable, _ path: String, _ requests: [UnsafeRawBufferPointer]
) -> (replies: [[UInt8]], status: Status?) {
  guard case .streaming(_, let factory)? = table.methods[path] else {
    fatalError("\(path) is no streaming method")
  }
  let responses = RecordedStream()
  let receiver = factory(responses, NoContext())
  for request in requests where responses.status == nil {
    withExactCopy(request) { receiver.received($0) }
  }
  if responses.status == nil { receiver.halfClosed() }
  // The transport's word for a call that nothing has ended: its connection goes.
  if responses.status == nil { receiver.cancelled(Status(.cancelled)) }
  return (responses.messages, responses.status)
}

private final class RecordedReply: ReplyWriter {
  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private(set) var isWritten = false

  var bytes: [UInt8] { Array(buffer) }

  func message(byteCount: Int) -> UnsafeMutableRawPointer {
    buffer.deallocate()
    isWritten = true
    // A byte of nothing has an address too, as in the transport.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: 1)
    buffer = UnsafeMutableRawBufferPointer(start: memory, count: byteCount)
    return memory
  }

  deinit { buffer.deallocate() }
}

private final class RecordedStream: ResponseStream {
  private(set) var messages: [[UInt8]] = []
  private(set) var status: Status?
  /// Everything is taken at once.
  let queuedBytes = 0

  func send(byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
    if status != nil { return }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: 1)
    defer { memory.deallocate() }
    fill(memory)
    messages.append(Array(UnsafeRawBufferPointer(start: memory, count: byteCount)))
  }

  func finish(_ status: Status) {
    if self.status == nil { self.status = status }
  }
}

private final class NoContext: CallContext {
  let path = ""
  func metadata(_ name: String) -> [[UInt8]] { [] }
  let deadlineNanoseconds: UInt64? = nil
  let peer = "unix:"
}
