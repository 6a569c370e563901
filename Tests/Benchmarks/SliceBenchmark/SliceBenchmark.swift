import GRPCClient
import GRPCWire
import Glibc
import UVLoop

/// Loads several servers by turns, a slice of work each, so that what else the machine does meanwhile befalls
/// all of them alike:
///
///     SliceBenchmark steps|calls ADDRESS...
///     SliceBenchmark subscribe ADDRESS SUBSCRIBERS
///
/// `steps` and `calls` (`StepLoads`, `CallLoad`) connect to all and print `ready`; then for each line
/// `SERVER COUNT` of the input, the index of an address and so many steps or calls, they do these and print how
/// many nanoseconds it took. `subscribe` has a connection for each subscriber to events, and prints the
/// batches that each got when it is told to end, by a signal.
@main
enum SliceBenchmark {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count >= 3 else { usage() }
    let addresses = Array(arguments[2...])
    do {
      let loop = try EventLoop()
      switch arguments[1] {
      case "steps": drive(try addresses.map { try StepLoads(loop, $0) }, loop)
      case "calls": drive(try addresses.map { try CallLoad(loop, $0) }, loop)
      case "subscribe":
        guard addresses.count == 2, let count = Int(addresses[1]), count > 0 else { usage() }
        try subscribe(loop, addresses[0], count)
      default: usage()
      }
    } catch {
      print("\(error)")
      exit(1)
    }
  }

  private static func usage() -> Never {
    print("usage: SliceBenchmark steps|calls ADDRESS... | subscribe ADDRESS NUMBER")
    exit(2)
  }

  static func connect(_ loop: EventLoop, _ address: String) throws -> GRPCChannel {
    let channel = try GRPCChannel(loop: loop, target: address)
    var outcome: Status?
    channel.connect { outcome = $0 }
    while outcome == nil { loop.runOneTurn() }
    if let outcome, outcome.code != .ok { fail("no connection to \(address)", "\(outcome)") }
    return channel
  }

  static func fail(_ what: String, _ why: String) -> Never {
    print("\(what): \(why)")
    exit(1)
  }

  private static func drive(_ loads: [any Load], _ loop: EventLoop) {
    say("ready")
    while let line = readLine() {
      let numbers = line.split(separator: " ").compactMap { Int($0) }
      guard numbers.count == 2, loads.indices.contains(numbers[0]), numbers[1] > 0 else {
        fail("not SERVER COUNT", line)
      }
      let load = loads[numbers[0]]
      load.prepare(numbers[1])
      let start = EventLoop.clock
      load.begin()
      while !load.isDone { loop.runOneTurn() }
      say("\(EventLoop.clock - start)")
    }
  }

  static func say(_ line: String) {
    print(line)
    fflush(nil)
  }
}

/// Work for one server, in slices.
protocol Load: AnyObject {
  /// What can be done for so many more before the clock runs; what the latest slice left is gone on with.
  func prepare(_ count: Int)
  func begin()
  var isDone: Bool { get }
}
