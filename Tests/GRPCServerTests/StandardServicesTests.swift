import GRPCServer
import GRPCWire
import Testing
import UVLoop

@Suite("health")
struct HealthTests {
  fileprivate func request(_ service: String) -> [UInt8] {
    var writer = ProtoWriter()
    writer.string(1, service)
    return writer.bytes
  }

  @Test("Check answers for known services and not for others")
  func check() throws {
    var health: HealthService?
    let harness = try Harness { health = HealthService($0) }
    health?.setServing("", true)
    health?.setServing("a.B", false)
    let client = try harness.connect()
    let path = "/grpc.health.v1.Health/Check"
    let whole = client.unary(path, request(""))
    let known = client.unary(path, request("a.B"))
    let unknown = client.unary(path, request("x"))
    let malformed = client.unary(path, [0x0A, 9])
    let list = client.unary("/grpc.health.v1.Health/List", [])
    harness.run("answers") { client.calls.allSatisfy { $0.closed != nil } }
    #expect(whole.messages == [[8, 1]])
    #expect(known.messages == [[8, 2]])
    #expect(unknown.grpcStatus == "5" && unknown.grpcMessage == "unknown service 'x'")
    #expect(malformed.grpcStatus == "13")
    // Two entries of a map: { "": SERVING } with its key left out, { "a.B": NOT_SERVING }.
    #expect(list.messages == [[10, 4, 18, 2, 8, 1, 10, 9, 10, 3, 0x61, 0x2E, 0x42, 18, 2, 8, 2]])
    harness.finish([client])
  }

  @Test("a name longer than any is unknown, and is not repeated")
  func longName() throws {
    var health: HealthService?
    let harness = try Harness { health = HealthService($0) }
    health?.setServing("", true)
    let client = try harness.connect()
    let name = String(repeating: "n", count: 1 << 20)
    let check = client.unary("/grpc.health.v1.Health/Check", request(name))
    let watch = client.unary("/grpc.health.v1.Health/Watch", request(name))
    harness.run("answers") { check.closed != nil && watch.messages == [[8, 3]] }
    #expect(check.grpcStatus == "5")
    #expect(check.grpcMessage == "no service has a name of over 256 bytes")
    #expect(watch.closed == nil)
    harness.finish([client])
  }

  @Test("Watch tells the state at once and then each change, also for a service not known yet")
  func watch() throws {
    var health: HealthService?
    let harness = try Harness { health = HealthService($0) }
    let client = try harness.connect()
    let call = client.unary("/grpc.health.v1.Health/Watch", request("a.B"))
    harness.run("unknown") { call.messages == [[8, 3]] }
    health?.setServing("a.B", true)
    health?.setServing("a.B", true)
    health?.setServing("other", true)
    harness.run("serving") { call.messages.count == 2 }
    health?.setServing("a.B", false)
    harness.run("not serving") { call.messages.count == 3 }
    #expect(call.messages == [[8, 3], [8, 1], [8, 2]])
    #expect(call.closed == nil)
    client.reset(call)
    harness.run("forgotten") { harness.server.statistics.activeCalls == 0 }
    health?.setServing("a.B", true)
    harness.finish([client])
  }
}

extension HealthTests {
  @Test("a server that ends tells those who watch and lets them go")
  func end() throws {
    var health: HealthService?
    let harness = try Harness { health = HealthService($0) }
    health?.setServing("a.B", true)
    let client = try harness.connect()
    let path = "/grpc.health.v1.Health/Watch"
    let early = client.unary(path, request("a.B"))
    harness.run("serving") { early.messages == [[8, 1]] }
    health?.end()
    let late = client.unary(path, request("a.B"))
    harness.run("both closed") { early.closed != nil && late.closed != nil }
    #expect(early.messages == [[8, 1], [8, 2]])
    #expect(late.messages == [[8, 2]])
    #expect(early.grpcStatus == "14" && late.grpcStatus == "14")
    harness.finish([client])
  }
}

