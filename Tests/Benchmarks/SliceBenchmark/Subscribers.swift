import BlockMessages
import GRPCClient
import GRPCWire
import Glibc
import UVLoop

extension SliceBenchmark {
  /// Subscribers to the events of the default pool, until a signal comes.
  static func subscribe(_ loop: EventLoop, _ address: String, _ count: Int) throws {
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
    while readers.contains(where: { !$0.hasBegun }) { loop.runOneTurn() }
    say("ready")
    let end = Ending(loop)
    while !end.isOver { loop.runOneTurn() }
    say("batches=\(readers.map(\.batches).min() ?? 0)")
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
      SliceBenchmark.fail("no signals", "\(error)")
    }
  }
}

private final class Reader: ResponseHandler {
  /// Those with events.
  private(set) var batches = 0
  private(set) var hasBegun = false

  func received(_ message: UnsafeRawBufferPointer) {
    hasBegun = true
    // A heartbeat is a header alone; one event about a block takes more than that.
    if message.count > 80 { batches += 1 }
  }

  func finished(_ status: Status) { SliceBenchmark.fail("a subscriber was ended", "\(status)") }
}
