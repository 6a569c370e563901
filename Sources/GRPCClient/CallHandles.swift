internal import GRPCWire
internal import HTTP2

/// A unary call under way. Ignoring it is fine; so is keeping it after the call has ended.
package struct UnaryCall {
  let call: ClientCall
  let generation: UInt32
  let context: GRPCClientContext

  /// Ends the call with CANCELLED, unless it has ended, and tells the server so.
  package func cancel() {
    guard call.generation == generation else { return }
    call.abortLater(Status(.cancelled, "cancelled by the client"), in: context)
  }
}

/// The sending side of a streaming call.
package final class StreamCall {
  private let call: ClientCall
  private let encoding: MessageEncoding?
  private let context: GRPCClientContext
  private var isHalfClosed = false

  init(call: ClientCall, encoding: MessageEncoding?, context: GRPCClientContext) {
    self.call = call
    self.encoding = encoding
    self.context = context
  }

  /// False once the call has ended or was cancelled.
  package var isOpen: Bool { call.phase == .open }

  /// Message bytes queued and not yet taken by flow control. Stop sending while this is large, and
  /// go on when the handler hears `drained`.
  package var queuedBytes: Int { call.stream?.queuedBytes ?? 0 }

  /// Whether the response message being handed over came compressed.
  package var isResponseCompressed: Bool { call.isResponseCompressed }

  /// Queues one message; its bytes are copied.
  ///
  /// - Parameter isCompressed: False sends it as it is, whatever the call's encoding.
  /// - Returns: False when the call has ended or is half-closed: nothing was queued.
  @discardableResult
  package func send(_ message: UnsafeRawBufferPointer, isCompressed: Bool = true) -> Bool {
    guard call.phase == .open, !isHalfClosed, let stream = call.stream,
      let connection = call.connection,
      context.queue(message, isCompressed ? encoding : nil, on: stream)
    else { return false }
    if stream.queuedBytes > context.options.streamHighWaterBytes {
      connection.session.notifyWhenDrained(stream)
    }
    connection.scheduleFlush()
    return true
  }

  /// No more messages will be sent; those queued go first.
  package func halfClose() {
    guard call.phase == .open, !isHalfClosed, let stream = call.stream else { return }
    isHalfClosed = true
    call.connection?.session.finish(stream, trailers: nil)
    call.connection?.scheduleFlush()
  }

  /// Ends the call with CANCELLED, unless it has ended, and tells the server so. No message comes
  /// after this.
  package func cancel() {
    call.abortLater(Status(.cancelled, "cancelled by the client"), in: context)
  }
}
