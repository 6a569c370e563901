package import GRPCWire

/// `grpc.reflection.v1` and `v1alpha`, which differ in their name only, over one descriptor set.
package final class ReflectionService {
  fileprivate let index: DescriptorIndex
  private unowned let table: ServiceTable

  /// Registers both versions; the table keeps the service alive. `descriptorSet` is a serialised `FileDescriptorSet`; it is copied.
  package init(_ table: ServiceTable, descriptorSet: UnsafeRawBufferPointer) {
    self.table = table
    index = DescriptorIndex(descriptorSet)
    for version in ["v1", "v1alpha"] {
      let path = "/grpc.reflection.\(version).ServerReflection/ServerReflectionInfo"
      table.streaming(path, isClientStreaming: true) { [self] responses, _ in
        ReflectionCall(self, responses)
      }
    }
  }

  /// The services that are registered and can be described, in order of their names.
  fileprivate var services: [String] {
    let registered = Set(
      table.methods.keys.compactMap { $0.dropFirst().split(separator: "/").first })
    return index.services.filter { registered.contains($0[...]) }.sorted()
  }
}

/// One reflection stream: an answer per question; errors are answers too.
private final class ReflectionCall: RequestStream {
  private unowned let service: ReflectionService
  private let responses: any ResponseStream

  init(_ service: ReflectionService, _ responses: any ResponseStream) {
    self.service = service
    self.responses = responses
  }

  /// No name of anything is nearly as long; the answer repeats the question.
  private static let longestQuestion = 4_096

  func received(_ message: UnsafeRawBufferPointer) {
    if message.count > ReflectionCall.longestQuestion {
      let limit = ReflectionCall.longestQuestion
      responses.finish(Status(.invalidArgument, "a question has at most \(limit) bytes"))
      return
    }
    var answer = ProtoWriter()
    var host: [UInt8] = []
    var question: (number: Int, bytes: UnsafeRawBufferPointer)?
    var reader = ProtoReader(message)
    while let (number, value) = reader.next() {
      guard case .bytes(let bytes) = value else { continue }
      if number == 1 { host = Array(bytes) } else { question = (number, bytes) }
    }
    if reader.isMalformed {
      responses.finish(Status(.internal, "malformed ServerReflectionRequest"))
      return
    }
    if !host.isEmpty { answer.bytes(1, host) }
    answer.bytes(2, message)
    respond(to: question, &answer)
    responses.send(answer.bytes)
  }

  func halfClosed() { responses.finish(.ok) }
  func cancelled(_ status: Status) {}
  func drained() {}

  private func respond(
    to question: (number: Int, bytes: UnsafeRawBufferPointer)?, _ answer: inout ProtoWriter
  ) {
    let index = service.index
    let text = question.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
    switch question?.number {
    case 3: files(index.file(named: text), "file '\(text)'", &answer)
    case 4: files(index.file(declaring: text), "symbol '\(text)'", &answer)
    case 5:
      var type = ""
      var number: UInt64 = 0
      var reader = ProtoReader(question!.bytes)
      while let (id, value) = reader.next() {
        if id == 1, case .bytes(let bytes) = value { type = String(decoding: bytes, as: UTF8.self) }
        if id == 2, case .varint(let value) = value { number = value }
      }
      files(
        index.file(extending: type, number: number), "extension \(number) of '\(type)'", &answer)
    case 6:
      guard let numbers = index.extensionNumbers(of: text) else {
        error(.notFound, "type '\(text)' not found", &answer)
        return
      }
      answer.message(5) { response in
        response.string(1, text)
        for number in numbers { response.varint(2, number) }
      }
    case 7:
      answer.message(6) { response in
        for name in service.services { response.message(1) { $0.string(1, name) } }
      }
    default: error(.invalidArgument, "the request asks nothing", &answer)
    }
  }

  private func files(_ index: Int?, _ what: String, _ answer: inout ProtoWriter) {
    guard let index else {
      error(.notFound, "\(what) not found", &answer)
      return
    }
    answer.message(4) { response in
      for file in service.index.closure(of: index) { response.bytes(1, file) }
    }
  }

  private func error(_ code: StatusCode, _ message: String, _ answer: inout ProtoWriter) {
    answer.message(7) {
      $0.varint(1, UInt64(code.rawValue))
      $0.string(2, message)
    }
  }
}
