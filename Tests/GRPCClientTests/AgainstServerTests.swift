import GRPCClient
import GRPCServer
import GRPCWire
import Testing
import UVLoop

/// The client and the real server on one loop.
@Suite("Client and server together")
struct AgainstServerTests {
  private static func services() -> ServiceTable {
    let services = ServiceTable()
    services.unary("/test.Echo/Unary") { request, reply, call in
      let place = reply.message(byteCount: request.count)
      if let source = request.baseAddress {
        place.copyMemory(from: source, byteCount: request.count)
      }
      return .ok
    }
    services.unary("/test.Echo/Refuse") { _, _, call in
      let tenants = call.metadata("x-tenant").map { String(decoding: $0, as: UTF8.self) }
      return Status(
        .resourceExhausted, "später: \(tenants.joined(separator: ","))",
        detailType: "test.Detail", detail: [8, 1], trailers: [.init("x-revision", "4")])
    }
    services.streaming("/test.Echo/Stream", isClientStreaming: true) { responses, _ in
      EchoStream(responses)
    }
    return services
  }

  @Test("unary calls, refusals and a ping-pong of a thousand messages", arguments: [false, true])
  func together(overUnixSocket: Bool) throws {
    let loop = try EventLoop()
    let server = GRPCServer(loop: loop, services: Self.services())
    let address: ListenAddress =
      overUnixSocket
      ? .unix(path: "/tmp/quire-client-\(EventLoop.clock).sock")
      : .tcp(host: "127.0.0.1", port: 0)
    let channel = try GRPCChannel(loop: loop, target: try server.listen(on: address))

    var answers = 0
    for index in 0..<1_000 {
      withUnsafeBytes(of: UInt32(index)) {
        _ = channel.unary(path: "/test.Echo/Unary", message: $0, timeoutNanoseconds: 9_000_000_000)
        { status, message in
          #expect(status == .ok)
          #expect(message.loadUnaligned(as: UInt32.self) == UInt32(index))
          answers += 1
        }
      }
    }
    while answers < 1_000, loop.runOneTurn() {}
    #expect(server.statistics.callsTotal == 1_000)

    var metadata = CallMetadata()
    try metadata.add("x-tenant", "blue")
    try metadata.add("x-tenant", "red")
    var refusal: Status?
    let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
    channel.unary(path: "/test.Echo/Refuse", message: nothing, metadata: metadata) { status, _ in
      refusal = status
    }
    channel.unary(path: "/test.Echo/Missing", message: nothing) { status, _ in
      #expect(status.code == .unimplemented)
    }
    while refusal == nil, loop.runOneTurn() {}
    #expect(refusal?.code == .resourceExhausted)
    #expect(refusal?.message == "später: blue,red")
    #expect(refusal?.trailers == [Status.Trailer("x-revision", "4")])
    // google.rpc.Status begins with field 1, the code: 08 08.
    #expect(refusal?.details.starts(with: [0x08, 0x08]) == true)

    let recorder = Recorder()
    let call = channel.startStream(path: "/test.Echo/Stream", handler: recorder)
    recorder.onMessage = { message in
      if recorder.messages.count == 1_000 {
        call.halfClose()
      } else {
        call.send(bytes: message)
      }
    }
    call.send(bytes: [4, 2])
    while recorder.status == nil, loop.runOneTurn() {}
    #expect(recorder.status == .ok)
    #expect(recorder.messages.count == 1_000)

    channel.close()
    server.beginShutdown(graceNanoseconds: 1_000_000_000) {}
    loop.run()
  }
}
