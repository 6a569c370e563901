import GRPCWire
import HTTP2

/// Requests from their header fields to a call, or to the answer that there is none.
extension ServerConnection {
  func begin(_ event: HTTP2Event) {
    streamsOfRead &+= 1
    let stream = event.stream
    let head = RequestHead(event.fields, expected: event.expected)
    if event.fieldsTooLarge {
      let limit = server.options.http2.maxHeaderListBytes
      refuse(stream, Status(.resourceExhausted, "header fields exceed \(limit) bytes"))
      return
    }
    guard head.isPost else {
      refuse(stream, http: "405", "gRPC requests use POST\n", extra: ("allow", "POST"))
      return
    }
    guard head.isGRPC else {
      refuse(stream, http: "415", "the content-type must be application/grpc\n")
      return
    }
    let path = event.path
    let found = server.dispatch._withUnsafeGuaranteedRef { $0.find(path) }
    guard let route = found else {
      let path = String(decoding: path.prefix(200), as: UTF8.self)
      refuse(stream, Status(.unimplemented, "unknown method \(path)"))
      return
    }
    // From here on the call counts for its method, begun or not.
    if head.hasUnknownEncoding {
      refuse(
        stream,
        Status(
          .unimplemented, "grpc-encoding is not supported",
          trailers: [.init("grpc-accept-encoding", MessageEncoding.accepted)]), route)
      return
    }
    if head.isTimeoutMalformed {
      refuse(stream, Status(.internal, "malformed grpc-timeout"), route)
      return
    }
    if let name = head.malformedBinaryName {
      let name = String(decoding: name.prefix(200), as: UTF8.self)
      refuse(stream, Status(.internal, "metadata '\(name)' is not base64"), route)
      return
    }
    if !hasRoom(for: 0) {
      server.count(.overload, on: self)
      refuse(stream, tooMuchUnread, route)
      return
    }
    let hasTooMany = Unmanaged.passUnretained(server)._withUnsafeGuaranteedRef {
      $0.hasTooManyCalls(for: self)
    }
    if hasTooMany {
      server.count(.overload, on: self)
      refuse(stream, server.overloaded("the server has too many calls"), route)
      return
    }
    let call = Unmanaged.passUnretained(server)._withUnsafeGuaranteedRef { $0.takeCall() }
    call._withUnsafeGuaranteedRef {
      if head.namesEncodings { $0.setEncodings(head, on: self) }
      $0.begin(self, stream, route, event.fields, timeout: head.timeout)
      if event.fields.byteCount > ServerCall.freeFieldBytes { $0.noteHeldBytes() }
      if event.endsStream { $0.halfClosed() }
    }
  }

  /// Answers a request for which there is no call.
  private func refuse(
    _ stream: HTTP2StreamRef, _ status: Status, _ route: Unmanaged<Route>? = nil
  ) {
    if let meter = server.meter {
      meter.takeUnretainedValue().record(0, of: route?.takeUnretainedValue().index, status.code)
    }
    respondTrailersOnly(stream, status)
    stream.dropFields()
  }

  func respondTrailersOnly(_ stream: HTTP2StreamRef, _ status: Status) {
    let fields = server.scratchFields
    fields.removeAll()
    fields.append(":status", "200")
    fields.append("content-type", "application/grpc")
    StatusFields.append(status, to: fields)
    session.submitResponse(stream, fields, endsStream: true)
    session.resetWhenEnded(stream)
    scheduleFlush()
  }

  /// Answers what is not gRPC in HTTP's own terms. The body is for the human who sees it.
  private func refuse(
    _ stream: HTTP2StreamRef, http status: String, _ body: StaticString,
    extra: (String, String)? = nil
  ) {
    let fields = server.scratchFields
    fields.removeAll()
    fields.append(":status", status)
    fields.append("content-type", "text/plain")
    if let extra { fields.append(extra.0, extra.1) }
    if let place = session.reserve(stream, body.utf8CodeUnitCount) {
      place.copyMemory(from: body.utf8Start, byteCount: body.utf8CodeUnitCount)
    }
    session.finish(stream, trailers: nil)
    session.submitResponse(stream, fields, endsStream: false)
    session.resetWhenEnded(stream)
    stream.dropFields()
    scheduleFlush()
  }
}
