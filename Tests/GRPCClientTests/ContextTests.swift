import Testing
import UVLoop

@testable import GRPCClient

@Suite("Client contexts")
struct ContextTests {
  @Test("work that begets work lets the loop see to its sockets in between")
  func begettingWork() throws {
    let loop = try EventLoop()
    let context = GRPCClientContext(loop: loop)
    var ran = 0
    func again() {
      ran += 1
      if ran < 100 { context.later(again) }
    }
    context.later(again)
    // A turn looks at its timers before it polls and after.
    loop.runOneTurn()
    #expect(ran <= 2)
    while ran < 100, loop.runOneTurn() {}
    #expect(ran == 100)
  }
}
