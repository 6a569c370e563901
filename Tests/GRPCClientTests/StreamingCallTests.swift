import GRPCClient
import GRPCWire
import HTTP2
import Testing
import UVLoop

@Suite("Streaming calls")
struct StreamingCallTests {
  private static let path = "/test.Service/Stream"

  @Test("a server stream brings its messages in order, then its status")
  func serverStream() throws {
    let fixture = try ClientFixture()
    fixture.server.onHalfClose = { call in
      call.respond()
      for index in 0..<200 { call.send([UInt8](repeating: UInt8(index), count: index)) }
      call.finish([("grpc-status", "11"), ("grpc-message", "the end")])
    }
    let recorder = Recorder()
    let call = fixture.channel.startStream(path: Self.path, handler: recorder)
    call.send(bytes: [1])
    call.halfClose()
    #expect(!call.send(bytes: [2]), "half-closed")
    fixture.run { recorder.status != nil }
    #expect(recorder.status == Status(.outOfRange, "the end"))
    #expect(recorder.messages.count == 200)
    #expect(recorder.messages[0] == [])
    #expect(recorder.messages[3] == [3, 3, 3])
    #expect(recorder.messages[199] == [UInt8](repeating: 199, count: 199))
    #expect(!call.isOpen)
  }

  @Test("messages cut into single bytes come out whole")
  func cutIntoBytes() throws {
    let fixture = try ClientFixture()
    var started: ServerCall?
    fixture.server.onStart = {
      started = $0
      $0.respond()
    }
    let recorder = Recorder()
    let call = fixture.channel.startStream(path: Self.path, handler: recorder)
    fixture.run { started != nil }
    // Three messages: "ab", empty, "c".
    for byte in [0, 0, 0, 0, 2, 97, 98, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 99] as [UInt8] {
      started?.sendRaw([byte])
      fixture.loop.runOneTurn(waiting: false)
    }
    fixture.run { recorder.messages.count == 3 }
    #expect(recorder.messages == [[97, 98], [], [99]])
    call.cancel()
    fixture.run { recorder.status?.code == .cancelled }
  }

  @Test("a thousand messages go back and forth one at a time")
  func pingPong() throws {
    let fixture = try ClientFixture()
    fixture.server.onStart = { $0.respond() }
    fixture.server.onMessage = { $0.send($1) }
    fixture.server.onHalfClose = { $0.finish([("grpc-status", "0")]) }
    let recorder = Recorder()
    let call = fixture.channel.startStream(path: Self.path, handler: recorder)
    recorder.onMessage = { message in
      let next = Int(message[0]) + Int(message[1]) << 8 + 1
      if next == 1_000 {
        call.halfClose()
      } else {
        call.send(bytes: [UInt8(next & 255), UInt8(next >> 8)])
      }
    }
    call.send(bytes: [0, 0])
    fixture.run { recorder.status != nil }
    #expect(recorder.status == .ok)
    #expect(recorder.messages.count == 1_000)
    #expect(recorder.messages.last == [0xE7, 0x03])
  }

  @Test("what flow control holds back is counted, and its end announced")
  func backPressure() throws {
    var narrow = HTTP2Options()
    narrow.streamWindowBytes = 65_535
    var options = GRPCClientOptions()
    options.streamHighWaterBytes = 100_000
    let fixture = try ClientFixture(options: options, serverOptions: narrow)
    var received = 0
    fixture.server.onStart = { $0.respond() }
    fixture.server.onMessage = { received += $1.count }
    fixture.server.onHalfClose = { $0.finish([("grpc-status", "0")]) }
    let recorder = Recorder()
    let call = fixture.channel.startStream(path: Self.path, handler: recorder)
    for _ in 0..<20 { call.send(bytes: [UInt8](repeating: 7, count: 10_000)) }
    #expect(call.queuedBytes == 200_100, "20 messages and their prefixes of 5 bytes")
    #expect(recorder.drainedCount == 0)
    fixture.run { recorder.drainedCount == 1 }
    fixture.run { received == 200_000 }
    call.halfClose()
    fixture.run { recorder.status != nil }
    #expect(recorder.status == .ok)
    #expect(call.queuedBytes == 0)
    #expect(recorder.drainedCount == 1)
  }

  @Test("a server may end a call to which the client still sends")
  func serverEndsFirst() throws {
    var narrow = HTTP2Options()
    narrow.streamWindowBytes = 65_535
    let fixture = try ClientFixture(serverOptions: narrow)
    var isFirst = true
    var closed = 0
    fixture.server.onMessage = { call, _ in
      guard isFirst else { return }
      isFirst = false
      call.respond(
        [
          (":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "8"),
        ], endsStream: true)
    }
    fixture.server.onClose = { _, _ in closed += 1 }
    let recorder = Recorder()
    let call = fixture.channel.startStream(path: Self.path, handler: recorder)
    for _ in 0..<100 { call.send(bytes: [UInt8](repeating: 7, count: 10_000)) }
    fixture.run { recorder.status != nil }
    #expect(recorder.status?.code == .resourceExhausted)
    #expect(!call.send(bytes: [1]))
    fixture.run { closed == 1 && fixture.channel.openStreams == 0 }
  }

  @Test("no message comes after a cancellation, and the server hears of it")
  func cancelWhileReceiving() throws {
    let fixture = try ClientFixture()
    var closeCode: HTTP2ErrorCode?
    fixture.server.onStart = { call in
      call.respond()
      for _ in 0..<10 { call.send([1]) }
    }
    fixture.server.onClose = { closeCode = $1 }
    let recorder = Recorder()
    let call = fixture.channel.startStream(path: Self.path, handler: recorder)
    recorder.onMessage = { _ in call.cancel() }
    fixture.run { recorder.status != nil && closeCode != nil }
    #expect(recorder.messages.count == 1)
    #expect(recorder.status?.code == .cancelled)
    #expect(closeCode == .cancel)
  }

  @Test("a stream's deadline ends it between messages")
  func deadline() throws {
    let fixture = try ClientFixture()
    fixture.server.onStart = {
      $0.respond()
      $0.send([1])
    }
    let recorder = Recorder()
    let call = fixture.channel.startStream(
      path: Self.path, timeoutNanoseconds: 30_000_000, handler: recorder)
    fixture.run { recorder.status != nil }
    #expect(recorder.status?.code == .deadlineExceeded)
    #expect(recorder.messages == [[1]])
    #expect(!call.isOpen)
  }
}
