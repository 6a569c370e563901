import BlockMessages
import GRPCClient
import GRPCWire
import UVLoop

/// Unary calls over 8 connections x 100 streams: each stream allocates a block, gives it back and begins again,
/// so that the pool stays as full as it was.
final class CallLoad: Load {
  private static let connections = 8
  private static let streams = 100

  private let channels: [GRPCChannel]
  private let allocate: [GRPCMethod]
  private let free: [GRPCMethod]
  private let decoder = MessageDecoder()
  private var packer = MessagePacker()
  /// By stream, the block that it holds; 0 = none.
  private var held = [UInt32](repeating: 0, count: connections * streams)
  private var left = 0
  private var underWay = 0

  init(_ loop: EventLoop, _ address: String) throws {
    channels = try (0..<Self.connections).map { _ in try SliceBenchmark.connect(loop, address) }
    allocate = channels.map { $0.method("/quire.v1.BlockPool/Allocate") }
    free = channels.map { $0.method("/quire.v1.BlockPool/Free") }
  }

  var isDone: Bool { left == 0 && underWay == 0 }

  func prepare(_ count: Int) { left = count }

  func begin() {
    for stream in held.indices { send(stream) }
  }

  private func send(_ stream: Int) {
    if left == 0 { return }
    left -= 1
    underWay += 1
    let connection = stream % Self.connections
    let block = held[stream]
    packer.reset()
    packer.request(
      block == 0 ? .allocate(count: 1) : .freeBlocks([block]))
    channels[connection].unary(
      block == 0 ? allocate[connection] : free[connection], message: packer.bytes
    ) { [unowned self] status, reply in
      if status != .ok { SliceBenchmark.fail("a call failed", "\(status)") }
      held[stream] = block == 0 ? allocated(reply) : 0
      underWay -= 1
      send(stream)
    }
  }

  private func allocated(_ reply: UnsafeRawBufferPointer) -> UInt32 {
    do {
      let ids = try decoder.decode(AllocateReplyMessage.self, from: reply).blockIDs
      guard ids.count == 1 else { SliceBenchmark.fail("not one block", "\(ids.count)") }
      return ids[0]
    } catch {
      SliceBenchmark.fail("not a reply", "\(error)")
    }
  }
}
