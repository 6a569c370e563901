import BlockMessages
import GRPCClient
import GRPCWire
import UVLoop

/// A scheduler's steps over one connection, always two without an answer.
///
/// A step frees the oldest of 256 sequences, admits a new one with a prompt of 64 tokens of its own, and
/// decodes one token of each of the others: in blocks of 16 tokens some 20 are stored in it, by 17 calls of
/// vLLM's `cache_full_blocks`, and in a pool that has run full of cached blocks as many removed. Every answer is
/// read: a refusal ends the program.
final class StepLoad: Load {
  private static let sequences = 256
  private static let promptTokens = 64
  private static let underWay = 2

  private let channel: GRPCChannel
  private let step: GRPCMethod
  private let decoder = MessageDecoder()
  private var packer = MessagePacker(capacity: 1 << 16)
  private var sent: UInt64 = 0
  private var answered: UInt64 = 0
  private var limit: UInt64 = 0

  init(_ loop: EventLoop, _ address: String) throws {
    channel = try SliceBenchmark.connect(loop, address)
    step = channel.method("/quire.v1.Scheduler/Step")
  }

  var isDone: Bool { answered == limit }

  func begin(_ count: Int) {
    limit += UInt64(count)
    for _ in 0..<Self.underWay { send() }
  }

  private func send() {
    if sent == limit { return }
    pack(sent)
    sent += 1
    channel.unary(step, message: packer.bytes) { [unowned self] status, reply in
      if status != .ok { SliceBenchmark.fail("a step failed", "\(status)") }
      check(reply)
      answered += 1
      send()
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

  /// Step `number`, from 0, admits sequence `number + 1`.
  private func pack(_ number: UInt64) {
    var operations: [StepFields.Item] = []
    var oldest: UInt64 = 1
    if number >= UInt64(Self.sequences) {
      oldest = number - UInt64(Self.sequences) + 1
      operations.append(.init(.freeSequences([oldest])))
      oldest += 1
    }
    var add = AddFields(sequenceID: number + 1, tokenCount: 0)
    // Of its own from the first token on.
    add.content.tokenIDs = (0..<UInt32(Self.promptTokens)).map {
      UInt32(truncatingIfNeeded: number) & 0xF_FFFF ^ $0 << 20
    }
    operations.append(.init(.admit(AdmitFields(sequenceID: 0, add: add))))
    if number >= oldest {
      let running = Array(oldest...number)
      var decode = DecodeFields(sequenceIDs: running)
      decode.tokenIDs = running.map { UInt32(truncatingIfNeeded: $0 &* 31 &+ number) & 0xFFFF }
      operations.append(.init(.decode(decode)))
    }
    packer.reset()
    packer.stepRequest(StepFields(operations: operations))
  }
}
