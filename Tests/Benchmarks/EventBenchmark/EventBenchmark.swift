import BlockMessages
import GRPCClient
import GRPCWire
import Glibc
import UVLoop

/// A scheduler's steps over one connection, always two without an answer, while others listen:
///
///     EventBenchmark steps ADDRESS STEPS
///     EventBenchmark subscribe ADDRESS SUBSCRIBERS
///
/// A step frees the oldest of 256 sequences, admits a new one with a prompt of 64 tokens of its own, and
/// decodes one token of each of the 256: some 20 blocks are stored in it, by 17 calls, and in a pool that
/// has run full of cached blocks as many removed. Prints steps per second. `subscribe` has a connection for
/// each subscriber, and prints the batches that each got when it is told to end, by a line.
@main
enum EventBenchmark {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 4, let number = Int(arguments[3]), number > 0 else { usage() }
    do {
      let loop = try EventLoop()
      switch arguments[1] {
      case "steps": try steps(loop, arguments[2], number)
      case "subscribe": try subscribe(loop, arguments[2], number)
      default: usage()
      }
    } catch {
      print("\(error)")
      exit(1)
    }
  }

  private static func usage() -> Never {
    print("usage: EventBenchmark steps|subscribe ADDRESS NUMBER")
    exit(2)
  }

  static func connect(_ loop: EventLoop, _ address: String) throws -> GRPCChannel {
    let channel = try GRPCChannel(loop: loop, target: address)
    var outcome: Status?
    channel.connect { outcome = $0 }
    while outcome == nil { loop.runOneTurn() }
    if let outcome, outcome.code != .ok { fail("no connection to \(address)", outcome) }
    return channel
  }

  static func fail(_ what: String, _ status: Status) -> Never {
    print("\(what): \(status.code) \(status.message)")
    exit(1)
  }

  // MARK: Steps

  private static func steps(_ loop: EventLoop, _ address: String, _ count: Int) throws {
    let channel = try connect(loop, address)
    let sender = Sender(channel, count)
    sender.warmUp()
    while sender.answered < Sender.warmUpSteps { loop.runOneTurn() }
    let start = EventLoop.clock
    sender.begin()
    while sender.answered < Sender.warmUpSteps + count { loop.runOneTurn() }
    let seconds = Double(EventLoop.clock - start) / 1e9
    channel.close()
    loop.runOneTurn()
    print("steps_per_second=\(Double(count) / seconds)")
  }

  // MARK: Subscribers

  private static func subscribe(_ loop: EventLoop, _ address: String, _ count: Int) throws {
    var channels: [GRPCChannel] = []
    var readers: [Reader] = []
    for _ in 0..<count {
      let channel = try connect(loop, address)
      let reader = Reader()
      var packer = MessagePacker()
      packer.subscribeKvEventsRequest()
      let stream = channel.startStream(
        channel.method("/quire.v1.Events/SubscribeKvEvents"), handler: reader)
      stream.send(packer.bytes)
      stream.halfClose()
      channels.append(channel)
      readers.append(reader)
    }
    while readers.contains(where: { $0.batches == 0 }) { loop.runOneTurn() }
    print("ready")
    fflush(nil)
    let end = Ending(loop)
    while !end.isOver { loop.runOneTurn() }
    print("batches=\(readers.map(\.batches).min() ?? 0)")
    exit(0)
  }
}

/// Becomes true at SIGTERM.
private final class Ending {
  private(set) var isOver = false
  private var source: SignalSource?

  init(_ loop: EventLoop) {
    do throws(UVError) {
      source = try SignalSource(on: loop, signal: SIGTERM) { [unowned self] in isOver = true }
    } catch {
      print("\(error)")
      exit(1)
    }
  }
}

private final class Reader: ResponseHandler {
  private(set) var batches = 0
  func received(_ message: UnsafeRawBufferPointer) { batches += 1 }
  func finished(_ status: Status) { EventBenchmark.fail("a subscriber was ended", status) }
}

/// Two steps under way until all are answered.
private final class Sender {
  static let sequences = 256
  /// So many make the 256 sequences, and their phases even, and fill the pool.
  static let warmUpSteps = 1_024
  private static let promptTokens = 64

  private let channel: GRPCChannel
  private let step: GRPCMethod
  private let count: Int
  private var packer = MessagePacker(capacity: 1 << 16)
  private var sent = 0
  private(set) var answered = 0
  private var limit = 0

  init(_ channel: GRPCChannel, _ count: Int) {
    self.channel = channel
    self.count = count
    step = channel.method("/quire.v1.Scheduler/Step")
  }

  func warmUp() { send(upTo: Self.warmUpSteps) }
  func begin() { send(upTo: Self.warmUpSteps + count) }

  private func send(upTo limit: Int) {
    self.limit = limit
    for _ in 0..<2 { sendOnce() }
  }

  private func sendOnce() {
    if sent == limit { return }
    pack(UInt64(sent))
    sent += 1
    channel.unary(step, message: packer.bytes) { [unowned self] status, _ in
      guard status == .ok else { EventBenchmark.fail("a step failed", status) }
      answered += 1
      sendOnce()
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
      decode.appendCounts = [1]
      decode.tokenIDs = running.map { UInt32(truncatingIfNeeded: $0 &* 31 &+ number) & 0xFFFF }
      operations.append(.init(.decode(decode)))
    }
    packer.reset()
    packer.stepRequest(StepFields(operations: operations))
  }
}
