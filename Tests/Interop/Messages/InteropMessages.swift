/// The messages of `grpc.testing` that the interoperability cases use, field by field: they are few
/// and small, and the domain's own generated code stays free of them.
package import GRPCWire
import Glibc

/// `grpc.testing.EchoStatus{1: code, 2: message}`.
package struct EchoStatus: Equatable {
  package var code: UInt64 = 0
  package var message = ""

  package init(code: UInt64 = 0, message: String = "") {
    self.code = code
    self.message = message
  }

  init?(_ bytes: UnsafeRawBufferPointer) {
    var reader = ProtoReader(bytes)
    while let (number, value) = reader.next() {
      switch (number, value) {
      case (1, .varint(let code)): self.code = code
      case (2, .bytes(let text)): message = String(decoding: text, as: UTF8.self)
      default: break
      }
    }
    if reader.isMalformed { return nil }
  }

  /// The status it asks for; nil = none, as its code is 0.
  package var status: Status? {
    if code == 0 { return nil }
    return Status(StatusCode(rawValue: UInt8(clamping: code)) ?? .unknown, message)
  }

  func write(_ writer: inout ProtoWriter) {
    writer.varint(1, code)
    writer.string(2, message)
  }
}

/// `grpc.testing.ResponseParameters{1: size, 2: interval_us, 3: compressed}`.
package struct ResponseParameters: Equatable {
  package var size = 0
  package var intervalMicroseconds: UInt64 = 0
  /// nil = not said.
  package var isCompressed: Bool?

  package init(size: Int, intervalMicroseconds: UInt64 = 0, isCompressed: Bool? = nil) {
    self.size = size
    self.intervalMicroseconds = intervalMicroseconds
    self.isCompressed = isCompressed
  }

  init?(_ bytes: UnsafeRawBufferPointer) {
    var reader = ProtoReader(bytes)
    while let (number, value) = reader.next() {
      switch (number, value) {
      case (1, .varint(let size)): self.size = Int(Int32(truncatingIfNeeded: size))
      case (2, .varint(let interval)):
        intervalMicroseconds = UInt64(UInt32(truncatingIfNeeded: interval))
      case (3, .bytes(let bytes)): isCompressed = boolValue(bytes)
      default: break
      }
    }
    if reader.isMalformed { return nil }
  }
}

/// `grpc.testing.BoolValue{1: value}`; a malformed one is false.
private func boolValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
  var reader = ProtoReader(bytes)
  var result = false
  while let (number, value) = reader.next() {
    if number == 1, case .varint(let bit) = value { result = bit != 0 }
  }
  return result
}

extension ProtoWriter {
  /// Written also when false: that it is there says something.
  fileprivate mutating func boolValue(_ number: Int, _ value: Bool?) {
    if let value { message(number) { $0.varint(1, value ? 1 : 0) } }
  }

  /// `grpc.testing.Payload{1: type, 2: body}` of zeros.
  fileprivate mutating func payload(_ number: Int, _ size: Int) {
    message(number) {
      if size > 0 { $0.bytes(2, [UInt8](repeating: 0, count: size)) }
    }
  }
}

/// The body of a `grpc.testing.Payload`.
private func payload(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
  var reader = ProtoReader(bytes)
  var result = UnsafeRawBufferPointer(start: nil, count: 0)
  while let (number, value) = reader.next() {
    if number == 2, case .bytes(let body) = value { result = body }
  }
  return result
}

/// Whether all bytes are 0: the first one is, and each is like the one before it.
private func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
  guard let first = bytes.first else { return true }
  let base = bytes.baseAddress.unsafelyUnwrapped
  return first == 0 && memcmp(base, base + 1, bytes.count - 1) == 0
}

