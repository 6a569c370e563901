import GRPCWire
import Testing

@testable import GRPCClient

@Suite("Reused calls")
struct ReusedCallTests {
  @Test("a call that ended inside a long message's handling keeps 4 KiB of it for the next")
  func memory() throws {
    let fixture = try ClientFixture()
    // A unary call ends with the second message, which comes in pieces.
    fixture.server.onHalfClose = {
      $0.respond([(":status", "200"), ("content-type", "application/grpc")])
      $0.send([1])
      $0.send([UInt8](repeating: 2, count: 100_000))
    }
    var started: UnaryCall?
    var outcome: (status: Status, kept: Int)?
    started = fixture.channel.unary(
      path: "/test.Service/Method", message: UnsafeRawBufferPointer(start: nil, count: 0)
    ) { status, _ in outcome = (status, started?.call.framer.capacity ?? 0) }
    let call = try #require(started?.call)
    fixture.run(until: { outcome != nil && call.phase == .idle })
    #expect(outcome?.status.code == .unimplemented && outcome?.kept == 100_000)
    #expect(call.framer.capacity <= 4_096)
  }
}