@Suite("reflection")
struct ReflectionTests {
  /// What protoc wrote for `dep.proto` (package dep, message D) and `hr.proto`, which imports it:
  /// package t.v1, service S { M }, service Unregistered { M },
  /// message A { f, enum E { ZERO, ONE }, message N { x }, oneof o { y } }.
  private static let descriptorSet = Base64.decode(
    Array(
      ("CisKCWRlcC5wcm90bxIDZGVwIhEKAUQSDAoBdhgBIAEoBVIBdmIGcHJvdG8zCrgBCghoci5wcm90bxIEdC52MRoJ"
        + "ZGVwLnByb3RvIlEKAUESDAoBZhgBIAEoCVIBZhIOCgF5GAIgASgFSABSAXkaEQoBThIMCgF4GAEgASgFUgF4IhYK"
        + "AUUSCAoEWkVSTxAAEgcKA09ORRABQgMKAW8yGQoBUxIUCgFNEgcudC52MS5BGgYuZGVwLkQyJQoMVW5yZWdpc3Rl"
        + "cmVkEhUKAU0SBy50LnYxLkEaBy50LnYxLkFiBnByb3RvMw==").utf8))!
  /// The set's two files: 2 bytes of key and length, 43 bytes; 3 bytes, 184 bytes.
  private static let dependency = Array(descriptorSet[2..<45])
  private static let main = Array(descriptorSet[48...])

  private struct Answer {
    var host = ""
    var question: [UInt8] = []
    var files: [[UInt8]] = []
    var services: [String] = []
    var errorCode: UInt64?
    var extensionType: String?

    init(_ message: [UInt8]) {
      message.withUnsafeBytes { bytes in
        for (number, value) in Answer.fields(bytes) {
          switch number {
          case 1: host = String(decoding: value, as: UTF8.self)
          case 2: question = Array(value)
          case 4: files = Answer.fields(value).map { Array($0.1) }
          case 5: extensionType = String(decoding: Answer.fields(value)[0].1, as: UTF8.self)
          case 6:
            services = Answer.fields(value).map {
              String(decoding: Answer.fields($0.1)[0].1, as: UTF8.self)
            }
          case 7:
            var reader = ProtoReader(value)
            if let (_, code) = reader.next(), case .varint(let code) = code { errorCode = code }
          default: Issue.record("field \(number)")
          }
        }
      }
    }

    private static func fields(
      _ bytes: UnsafeRawBufferPointer
    ) -> [(Int, UnsafeRawBufferPointer)] {
      var reader = ProtoReader(bytes)
      var result: [(Int, UnsafeRawBufferPointer)] = []
      while let (number, value) = reader.next() {
        if case .bytes(let bytes) = value { result.append((number, bytes)) }
      }
      return result
    }
  }

  private func ask(_ questions: [[UInt8]], version: String = "v1") throws -> [Answer] {
    let harness = try Harness { table in
      table.unary("/t.v1.S/M") { _, _, _ in Status(.unimplemented) }
      ReflectionTests.descriptorSet.withUnsafeBytes {
        _ = ReflectionService(table, descriptorSet: $0)
      }
    }
    let client = try harness.connect()
    let call = client.begin("/grpc.reflection.\(version).ServerReflection/ServerReflectionInfo")
    for question in questions { client.send(call, question) }
    client.end(call)
    harness.run("answers") { call.closed != nil }
    #expect(call.grpcStatus == "0")
    #expect(call.messages.count == questions.count)
    let answers = call.messages.map(Answer.init)
    #expect(answers.map(\.question) == questions)
    harness.finish([client])
    return answers
  }

  private func question(_ number: Int, _ text: String) -> [UInt8] {
    var writer = ProtoWriter()
    writer.bytes(number, text.utf8)
    return writer.bytes
  }

  @Test("lists what is registered and can be described", arguments: ["v1", "v1alpha"])
  func list(version: String) throws {
    #expect(try ask([question(7, "")], version: version)[0].services == ["t.v1.S"])
  }

  @Test(
    "finds the file of every kind of symbol, with what it imports",
    arguments: [
      "t.v1.S", "t.v1.S.M", "t.v1.A", "t.v1.A.f", "t.v1.A.E", "t.v1.A.ONE", "t.v1.A.N",
      "t.v1.A.N.x", "t.v1.A.o", "t.v1.A.y",
    ])
  func symbols(symbol: String) throws {
    let answer = try ask([question(4, symbol)])[0]
    #expect(answer.files == [ReflectionTests.dependency, ReflectionTests.main])
  }

  @Test("answers each question of a stream, errors among them")
  func several() throws {
    let answers = try ask([
      question(3, "dep.proto"), question(3, "none.proto"), question(4, "t.v1.A.E.ONE"),
      question(4, "dep.D"), question(6, "t.v1.A"), question(6, "none"),
      question(1, "host") + question(7, ""), [],
    ])
    #expect(answers[0].files == [ReflectionTests.dependency])
    #expect(answers[1].errorCode == 5 && answers[2].errorCode == 5)
    #expect(answers[3].files == [ReflectionTests.dependency])
    #expect(answers[4].extensionType == "t.v1.A" && answers[5].errorCode == 5)
    #expect(answers[6].host == "host" && answers[6].services == ["t.v1.S"])
    #expect(answers[7].errorCode == 3)
  }
}
