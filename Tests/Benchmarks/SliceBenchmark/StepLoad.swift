import BlockMessages
import GRPCClient
import GRPCWire
import UVLoop

/// The steps of two schedulers, each over a connection of its own and with two of them under way: while one
/// deals with an answer the server has a step of the other.
final class StepLoads: Load {
  private let schedulers: [StepLoad]

  init(_ loop: EventLoop, _ address: String) throws {
    schedulers = try (0..<2).map { try StepLoad(loop, address, UInt64($0)) }
  }

  var isDone: Bool { schedulers.allSatisfy(\.isDone) }

  func prepare(_ count: Int) {
    schedulers[0].prepare(count / 2)
    schedulers[1].prepare(count - count / 2)
  }

  func begin() { for scheduler in schedulers { scheduler.begin() } }
}

/// A scheduler's steps over one connection.
///
/// A step frees the oldest of 256 sequences, admits a new one with a prompt of 64 tokens of its own, and
/// decodes one token of each of the others: in blocks of 16 tokens some 20 are stored in it, by 17 calls of
/// vLLM's `cache_full_blocks`, and in a pool that has run full of cached blocks as many removed. Every answer is
/// read: a refusal ends the program.
final class StepLoad {
  private static let sequences = 256
  private static let promptTokens = 64
  private static let underWay = 2

  private let channel: GRPCChannel
  private let step: GRPCMethod
  private let decoder = MessageDecoder()
  private var packer = MessagePacker(capacity: 1 << 16)
  /// The requests of the slice, one behind the other, and where each ends.
  private var requests: [UInt8] = []
  private var ends: [Int] = []
  /// The number of the first step of the slice.
  private var first: UInt64 = 0
  private var sent: UInt64 = 0
  private var answered: UInt64 = 0
  private var limit: UInt64 = 0
  /// What its sequences' ids have above the number of the step that admits them.
  private let mark: UInt64

  init(_ loop: EventLoop, _ address: String, _ index: UInt64) throws {
    mark = index << 19
    channel = try SliceBenchmark.connect(loop, address)
    step = channel.method("/quire.v1.Scheduler/Step")
  }

  var isDone: Bool { answered == limit }

  /// Packs the requests: the scheduler is to take less time over a step than the server.
  func prepare(_ count: Int) {
    requests.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
    first = limit
    limit += UInt64(count)
    for number in first..<limit {
      pack(number)
      requests += packer.bytes
      ends.append(requests.count)
    }
  }

  func begin() {
    for _ in 0..<Self.underWay { send() }
  }

  private func send() {
    if sent == limit { return }
    let index = Int(sent - first)
    sent += 1
    let range = (index == 0 ? 0 : ends[index - 1])..<ends[index]
    requests.withUnsafeBytes { requests -> Void in
      channel.unary(step, message: UnsafeRawBufferPointer(rebasing: requests[range])) {
        [unowned self] status, reply in
        if status != .ok { SliceBenchmark.fail("a step failed", "\(status)") }
        check(reply)
        answered += 1
        send()
      }
    }
  }

  private func check(_ reply: UnsafeRawBufferPointer) {
    do {
      let message = try decoder.decode(StepReplyMessage.self, from: reply)
      for i in 0..<message.resultCount {
        let result = message.result(i)
        if let refusal = result.refusal { SliceBenchmark.fail("refused", "\(refusal)") }
        if case .decode(let decoded) = result.reply, let refusal = decoded.firstRefusal {
          SliceBenchmark.fail("a decode was refused", "\(refusal)")
        }
      }
    } catch {
      SliceBenchmark.fail("not a reply", "\(error)")
    }
  }

  /// Step `number`, from 0, admits sequence `mark + number + 1`.
  private func pack(_ number: UInt64) {
    var operations: [StepFields.Item] = []
    var oldest: UInt64 = 1
    if number >= UInt64(Self.sequences) {
      oldest = number - UInt64(Self.sequences) + 1
      operations.append(.init(.freeSequences([mark + oldest])))
      oldest += 1
    }
    var add = AddFields(sequenceID: mark + number + 1, tokenCount: 0)
    // Of its own from the first token on.
    add.content.tokenIDs = (0..<UInt32(Self.promptTokens)).map {
      UInt32(truncatingIfNeeded: mark + number) & 0xF_FFFF ^ $0 << 20
    }
    operations.append(.init(.admit(AdmitFields(sequenceID: 0, add: add))))
    if number >= oldest {
      let running = oldest...number
      var decode = DecodeFields(sequenceIDs: running.map { mark + $0 })
      decode.tokenIDs = running.map { UInt32(truncatingIfNeeded: $0 &* 31 &+ number) & 0xFFFF }
      operations.append(.init(.decode(decode)))
    }
    packer.reset()
    packer.stepRequest(StepFields(operations: operations))
  }
}