/// `SimpleRequest`, `StreamingOutputCallRequest` and `StreamingInputCallRequest` in one: what each
/// does not have is left out.
package struct InteropRequest {
  /// Of the unary response.
  package var responseSize = 0
  /// One streamed response each.
  package var responses: [ResponseParameters] = []
  package var payloadSize = 0
  package var responseIsCompressed: Bool?
  package var expectsCompressed: Bool?
  package var status: EchoStatus?

  package init() {}

  package enum Kind {
    case simple
    case streamingOutput
    case streamingInput
  }

  /// nil when malformed.
  package init?(_ kind: Kind, _ bytes: UnsafeRawBufferPointer) {
    var reader = ProtoReader(bytes)
    while let (number, value) = reader.next() {
      switch (kind, number, value) {
      case (.simple, 2, .varint(let size)): responseSize = Int(Int32(truncatingIfNeeded: size))
      case (.simple, 3, .bytes(let bytes)), (.streamingOutput, 3, .bytes(let bytes)),
        (.streamingInput, 1, .bytes(let bytes)):
        payloadSize = payload(bytes).count
      case (.simple, 6, .bytes(let bytes)): responseIsCompressed = boolValue(bytes)
      case (.simple, 7, .bytes(let bytes)), (.streamingOutput, 7, .bytes(let bytes)):
        guard let status = EchoStatus(bytes) else { return nil }
        self.status = status
      case (.simple, 8, .bytes(let bytes)), (.streamingInput, 2, .bytes(let bytes)):
        expectsCompressed = boolValue(bytes)
      case (.streamingOutput, 2, .bytes(let bytes)):
        guard let parameters = ResponseParameters(bytes) else { return nil }
        responses.append(parameters)
      default: break
      }
    }
    if reader.isMalformed { return nil }
  }

  package func bytes(_ kind: Kind) -> [UInt8] {
    var writer = ProtoWriter()
    switch kind {
    case .simple:
      writer.varint(2, UInt64(responseSize))
      if payloadSize > 0 { writer.payload(3, payloadSize) }
      writer.boolValue(6, responseIsCompressed)
      if let status { writer.message(7) { status.write(&$0) } }
      writer.boolValue(8, expectsCompressed)
    case .streamingOutput:
      for response in responses {
        writer.message(2) {
          $0.varint(1, UInt64(response.size))
          $0.varint(2, response.intervalMicroseconds)
          $0.boolValue(3, response.isCompressed)
        }
      }
      if payloadSize > 0 { writer.payload(3, payloadSize) }
      if let status { writer.message(7) { status.write(&$0) } }
    case .streamingInput:
      if payloadSize > 0 { writer.payload(1, payloadSize) }
      writer.boolValue(2, expectsCompressed)
    }
    return writer.bytes
  }
}

/// What the service answers.
package enum InteropResponse {
  /// `SimpleResponse` and `StreamingOutputCallResponse`: `{1: payload}`.
  package static func payload(_ size: Int) -> [UInt8] {
    var writer = ProtoWriter()
    writer.payload(1, size)
    return writer.bytes
  }

  /// The same with a text as its body.
  package static func payload(_ text: String) -> [UInt8] {
    var writer = ProtoWriter()
    writer.message(1) { $0.bytes(2, text.utf8) }
    return writer.bytes
  }

  /// `StreamingInputCallResponse{1: aggregated_payload_size}`.
  package static func total(_ size: Int) -> [UInt8] {
    var writer = ProtoWriter()
    writer.varint(1, UInt64(size))
    return writer.bytes
  }

  /// The payload's size; nil when the message is malformed or holds anything but zeros.
  package static func payloadSize(_ bytes: UnsafeRawBufferPointer) -> Int? {
    var reader = ProtoReader(bytes)
    var body = UnsafeRawBufferPointer(start: nil, count: 0)
    while let (number, value) = reader.next() {
      if number == 1, case .bytes(let bytes) = value { body = GRPCTestingMessages.payload(bytes) }
    }
    return reader.isMalformed || !isZero(body) ? nil : body.count
  }

  package static func total(in bytes: UnsafeRawBufferPointer) -> Int? {
    var reader = ProtoReader(bytes)
    var total = 0
    while let (number, value) = reader.next() {
      if number == 1, case .varint(let size) = value { total = Int(truncatingIfNeeded: size) }
    }
    return reader.isMalformed ? nil : total
  }
}

/// Metadata that the service echoes.
package enum InteropMetadata {
  package static let initial = "x-grpc-test-echo-initial"
  package static let trailing = "x-grpc-test-echo-trailing-bin"
}
