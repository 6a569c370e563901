import GRPCWire

/// What a streaming handler holds of its call. Made per call and never reused, so that a handler that
/// speaks after the end is heard by nobody.
final class StreamingCall: ResponseStream, CallContext {
  private unowned(unsafe) var call: ServerCall?

  init(_ call: ServerCall) { self.call = call }

  /// The call has ended and its object will serve another.
  func detach() { call = nil }

  func send(byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
    call?.send(byteCount, fill)
  }
  func sendFramed(byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
    call?.queue(byteCount, fill)
  }
  func finish(_ status: Status) { call?.finish(status) }
  var queuedBytes: Int { call?.queuedBytes ?? 0 }

  var path: String { call?.path ?? "" }
  func metadata(_ name: String) -> [[UInt8]] { call?.metadata(name) ?? [] }
  var deadlineNanoseconds: UInt64? { call?.deadlineNanoseconds }
  var peer: String { call?.peer ?? "" }
  var identity: PeerIdentity { call?.identity ?? PeerIdentity() }
  var isRequestCompressed: Bool { call?.isRequestCompressed ?? false }
  func addInitialMetadata(_ field: MetadataField) { call?.addInitialMetadata(field) }
  func compressReplies(_ choice: ReplyCompression) { call?.compressReplies(choice) }
}
