import HTTP2

/// A client and a server session whose bytes go from one to the other without sockets.
final class InMemoryPair {
  let client: HTTP2Session
  let server: HTTP2Session
  /// Told of every event; may answer it.
  var onServer: (HTTP2Event, HTTP2Session) -> Void = { _, _ in }
  var onClient: (HTTP2Event, HTTP2Session) -> Void = { _, _ in }
  private(set) var failures: [HTTP2Failure] = []
  /// The longest slice handed to a receiver.
  var sliceBytes = Int.max

  convenience init(
    server: HTTP2Options = HTTP2Options(), client: HTTP2Options = HTTP2Options()
  ) {
    self.init(serverContext: HTTP2Context(server), client: client)
  }

  init(serverContext: HTTP2Context, client: HTTP2Options = HTTP2Options()) {
    server = HTTP2Session(.server, context: serverContext)
    self.client = HTTP2Session(.client, context: HTTP2Context(client))
  }

  /// Carries bytes both ways until neither side has anything to say.
  func exchange() {
    var isMoving = true
    while isMoving {
      isMoving = move(from: client, onClient, to: server, onServer)
      if move(from: server, onServer, to: client, onClient) { isMoving = true }
    }
  }

  typealias Handler = (HTTP2Event, HTTP2Session) -> Void

  private func move(
    from source: HTTP2Session, _ onSource: Handler, to target: HTTP2Session, _ onTarget: Handler
  ) -> Bool {
    note(source.drain { onSource($0, source) })
    let bytes = Array(source.context.output.bytes)
    source.context.output.removeAll()
    if bytes.isEmpty || !failures.isEmpty { return false }
    bytes.withUnsafeBytes {
      var rest = $0[...]
      while !rest.isEmpty, failures.isEmpty {
        let slice = rest.prefix(sliceBytes)
        note(target.receive(UnsafeRawBufferPointer(rebasing: slice)) { onTarget($0, target) })
        rest = rest.dropFirst(slice.count)
      }
    }
    return true
  }

  private func note(_ failure: HTTP2Failure?) {
    if let failure { failures.append(failure) }
  }
}

func requestFields(_ path: String = "/a.B/C", extra: [(String, String)] = []) -> HTTP2FieldList {
  let list = HTTP2FieldList()
  list.append(":method", "POST")
  list.append(":scheme", "http")
  list.append(":path", path)
  list.append(":authority", "test")
  list.append("content-type", "application/grpc")
  for field in extra { list.append(field.0, field.1) }
  return list
}

func responseFields() -> HTTP2FieldList {
  let list = HTTP2FieldList()
  list.append(":status", "200")
  list.append("content-type", "application/grpc")
  return list
}

func text(_ fields: HTTP2Fields) -> [String] {
  fields.map {
    "\(String(decoding: $0.name, as: UTF8.self)): \(String(decoding: $0.value, as: UTF8.self))"
  }
}

extension HTTP2Session {
  func write(_ stream: HTTP2StreamRef, _ bytes: [UInt8]) {
    guard let place = reserve(stream, bytes.count) else { return }
    bytes.withUnsafeBytes { place.copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
  }
}
