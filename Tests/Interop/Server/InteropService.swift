package import GRPCWire
import GRPCTestingMessages
package import UVLoop

/// `grpc.testing.TestService` as gRPC's interoperability tests want it
/// (`doc/interop-test-descriptions.md`). `UnimplementedCall` and `UnimplementedService` are left out,
/// which is their point.
package final class InteropService {
  private let loop: EventLoop
  private static let prefix = "/grpc.testing.TestService/"
  /// A response larger than this is asked for by mistake.
  static let maxResponseBytes = 64 << 20

  package init(on loop: EventLoop) { self.loop = loop }

  /// The table keeps the service alive.
  package func register(_ table: ServiceTable) {
    table.unary(Self.prefix + "EmptyCall") { _, reply, call in
      _ = reply.message(byteCount: 0)
      return Status(.ok, trailers: Self.echoMetadata(call))
    }
    table.unary(Self.prefix + "UnaryCall") { request, reply, call in
      Self.simple(request, reply, call) { InteropResponse.payload($0) }
    }
    table.unary(Self.prefix + "CacheableUnaryCall") { request, reply, call in
      call.addInitialMetadata(MetadataField("cache-control", "max-age=60, public"))
      // A cache would show: no two answers are the same.
      return Self.simple(request, reply, call) { _ in
        InteropResponse.payload("\(EventLoop.clock)")
      }
    }
    table.streaming(Self.prefix + "StreamingOutputCall", isClientStreaming: false) {
      [loop] responses, call in InteropStream(.atOnce, loop, responses, call)
    }
    table.streaming(Self.prefix + "FullDuplexCall", isClientStreaming: true) {
      [loop] responses, call in InteropStream(.atOnce, loop, responses, call)
    }
    table.streaming(Self.prefix + "HalfDuplexCall", isClientStreaming: true) {
      [loop] responses, call in InteropStream(.afterHalfClose, loop, responses, call)
    }
    table.streaming(Self.prefix + "StreamingInputCall", isClientStreaming: true) {
      responses, call in InteropCollector(responses, call)
    }
  }

  private static func simple(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter, _ call: any CallContext,
    _ respond: (Int) -> [UInt8]
  ) -> Status {
    guard let request = InteropRequest(.simple, bytes) else {
      return Status(.internal, "malformed SimpleRequest")
    }
    if let status = objection(to: request, call) { return status }
    if let status = request.status?.status {
      return Status(status.code, status.message, trailers: echoMetadata(call))
    }
    guard (0...maxResponseBytes).contains(request.responseSize) else { return sizeOutOfRange }
    call.compressReplies(request.responseIsCompressed == true ? .always : .never)
    let response = respond(request.responseSize)
    response.withUnsafeBytes {
      reply.message(byteCount: $0.count).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
    }
    return Status(.ok, trailers: echoMetadata(call))
  }

  static let sizeOutOfRange = Status(.invalidArgument, "a response's size is out of range")

  /// Refuses a request whose compression is not as it says itself.
  static func objection(to request: InteropRequest, _ call: any CallContext) -> Status? {
    guard let expected = request.expectsCompressed, expected != call.isRequestCompressed else {
      return nil
    }
    return Status(
      .invalidArgument, "the request is \(expected ? "not " : "")compressed, against its own word")
  }

  /// Echoes the initial field; the trailing one goes with the status.
  static func echoMetadata(_ call: any CallContext) -> [MetadataField] {
    for value in call.metadata(InteropMetadata.initial) {
      call.addInitialMetadata(
        MetadataField(InteropMetadata.initial, String(decoding: value, as: UTF8.self)))
    }
    return call.metadata(InteropMetadata.trailing).map {
      MetadataField(InteropMetadata.trailing, bytes: $0)
    }
  }
}

/// Adds up what a client streams.
private final class InteropCollector: RequestStream {
  private let responses: any ResponseStream
  private let call: any CallContext
  private let trailers: [MetadataField]
  private var total = 0

  init(_ responses: any ResponseStream, _ call: any CallContext) {
    self.responses = responses
    self.call = call
    trailers = InteropService.echoMetadata(call)
  }

  func received(_ message: UnsafeRawBufferPointer) {
    guard let request = InteropRequest(.streamingInput, message) else {
      return responses.finish(Status(.internal, "malformed StreamingInputCallRequest"))
    }
    if let status = InteropService.objection(to: request, call) { return responses.finish(status) }
    total += request.payloadSize
  }

  func halfClosed() {
    responses.send(InteropResponse.total(total))
    responses.finish(Status(.ok, trailers: trailers))
  }

  func cancelled(_ status: Status) {}
  func drained() {}
}

extension ResponseStream {
  func send(_ bytes: [UInt8]) {
    send(byteCount: bytes.count) { place in
      bytes.withUnsafeBytes { source in
        if let base = source.baseAddress { place.copyMemory(from: base, byteCount: source.count) }
      }
    }
  }
}
