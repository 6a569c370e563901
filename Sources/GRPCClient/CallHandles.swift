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
  private let context: GRPCClientContext
  private var isHalfClosed = false

  init(call: ClientCall, context: GRPCClientContext) {
    self.call = call
    self.context = context
  }

  /// False once the call has ended or was cancelled.
  package var isOpen: Bool { call.phase == .open }

  /// Message bytes queued and not yet taken by flow control. Stop sending while this is large, and
  /// go on when the handler hears `drained`.
  package var queuedBytes: Int { call.stream?.queuedBytes ?? 0 }

  /// Queues one message; its bytes are copied.
  ///
  /// - Returns: False when the call has ended or is half-closed: nothing was queued.
  @discardableResult
  package func send(_ message: UnsafeRawBufferPointer) -> Bool {
    guard call.phase == .open, !isHalfClosed, let stream = call.stream,
      let connection = call.connection,
      let place = connection.session.reserve(stream, GRPCChannel.prefixBytes + message.count)
    else { return false }
    GRPCChannel.write(message, to: place)
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
