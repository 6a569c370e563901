import Foundation
import GRPCClient
import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

/// The server runs on a thread and a loop of its own: the blocking client blocks its thread.
@Suite("The blocking channel", .timeLimit(.minutes(1)))
struct BlockingChannelTests {
  private final class Counter: RequestStream {
    let responses: any ResponseStream
    init(_ responses: any ResponseStream) { self.responses = responses }
    func received(_ message: UnsafeRawBufferPointer) {
      for index in 0..<100 {
        responses.send(byteCount: 1) { $0.storeBytes(of: UInt8(index), as: UInt8.self) }
      }
    }
    func halfClosed() { responses.finish(Status(.outOfRange, "no more")) }
    func cancelled(_ status: Status) {}
    func drained() {}
  }

  /// Serves at `path` until the method `Stop` is called.
  private static func serve(at path: String) {
    do {
      let loop = try EventLoop()
      let services = ServiceTable()
      var stop: () -> Void = {}
      services.unary("/test.Echo/Unary") { request, reply, _ in
        let place = reply.message(byteCount: request.count)
        if let source = request.baseAddress {
          place.copyMemory(from: source, byteCount: request.count)
        }
        return .ok
      }
      services.unary("/test.Echo/Stop") { _, reply, _ in
        _ = reply.message(byteCount: 0)
        stop()
        return .ok
      }
      services.streaming("/test.Echo/Count", isClientStreaming: false) { responses, _ in
        Counter(responses)
      }
      let server = GRPCServer(loop: loop, services: services)
      let timer = LoopTimer(on: loop) { server.beginShutdown(graceNanoseconds: 1_000_000) {} }
      stop = { timer.start(afterNanoseconds: 0) }
      _ = try server.listen(on: .unix(path: path))
      loop.run()
      stop = {}  // It holds on to the server, whose table holds on to it.
    } catch {
      Issue.record(error)
    }
  }

  @Test("a tool calls, streams, is refused and closes, one thing after the other")
  func callsInTurn() throws {
    let path = "/tmp/quire-blocking-\(EventLoop.clock).sock"
    Thread.detachNewThread { Self.serve(at: path) }
    var options = GRPCClientOptions()
    options.reconnectDelayNanoseconds = 1_000_000
    let channel = try BlockingChannel(target: "unix:\(path)", options: options)
    // Until the thread listens.
    while channel.connect() != .ok {}

    let echo = channel.unary(
      "/test.Echo/Unary", message: [1, 2], timeoutNanoseconds: 9_000_000_000)
    #expect(echo.status == .ok)
    #expect(echo.message == [1, 2])
    #expect(channel.unary("/test.Echo/Nothing", message: []).status.code == .unimplemented)

    var received: [UInt8] = []
    let status = channel.serverStream("/test.Echo/Count", message: [0]) {
      received.append($0[0])
      return true
    }
    #expect(status == Status(.outOfRange, "no more"))
    #expect(received == Array(0..<100))

    received = []
    let cut = channel.serverStream("/test.Echo/Count", message: [0]) {
      received.append($0[0])
      return received.count < 3
    }
    #expect(cut.code == .cancelled)
    #expect(received == [0, 1, 2])

    #expect(channel.unary("/test.Echo/Stop", message: []).status == .ok)
    channel.close()
    #expect(channel.unary("/test.Echo/Unary", message: []).status.code == .cancelled)
  }

  /// Refuses `count` streams at `path` and answers those that follow, until `Stop` is called.
  private static func refuse(_ count: Int, at path: String) {
    do {
      let loop = try EventLoop()
      let server = try ScriptedServer(loop: loop, at: .unix(path: path))
      let timer = LoopTimer(on: loop) { server.stop() }
      var left = count
      server.onHalfClose = { call in
        if call.field(":path") == "/test.Echo/Stop" {
          timer.start(afterNanoseconds: 0)
        } else if left > 0 {
          left -= 1
          return call.reset(.refusedStream)
        }
        call.respond()
        call.send([9])
        call.finish([("grpc-status", "0")])
      }
      loop.run()
      server.onHalfClose = { _ in }  // It holds on to the timer, which holds on to the server.
    } catch {
      Issue.record(error)
    }
  }

  @Test("a call that the server never began is begun again, twice at most", arguments: [0, 2, 3])
  func begunAgain(refusals: Int) throws {
    let path = "/tmp/quire-refusing-\(EventLoop.clock).sock"
    Thread.detachNewThread { Self.refuse(refusals, at: path) }
    var options = GRPCClientOptions()
    options.reconnectDelayNanoseconds = 1_000_000
    let channel = try BlockingChannel(target: "unix:\(path)", options: options)
    while channel.connect() != .ok {}
    let answer = channel.unary("/test.Echo/Unary", message: [1], timeoutNanoseconds: 9_000_000_000)
    #expect(answer.status.code == (refusals < 3 ? .ok : .unavailable))
    #expect(answer.message == (refusals < 3 ? [9] : []))
    #expect(answer.status.wasNeverStarted == (refusals == 3))
    #expect(channel.unary("/test.Echo/Stop", message: []).status == .ok)
    channel.close()
  }

  @Test("a target that is no address is refused with its reason")
  func badTarget() {
    #expect(throws: BlockingChannelError.self) { try BlockingChannel(target: "localhost") }
    #expect(throws: BlockingChannelError.self) { try BlockingChannel(target: "unix:") }
  }
}
