import GRPCTestingMessages
import GRPCWire
import UVLoop

/// One call that answers with the responses its requests describe, in order, each after its interval.
///
/// Waits with a timer and for flow control, never by sleeping.
final class InteropStream: RequestStream {
  enum Beginning {
    case atOnce
    case afterHalfClose
  }

  private enum Step {
    case response(ResponseParameters, isDue: Bool)
    case end(Status)
  }

  private let beginning: Beginning
  private let loop: EventLoop
  private let responses: any ResponseStream
  private let call: any CallContext
  private let trailers: [MetadataField]
  private var steps: [Step] = []
  private var next = 0
  private var isHalfClosed = false
  private var isBackedUp = false
  private var timer: LoopTimer?

  /// The server's mark, above which it announces `drained`.
  private static let highWaterBytes = 256 << 10

  init(
    _ beginning: Beginning, _ loop: EventLoop, _ responses: any ResponseStream,
    _ call: any CallContext
  ) {
    self.beginning = beginning
    self.loop = loop
    self.responses = responses
    self.call = call
    trailers = InteropService.echoMetadata(call)
    // Any response may yet ask for it, and headers come first.
    call.compressReplies(.always)
  }

  func received(_ message: UnsafeRawBufferPointer) {
    guard let request = InteropRequest(.streamingOutput, message) else {
      return responses.finish(Status(.internal, "malformed StreamingOutputCallRequest"))
    }
    if let status = request.status?.status {
      steps.append(.end(Status(status.code, status.message, trailers: trailers)))
    }
    for response in request.responses {
      guard (0...InteropService.maxResponseBytes).contains(response.size) else {
        steps.append(.end(InteropService.sizeOutOfRange))
        break
      }
      steps.append(.response(response, isDue: response.intervalMicroseconds == 0))
    }
    if beginning == .atOnce { advance() }
  }

  func halfClosed() {
    isHalfClosed = true
    steps.append(.end(Status(.ok, trailers: trailers)))
    advance()
  }

  func cancelled(_ status: Status) {
    steps = []
    next = 0
    timer = nil
  }

  func drained() {
    isBackedUp = false
    advance()
  }

  private func advance() {
    while !isBackedUp, timer == nil, next < steps.count {
      switch steps[next] {
      case .response(let parameters, false):
        steps[next] = .response(parameters, isDue: true)
        wait(microseconds: parameters.intervalMicroseconds)
      case .response(let parameters, true):
        next += 1
        call.compressReplies(parameters.isCompressed == true ? .always : .never)
        responses.send(InteropResponse.payload(parameters.size))
        isBackedUp = responses.queuedBytes > Self.highWaterBytes
      case .end(let status):
        next = steps.count
        responses.finish(status)
      }
    }
    if next == steps.count {
      steps.removeAll(keepingCapacity: true)
      next = 0
    }
  }

  private func wait(microseconds: UInt64) {
    let timer = LoopTimer(on: loop) { [unowned self] in
      self.timer = nil
      advance()
    }
    self.timer = timer
    timer.start(afterNanoseconds: microseconds * 1_000)
  }
}
