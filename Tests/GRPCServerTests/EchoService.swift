import GRPCWire

/// The methods the tests call: each kind of call, and handlers that fail or never answer.
final class EchoService {
  private(set) var unaryCalls = 0
  private(set) var silent: [SilentStream] = []
  var lastContext: (path: String, values: [[UInt8]], peer: String, hasDeadline: Bool)?

  var lastIdentity: PeerIdentity?

  func register(_ table: ServiceTable) {
    table.unary("/test.Echo/Unary") { [unowned self] request, reply, call in
      unaryCalls += 1
      lastContext = (
        call.path, call.metadata("x-values") + call.metadata("x-data-bin"), call.peer,
        call.deadlineNanoseconds != nil
      )
      lastIdentity = call.identity
      copy(request, to: reply.message(byteCount: request.count))
      return .ok
    }
    table.unary("/test.Echo/Fail") { _, reply, _ in
      // What a handler wrote before it failed is not sent.
      reply.message(byteCount: 3).storeBytes(of: 1, as: UInt8.self)
      return Status(
        .failedPrecondition, "no ☺", detailType: "test.Detail", detail: [8, 1],
        trailers: [.init("x-extra", "a\r\nb")])
    }
    table.unary("/test.Echo/Trailers") { request, reply, _ in
      copy(request, to: reply.message(byteCount: request.count))
      return Status(.ok, trailers: [.init("x-cost", "7")])
    }
    table.unary("/test.Echo/Long") { _, _, _ in
      Status(
        .internal, String(repeating: "é", count: 5_000), details: [UInt8](repeating: 1, count: 90),
        trailers: [.init("x-long", String(repeating: "y", count: 6_000)), .init("x-short", "z")])
    }
    table.streaming("/test.Echo/Bidi", isClientStreaming: true) { responses, _ in
      EchoStream(responses, copies: 1)
    }
    table.streaming("/test.Echo/Collect", isClientStreaming: true) { responses, _ in
      EchoStream(responses, copies: 0)
    }
    table.streaming("/test.Echo/Repeat", isClientStreaming: false) { responses, _ in
      EchoStream(responses, copies: 3)
    }
    table.streaming("/test.Echo/Polite", isClientStreaming: true) { responses, _ in
      EchoStream(responses, copies: 1, isIdle: true)
    }
    table.streaming("/test.Echo/Silent", isClientStreaming: true) { [unowned self] responses, _ in
      let stream = SilentStream(responses)
      silent.append(stream)
      return stream
    }
    table.streaming("/test.Echo/Watch", isClientStreaming: false) { [unowned self] responses, _ in
      let stream = SilentStream(responses)
      silent.append(stream)
      return stream
    }
    table.streaming("/test.Echo/Refuse", isClientStreaming: true) { responses, _ in
      responses.finish(Status(.permissionDenied, "not you"))
      return SilentStream(responses)
    }
  }
}

private func copy(_ source: UnsafeRawBufferPointer, to place: UnsafeMutableRawPointer) {
  if let base = source.baseAddress { place.copyMemory(from: base, byteCount: source.count) }
}

/// Sends each message back `copies` times; at the end, with none, the number of bytes received.
private final class EchoStream: RequestStream {
  private let responses: any ResponseStream
  private let copies: Int
  /// What it says of itself between its messages.
  let isIdle: Bool
  private var bytes = 0

  init(_ responses: any ResponseStream, copies: Int, isIdle: Bool = false) {
    self.responses = responses
    self.isIdle = isIdle
    self.copies = copies
  }

  func received(_ message: UnsafeRawBufferPointer) {
    bytes += message.count
    for _ in 0..<copies {
      responses.send(byteCount: message.count) { copy(message, to: $0) }
    }
  }

  func halfClosed() {
    if copies == 0 {
      responses.send(byteCount: 4) { $0.storeBytes(of: UInt32(bytes).bigEndian, as: UInt32.self) }
    }
    responses.finish(.ok)
  }
  func cancelled(_ status: Status) {}
  func drained() {}
}

/// Never answers by itself; remembers what it was told.
final class SilentStream: RequestStream {
  let responses: any ResponseStream
  var received = 0
  var isHalfClosed = false
  var cancellation: Status?
  var drains = 0

  init(_ responses: any ResponseStream) { self.responses = responses }
  func received(_ message: UnsafeRawBufferPointer) { received += message.count }
  func halfClosed() { isHalfClosed = true }
  func cancelled(_ status: Status) { cancellation = status }
  func drained() { drains += 1 }
}

/// Answers each message with 100,000 bytes.
final class Amplifier: RequestStream {
  private let responses: any ResponseStream
  private let onRequest: () -> Void

  init(_ responses: any ResponseStream, onRequest: @escaping () -> Void) {
    self.responses = responses
    self.onRequest = onRequest
  }

  func received(_ message: UnsafeRawBufferPointer) {
    onRequest()
    responses.send(byteCount: 100_000) {
      $0.initializeMemory(as: UInt8.self, repeating: 7, count: 100_000)
    }
  }
  func halfClosed() { responses.finish(.ok) }
  func cancelled(_ status: Status) {}
  func drained() {}
}

/// Answers its first message with more than may wait.
final class BackedUp: RequestStream {
  private let responses: any ResponseStream

  init(_ responses: any ResponseStream) { self.responses = responses }

  func received(_ message: UnsafeRawBufferPointer) {
    responses.send(byteCount: 400_000) {
      $0.initializeMemory(as: UInt8.self, repeating: 7, count: 400_000)
    }
  }
  func halfClosed() { responses.finish(.ok) }
  func cancelled(_ status: Status) {}
  func drained() {}
}
