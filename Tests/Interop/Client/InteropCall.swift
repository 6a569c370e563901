package import GRPCClient
import GRPCTestingMessages
import GRPCWire
package import UVLoop

/// What a case expected and did not get.
package struct InteropFailure: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

func requireThat(_ condition: Bool, _ what: @autoclosure () -> String) throws(InteropFailure) {
  if !condition { throw InteropFailure(what()) }
}

/// A channel and its loop; waits for what is to come, with a limit.
package final class InteropRunner {
  let loop: EventLoop
  let channel: GRPCChannel
  private var isLate = false
  private var timer: LoopTimer?
  /// A case that takes longer has failed.
  private static let patienceNanoseconds: UInt64 = 30_000_000_000

  package init(_ channel: GRPCChannel, on loop: EventLoop) {
    self.loop = loop
    self.channel = channel
    timer = LoopTimer(on: loop) { [unowned self] in isLate = true }
  }

  func run(_ what: String, until condition: () -> Bool) throws(InteropFailure) {
    isLate = false
    timer?.start(afterNanoseconds: Self.patienceNanoseconds)
    defer { timer?.stop() }
    while !condition() {
      if isLate { throw InteropFailure("waited too long for \(what)") }
      loop.runOneTurn()
    }
  }

  /// A call of one request and one response, through the client's interface for such.
  func unary(_ method: String, _ request: [UInt8]) throws(InteropFailure) -> (Status, [UInt8]) {
    var outcome: (Status, [UInt8])?
    request.withUnsafeBytes {
      _ = channel.unary(path: Self.path(method), message: $0) { outcome = ($0, Array($1)) }
    }
    try run("the answer to \(method)") { outcome != nil }
    guard let outcome else { throw InteropFailure("no outcome") }
    return outcome
  }

  func start(
    _ method: String, timeoutNanoseconds: UInt64? = nil, metadata: CallMetadata? = nil,
    encoding: MessageEncoding? = nil
  ) -> InteropCall {
    let call = InteropCall()
    call.stream = channel.startStream(
      path: Self.path(method), timeoutNanoseconds: timeoutNanoseconds, metadata: metadata,
      encoding: encoding, handler: call)
    return call
  }

  /// A whole call: the requests, the client's end, and what came of it.
  func call(
    _ method: String, _ requests: [[UInt8]], metadata: CallMetadata? = nil,
    encoding: MessageEncoding? = nil, isCompressed: [Bool] = []
  ) throws(InteropFailure) -> InteropCall {
    let call = start(method, metadata: metadata, encoding: encoding)
    for (index, request) in requests.enumerated() {
      call.send(request, isCompressed: index < isCompressed.count ? isCompressed[index] : true)
    }
    call.stream?.halfClose()
    try run("the end of \(method)") { call.status != nil }
    return call
  }

  /// `TestService`'s methods by their name alone.
  private static func path(_ method: String) -> String {
    method.hasPrefix("/") ? method : "/grpc.testing.TestService/\(method)"
  }
}

/// One call and everything that came back.
final class InteropCall: ResponseHandler {
  var stream: StreamCall?
  private(set) var initialEcho: [[UInt8]] = []
  private(set) var messages: [[UInt8]] = []
  private(set) var wasCompressed: [Bool] = []
  private(set) var status: Status?

  func began(_ head: ResponseHead) { initialEcho = head.metadata(InteropMetadata.initial) }

  func received(_ message: UnsafeRawBufferPointer) {
    messages.append(Array(message))
    wasCompressed.append(stream?.isResponseCompressed ?? false)
  }

  func finished(_ status: Status) {
    self.status = status
    stream = nil
  }

  func send(_ message: [UInt8], isCompressed: Bool = true) {
    message.withUnsafeBytes { _ = stream?.send($0, isCompressed: isCompressed) }
  }

  /// The sizes of the responses' payloads; -1 for one that is not all zeros.
  var sizes: [Int] {
    messages.map { $0.withUnsafeBytes { InteropResponse.payloadSize($0) ?? -1 } }
  }

  func expect(_ code: StatusCode, _ message: String? = nil) throws(InteropFailure) {
    guard let status else { throw InteropFailure("the call has not ended") }
    try requireThat(
      status.code == code, "the status is \(status.code), \(code) was expected: \(status.message)")
    if let message {
      try requireThat(status.message == message, "the message is '\(status.message)'")
    }
  }
}
