import BlockMessages
import GRPCClient
import GRPCWire
import Glibc
import UVLoop

/// Sends steps of one operation over one connection, always so many without an answer:
///
///     StreamBenchmark unary|run ADDRESS MESSAGES OUTSTANDING
///
/// as unary calls of `Scheduler.Step`, or as messages of one `Scheduler.Run` stream. Prints messages
/// per second. Every step allocates a block, so the server's counters tell that each was served.
@main
enum StreamBenchmark {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 5, ["unary", "run"].contains(arguments[1]),
      let messages = Int(arguments[3]), let outstanding = Int(arguments[4]), messages > 0,
      outstanding > 0
    else {
      print("usage: StreamBenchmark unary|run ADDRESS MESSAGES OUTSTANDING")
      exit(2)
    }
    do {
      let loop = try EventLoop()
      let channel = try GRPCChannel(loop: loop, target: arguments[2])
      let sender = Sender(channel, messages, outstanding)
      var outcome: Status?
      channel.connect { outcome = $0 }
      while outcome == nil { loop.runOneTurn() }
      if let outcome, outcome.code != .ok {
        print("no connection to \(arguments[2]): \(outcome.message)")
        exit(1)
      }
      let start = EventLoop.clock
      if arguments[1] == "unary" { sender.callUnary() } else { sender.callRun() }
      while sender.answered < messages { loop.runOneTurn() }
      let seconds = Double(EventLoop.clock - start) / 1e9
      sender.end()
      channel.close()
      loop.runOneTurn()
      print("messages_per_second=\(Double(messages) / seconds)")
    } catch {
      print("\(error)")
      exit(1)
    }
  }
}

/// Keeps `outstanding` messages under way until all are answered.
private final class Sender: ResponseHandler {
  private let channel: GRPCChannel
  private let step: GRPCMethod
  private let messages: Int
  private let outstanding: Int
  private let request: UnsafeRawBufferPointer
  private var sent = 0
  private(set) var answered = 0
  private var stream: StreamCall?

  init(_ channel: GRPCChannel, _ messages: Int, _ outstanding: Int) {
    self.channel = channel
    self.messages = messages
    self.outstanding = outstanding
    step = channel.method("/quire.v1.Scheduler/Step")
    var packer = MessagePacker()
    packer.stepRequest(StepFields(operations: [.init(.allocate(count: 1))]))
    let copy = UnsafeMutableRawBufferPointer.allocate(
      byteCount: packer.byteCount, alignment: 16)  // For as long as the program runs.
    copy.copyBytes(from: packer.bytes)
    request = UnsafeRawBufferPointer(copy)
  }

  func callUnary() {
    for _ in 0..<min(outstanding, messages) { callOnce() }
  }

  private func callOnce() {
    sent += 1
    channel.unary(step, message: request) { [unowned self] status, _ in
      guard status == .ok else { fail(status) }
      answered += 1
      if sent < messages { callOnce() }
    }
  }

  func callRun() {
    let stream = channel.startStream(
      channel.method("/quire.v1.Scheduler/Run"), handler: self)
    self.stream = stream
    for _ in 0..<min(outstanding, messages) { sendOnce(stream) }
  }

  private func sendOnce(_ stream: StreamCall) {
    sent += 1
    stream.send(request)
  }

  func received(_ message: UnsafeRawBufferPointer) {
    answered += 1
    if sent < messages, let stream { sendOnce(stream) }
  }

  func finished(_ status: Status) {
    if answered < messages { fail(status) }
  }

  func end() { stream?.halfClose() }

  private func fail(_ status: Status) -> Never {
    print("a call failed: \(status)")
    exit(1)
  }
}
