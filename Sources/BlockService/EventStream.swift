internal import BlockMessages
internal import GRPCWire

/// One call of `Events.SubscribeKvEvents`: a place in the batches of a pool.
final class EventStream: RequestStream {
  let responses: any ResponseStream
  /// The next batch to be sent.
  var next: UInt64 = 0
  private(set) var wanted: EventContents = []
  private(set) var isOver = false

  private let service: QuireService
  private var recorder: EventRecorder?

  init(_ service: QuireService, _ responses: any ResponseStream) {
    self.service = service
    self.responses = responses
  }

  func received(_ message: UnsafeRawBufferPointer) {
    do throws(CallFailure) {
      let request = try service.decode(SubscribeKvEventsRequest.self, message)
      let hosted = try service.readPool(request.call)
      guard let recorder = service.events.recorder(of: hosted) else { throw .noEvents }
      try service.events.checkRoom()
      if let start = request.startSequenceNumber {
        next = max(start, 1)
      } else {
        next = recorder.ring.next
      }
      if let problem = recorder.problem(with: next, epoch: request.epoch) {
        throw CallFailure(Status(.outOfRange, problem))
      }
      if request.wantsForksAndCopies { wanted.insert(.moreKinds) }
      if request.wantsTokenIDs { wanted.insert(.tokenIDs) }
      self.recorder = recorder
      recorder.add(self, at: service.clockNow)
    } catch {
      finish(error.status)
    }
  }

  /// Whole messages, each behind its prefix.
  func send(_ messages: UnsafeRawBufferPointer) {
    responses.sendFramed(byteCount: messages.count) { place in
      place.copyMemory(from: messages.baseAddress.unsafelyUnwrapped, byteCount: messages.count)
    }
  }

  func finish(_ status: Status) {
    isOver = true
    recorder = nil
    responses.finish(status)
  }

  func halfClosed() {}

  func cancelled(_ status: Status) {
    isOver = true
    recorder?.remove(self)
    recorder = nil
  }

  func drained() { recorder?.send(to: self) }

  /// Nothing is owed to a subscriber of a server that stops.
  var isIdle: Bool { true }
}

extension CallFailure {
  static let noEvents = CallFailure(
    Status(.failedPrecondition, "this server keeps no events: see --kv-events"))
}
