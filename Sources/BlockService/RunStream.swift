internal import BlockMessages
internal import GRPCWire

/// One call of `Scheduler.Run`: a step per message, in order, each answered by one reply.
final class RunStream: RequestStream {
  /// Replies that the client leaves unread: past this the call ends, for they are kept here.
  static let mostQueuedBytes = 16 << 20

  private let service: QuireService
  private let responses: any ResponseStream
  private var isOver = false

  init(_ service: QuireService, _ responses: any ResponseStream) {
    self.service = service
    self.responses = responses
  }

  func received(_ message: UnsafeRawBufferPointer) {
    if isOver { return }
    guard responses.queuedBytes <= Self.mostQueuedBytes else {
      finish(
        Status(.unavailable, "over \(Self.mostQueuedBytes) bytes of replies are not read"))
      return
    }
    do throws(CallFailure) {
      try service.streamedStep(message)
      responses.send(byteCount: service.packer.byteCount) { service.packer.copy(to: $0) }
    } catch {
      finish(error.status)
    }
  }

  func halfClosed() {
    if !isOver { finish(.ok) }
  }

  func cancelled(_ status: Status) { isOver = true }
  func drained() {}
  /// A step is answered within `received`.
  var isIdle: Bool { true }

  private func finish(_ status: Status) {
    isOver = true
    responses.finish(status)
  }
}
