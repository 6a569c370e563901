package import GRPCWire
internal import HTTP2
internal import MessageCompression
internal import UVLoop

/// Receives what the server sends on a streaming call. Kept alive until `finished`.
package protocol ResponseHandler: AnyObject {
  /// The response's headers are here. Not called when the status comes at once.
  func began(_ head: ResponseHead)
  /// One whole message, borrowed for the time of the call.
  func received(_ message: UnsafeRawBufferPointer)
  /// The call is over. The last thing that is called.
  func finished(_ status: Status)
  /// The queued bytes fell to the low-water mark after having been above the high one.
  func drained()
}

extension ResponseHandler {
  package func began(_ head: ResponseHead) {}
  package func drained() {}
}

/// One call from its start to its status, and its stream's state. Unary calls are reused.
///
///     idle --start--> open --trailers, reset, deadline--> finished --stream closed--> idle
///                      \-- cancel --> ending --loop--> finished
///
/// The stream's `user` pointer holds one reference from `start` to the stream's `closed` event.
final class ClientCall {
  enum Phase {
    case idle
    case open
    /// Nothing of the server's counts any more; the owner is yet to be told.
    case ending
    case finished
  }

  typealias Completion = (Status, UnsafeRawBufferPointer) -> Void

  private(set) var phase = Phase.idle
  /// Counts the calls this object has served; a handle with another number is stale.
  private(set) var generation: UInt32 = 0
  private(set) var connection: ClientConnection?
  private(set) var stream: HTTP2StreamRef?

  private var completion: Completion?
  private var handler: (any ResponseHandler)?
  private(set) var framer: MessageFramer
  private var messageCount = 0
  /// A unary call's response until its trailers come.
  private var response: UnsafeMutableRawPointer?
  private var responseCapacity = 0
  private var responseCount = 0
  private static let keptResponseBytes = 65_536

  /// `.max` = none.
  private(set) var deadlineNanoseconds = UInt64.max
  private var deadline: Deadline?

  private(set) var isUnary = false

  /// The response's headers have come.
  private(set) var hasBegun = false
  /// Of the response's messages, as its headers say.
  private var encoding: MessageEncoding?
  /// The message being handed over came compressed.
  private(set) var isResponseCompressed = false
  private unowned let context: GRPCClientContext

  init(_ context: GRPCClientContext) {
    self.context = context
    framer = MessageFramer(limitBytes: context.options.maxResponseMessageBytes)
  }

  deinit { response?.deallocate() }

  // MARK: From idle to open

  func prepare(completion: @escaping Completion) {
    precondition(phase == .idle, "a call started twice")
    self.completion = completion
    isUnary = true
    phase = .open
  }

  func prepare(handler: any ResponseHandler) {
    precondition(phase == .idle, "a call started twice")
    self.handler = handler
    phase = .open
  }

  func attach(_ stream: HTTP2StreamRef, of connection: ClientConnection) {
    self.stream = stream
    self.connection = connection
    stream.user = Unmanaged.passRetained(self).toOpaque()  // Taken by the `closed` event.
  }

  func expire(at time: UInt64, in queue: DeadlineQueue) {
    deadlineNanoseconds = time
    let deadline = deadline ?? Deadline { [unowned self] in didExpire() }
    self.deadline = deadline
    queue.set(deadline, at: time)
  }

  // MARK: What the server sends

  func began(_ fields: HTTP2Fields) {
    hasBegun = true
    encoding = ResponseFields.encoding(in: fields)
    framer.acceptsCompressed = encoding != nil
    if phase == .open, let handler { handler.began(ResponseHead(fields)) }
  }

  func received(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while phase == .open {
      switch framer.next(&rest) {
      case .needsMore: return
      case .failed(let error): return abort(error.status)
      case .message(let message): take(message)
      case .compressed(let message): unpack(message)
      }
    }
  }

  @inline(__always)
  private func take(_ message: UnsafeRawBufferPointer) {
    messageCount += 1
    if let handler {
      handler.received(message)
    } else if messageCount == 1 {
      store(message)
    } else {
      abort(Status(.unimplemented, "more than one message in a unary response"))
    }
  }

  @inline(never)
  private func unpack(_ message: UnsafeRawBufferPointer) {
    guard let encoding else { preconditionFailure("a compressed message without an encoding") }
    do throws(DecompressionError) {
      let plain = try context.decompressor.decompress(
        message, encoding, limitBytes: framer.limitBytes)
      isResponseCompressed = true
      take(plain)
      isResponseCompressed = false
    } catch {
      abort(error.status)
    }
  }

  private func store(_ message: UnsafeRawBufferPointer) {
    responseCount = message.count
    guard let source = message.baseAddress, message.count > 0 else { return }
    if responseCapacity < message.count {
      response?.deallocate()
      responseCapacity = max(256, message.count)
      response = .allocate(byteCount: responseCapacity, alignment: 16)
    }
    response.unsafelyUnwrapped.copyMemory(from: source, byteCount: message.count)
  }

  /// The server ended the call with `status`.
  func ended(_ status: Status) {
    guard phase == .open else { return }
    if status.code == .ok {
      if !framer.isBetweenMessages {
        return finish(Status(.internal, "the response ends in the middle of a message"))
      }
      if isUnary, messageCount == 0 {
        // Cardinality violations have this code (`statuscodes.md`).
        return finish(Status(.unimplemented, "no message in a unary response"))
      }
    }
    finish(status)
  }

  func drained() { if phase == .open { handler?.drained() } }

  // MARK: From open to finished

  /// Ends the call on our account and tells the server to stop.
  func abort(_ status: Status) {
    guard phase == .open else { return }
    if let stream { connection?.session.reset(stream, .cancel) }
    connection?.scheduleFlush()
    finish(status)
  }

  private func didExpire() {
    abort(Status(.deadlineExceeded, "the deadline passed before the call ended"))
  }

  /// The call's outcome, whatever its stream still does.
  func finish(_ status: Status) {
    guard phase == .open || phase == .ending else { return }
    phase = .finished
    clearDeadline()
    if let completion {
      self.completion = nil
      let count = status.code == .ok ? responseCount : 0
      completion(status, UnsafeRawBufferPointer(start: response, count: count))
    } else if let handler {
      self.handler = nil
      handler.finished(status)
    }
  }

  /// Ends the call from within a method its owner called: the owner hears of it from the loop.
  func abortLater(_ status: Status, in context: GRPCClientContext) {
    guard phase == .open else { return }
    phase = .ending
    clearDeadline()
    if let stream { connection?.session.reset(stream, .cancel) }
    connection?.scheduleFlush()
    context.later { [self] in
      finish(status)
      if isReusable { context.giveCall(self) }
    }
  }

  private func clearDeadline() {
    guard let deadline, deadline.isSet, let connection else { return }
    connection.context.deadlines.clear(deadline)
  }

  // MARK: Back to idle

  /// The stream is closed.
  func detach() {
    clearDeadline()
    stream = nil
    connection = nil
  }

  /// Nothing more will happen to the call, and nobody but its handle knows of it.
  var isReusable: Bool { phase == .finished && stream == nil && isUnary }

  func recycle() {
    precondition(phase == .finished && stream == nil, "a call reused before it ended")
    generation &+= 1
    phase = .idle
    messageCount = 0
    responseCount = 0
    deadlineNanoseconds = .max
    // Between messages, too: a call that ended inside one's handler has not seen that no more comes.
    framer.reset()
    encoding = nil
    hasBegun = false
    if responseCapacity > ClientCall.keptResponseBytes {
      response?.deallocate()
      response = nil
      responseCapacity = 0
    }
  }
}
