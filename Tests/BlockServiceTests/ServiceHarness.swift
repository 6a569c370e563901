import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

/// The service without a transport: requests as bytes to the registered handlers, replies as bytes.
final class ServiceHarness {
  let registry: PoolRegistry
  let table = ServiceTable()
  let service: QuireService
  /// Milliseconds.
  let clock = Clock()
  private let decoder = MessageDecoder()
  private var packer = MessagePacker()

  /// One pool, "default", of `blocks` blocks of `blockSize` tokens.
  init(
    blocks: UInt32 = 8, blockSize: UInt32 = 4, copyAck: KVBlocks.CopyAck = .nextStep,
    limits: PoolRegistry.Limits = .init(), events: EventOptions = .init(),
    keepsTokens: Bool = false
  ) {
    registry = PoolRegistry(limits: limits)
    registry.add(
      name: "default",
      PoolConfiguration(
        blocks: blocks, blockSize: blockSize, copyAck: copyAck, cachesPrefixes: true,
        keepsTokens: keepsTokens))
    service = QuireService(pools: registry, events: events) { [clock] in clock.read() }
    service.register(in: table)
  }

  var pool: KVPool { registry.pools[0].pool }

  /// Calls `/quire.v1.<method>`.
  func call(_ method: String, _ request: [UInt8]) -> (status: Status, reply: [UInt8]) {
    guard case .unary(let handler)? = table.methods["/quire.v1.\(method)"] else {
      Issue.record("\(method) is no unary method")
      return (Status(.unimplemented), [])
    }
    let writer = Writer()
    let status = request.withUnsafeBytes { handler($0, writer, Context()) } ?? .ok
    return (status, writer.bytes)
  }

  /// Begins a call of `/quire.v1.<method>`.
  func stream(
    _ method: String, _ responses: RecordedStream, peer: String = "unix:"
  ) -> any RequestStream {
    guard case .streaming(_, let factory)? = table.methods["/quire.v1.\(method)"] else {
      preconditionFailure("\(method) is no streaming method")
    }
    return factory(responses, Context(peer: peer))
  }

  func packed(_ pack: (inout MessagePacker) -> Void) -> [UInt8] {
    packer.reset()
    pack(&packer)
    return Array(packer.bytes)
  }

  /// Calls a method that takes one operation and expects it to succeed.
  @discardableResult
  func succeed(
    _ method: String, _ operation: OperationFields, call: CallFields = CallFields()
  ) -> [UInt8] {
    let (status, reply) = self.call(method, packed { $0.request(operation, call: call) })
    #expect(status == .ok, "\(method): \(status.message)")
    return reply
  }

  /// Calls a method that takes one operation and expects a refusal that changes nothing.
  func refuse(
    _ method: String, _ operation: OperationFields, call: CallFields = CallFields()
  ) -> Status {
    let before = pool.stateDigest()
    let (status, reply) = self.call(method, packed { $0.request(operation, call: call) })
    #expect(status.code != .ok)
    #expect(reply.isEmpty)
    #expect(pool.stateDigest() == before, "\(method) was refused and changed the pool")
    return status
  }

  func decode<Message: WireMessage>(_ type: Message.Type, _ bytes: [UInt8]) throws -> Message {
    try bytes.withUnsafeBytes { try decoder.decode(type, from: $0) }
  }

  func allocate(_ count: UInt32) throws -> [UInt32] {
    let reply = succeed("BlockPool/Allocate", .allocate(count: count))
    return Array(try decode(AllocateReplyMessage.self, reply).blockIDs)
  }

  func stats(runs: Bool = false, slots: Bool = false) throws -> StatsFields {
    let (status, reply) = call(
      "Analyzer/GetStats",
      packed { $0.getStatsRequest(call: CallFields(), includesRuns: runs, includesSlots: slots) })
    #expect(status == .ok)
    return try decode(StatsMessage.self, reply).fields
  }

  func step(_ step: StepFields) throws -> StepReplyMessage {
    let (status, reply) = call("Scheduler/Step", packed { $0.stepRequest(step) })
    #expect(status == .ok, "\(status.message)")
    return try decode(StepReplyMessage.self, reply)
  }

  final class Clock {
    var now: UInt64 = 0
    private(set) var reads = 0

    func read() -> UInt64 {
      reads += 1
      return now
    }
  }

  private final class Writer: ReplyWriter {
    var bytes: [UInt8] { buffer.map { Array($0) } ?? [] }
    private var buffer: UnsafeMutableRawBufferPointer?

    func message(byteCount: Int) -> UnsafeMutableRawPointer {
      precondition(buffer == nil, "a handler writes one reply")
      let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: max(byteCount, 1), alignment: 16)
      buffer = UnsafeMutableRawBufferPointer(rebasing: memory[0..<byteCount])
      return memory.baseAddress!
    }

    deinit { buffer?.baseAddress?.deallocate() }
  }

  final class Context: CallContext {
    let path = ""
    func metadata(_ name: String) -> [[UInt8]] { [] }
    let deadlineNanoseconds: UInt64? = nil
    let peer: String
    init(peer: String = "unix:") { self.peer = peer }
  }
}

/// The server's side of a streaming call, kept in memory.
final class RecordedStream: ResponseStream {
  private(set) var messages: [[UInt8]] = []
  private(set) var status: Status?
  var queuedBytes = 0

  func send(byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
    if status != nil { return }
    messages.append(
      [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
        if let base = buffer.baseAddress { fill(UnsafeMutableRawPointer(base)) }
        count = byteCount
      })
  }

  func finish(_ status: Status) {
    if self.status == nil { self.status = status }
  }
}

extension Status {
  func trailer(_ name: String) -> String? { trailers.first { $0.name == name }?.value }
}
