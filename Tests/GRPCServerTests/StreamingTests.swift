import GRPCServer
import GRPCWire
import HTTP2
import Testing
import UVLoop

@Suite("streaming calls")
struct StreamingTests {
  @Test("a bidirectional stream answers message by message and ends with the client")
  func bidi() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Bidi")
    client.send(call, [1])
    harness.run("first") { call.messages == [[1]] }
    client.send(call, [2, 2])
    harness.run("second") { call.messages == [[1], [2, 2]] }
    #expect(call.closed == nil)
    client.end(call)
    harness.run("end") { call.closed != nil }
    #expect(call.grpcStatus == "0" && call.closed == .noError)
    harness.finish([client])
  }

  @Test("a client stream is collected into one answer")
  func clientStreaming() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Collect")
    for _ in 0..<100 { client.send(call, [UInt8](repeating: 1, count: 1_000)) }
    client.end(call)
    harness.run("end") { call.closed != nil }
    #expect(call.messages == [[0, 1, 0x86, 0xA0]] && call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("a server stream answers one request many times, and takes no second")
  func serverStreaming() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.unary("/test.Echo/Repeat", [4])
    let second = client.begin("/test.Echo/Repeat")
    client.send(second, [1])
    client.send(second, [2], ends: true)
    harness.run("end") { call.closed != nil && second.closed != nil }
    #expect(call.messages == [[4], [4], [4]] && call.grpcStatus == "0")
    #expect(second.grpcStatus == "13" && second.messages.isEmpty)
    harness.finish([client])
  }

  @Test("a handler may refuse before it takes a message")
  func refuse() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Refuse")
    client.flush()
    harness.run("end") { call.closed != nil }
    #expect(call.blocks == 1 && call.grpcStatus == "7" && call.grpcMessage == "not you")
    harness.finish([client])
  }

  @Test("a reset cancels the handler, and what it sends afterwards goes nowhere")
  func reset() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("message") { harness.echo.silent.first?.received == 1 }
    client.reset(call)
    harness.run("cancellation") { harness.echo.silent[0].cancellation != nil }
    let silent = harness.echo.silent[0]
    #expect(silent.cancellation?.code == .cancelled)
    // Another call takes the pooled object; the first handler must not reach it.
    let other = client.begin("/test.Echo/Silent")
    client.send(other, [1])
    harness.run("other") { harness.echo.silent.count == 2 }
    silent.responses.send(byteCount: 1) { $0.storeBytes(of: 1, as: UInt8.self) }
    silent.responses.finish(.ok)
    #expect(silent.responses.queuedBytes == 0)
    harness.echo.silent[1].responses.finish(Status(.aborted))
    harness.run("end") { other.closed != nil }
    #expect(other.grpcStatus == "10" && other.data.isEmpty)
    harness.finish([client])
  }

  @Test("a lost connection cancels its calls")
  func lostConnection() throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("message") { harness.echo.silent.first?.received == 1 }
    client.close()
    harness.run("cancellation") { harness.echo.silent[0].cancellation != nil }
    #expect(harness.echo.silent[0].cancellation?.code == .cancelled)
    harness.finish()
  }

  @Test("a deadline ends the call on both sides", arguments: [false, true])
  func deadline(hasAnswered: Bool) throws {
    let harness = try Harness()
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Silent", ["grpc-timeout": "60m"])
    client.send(call, [1])
    harness.run("message") { harness.echo.silent.first?.received == 1 }
    let silent = harness.echo.silent[0]
    if hasAnswered { silent.responses.send(byteCount: 0) { _ in } }
    harness.run("expiry") { call.closed != nil }
    #expect(call.grpcStatus == "4" && call.blocks == (hasAnswered ? 2 : 1))
    #expect(silent.cancellation?.code == .deadlineExceeded)
    // A late result is ignored.
    silent.responses.finish(.ok)
    harness.finish([client])
  }

  @Test("a slow reader stops its own requests from being read, and drains later")
  func backpressure() throws {
    let harness = try Harness()
    let client = try harness.connect()
    client.consumes = false
    let call = client.begin("/test.Echo/Silent")
    client.send(call, [1])
    harness.run("begin") { harness.echo.silent.first?.received == 1 }
    let silent = harness.echo.silent[0]
    // The client's window of 1 MiB takes the first part; the rest waits.
    for _ in 0..<20 {
      silent.responses.send(byteCount: 100_000) {
        $0.initializeMemory(as: UInt8.self, repeating: 7, count: 100_000)
      }
    }
    harness.run("window") { call.data.count == 1 << 20 }
    #expect(silent.responses.queuedBytes == 20 * 100_005 - 1 << 20)
    #expect(harness.server.statistics.bufferedBytes >= silent.responses.queuedBytes)
    // Uploads stop at the stream window: what arrives is not given back.
    for _ in 0..<30 { client.send(call, [UInt8](repeating: 2, count: 100_000)) }
    harness.run("upload stops") { call.stream.queuedBytes <= 3_000_150 - 1_000_000 }
    for _ in 0..<50 { harness.loop.runOneTurn(waiting: false) }
    #expect(call.stream.queuedBytes > 3_000_150 - (1 << 20))
    #expect(silent.received == 1)
    #expect(silent.drains == 0)
    client.consumeAll()
    harness.run("all") { call.data.count == 20 * 100_005 && silent.received == 3_000_001 }
    #expect(silent.drains == 1)
    silent.responses.finish(.ok)
    harness.run("end") { call.closed != nil }
    #expect(call.messages.count == 20)
    harness.finish([client])
  }

  @Test("small requests for large responses wait while the responses are not read")
  func amplification() throws {
    var requests = 0
    let harness = try Harness { table in
      table.streaming("/test.Echo/Amplify", isClientStreaming: true) { responses, _ in
        Amplifier(responses) { requests += 1 }
      }
    }
    let client = try harness.connect()
    client.consumes = false
    let call = client.begin("/test.Echo/Amplify")
    // One read holds them all, with the end of the stream.
    client.send(call, raw: [[UInt8]](repeating: [0, 0, 0, 0, 0], count: 200).flatMap { $0 })
    client.end(call)
    harness.run("window") { call.data.count == 1 << 20 }
    // The window, the high-water mark of 256 KiB, and the response that passed it.
    let most = (1 << 20) + (256 << 10) + 100_005
    #expect(requests <= most / 100_005)
    #expect(harness.server.statistics.bufferedBytes <= (256 << 10) + 100_005)
    client.consumeAll()
    harness.run("end") { call.closed != nil }
    #expect(requests == 200 && call.messages.count == 200 && call.grpcStatus == "0")
    harness.finish([client])
  }

  @Test("a call whose responses are not read keeps nothing of the request it answered")
  func backedUpMemory() throws {
    let harness = try Harness { table in
      table.streaming("/test.Echo/Amplify", isClientStreaming: true) { responses, _ in
        BackedUp(responses)
      }
    }
    var closed = HTTP2Options()
    closed.streamWindowBytes = 0
    let client = try harness.connect(closed)
    client.session.submitPing(1)
    client.flush()
    harness.run("the server's settings") { client.pings == 1 }
    var most = 0
    for _ in 0..<3 {
      let call = client.begin("/test.Echo/Amplify")
      client.send(call, [UInt8](repeating: 1, count: 900_000))
      harness.run("the request to be answered") {
        most = max(most, harness.server.statistics.heldRequestBytes)
        return harness.server.statistics.bufferedBytes >= client.calls.count * 400_000
      }
      #expect(harness.server.statistics.heldRequestBytes == 0)
      // What comes behind waits, and counts; its end changes nothing.
      client.send(call, raw: [UInt8](repeating: 0, count: 1_000))
      harness.run("the bytes behind") { harness.server.statistics.heldRequestBytes == 1_000 }
      client.reset(call)
      harness.run("the end") { harness.server.statistics.activeCalls == 0 }
      #expect(harness.server.statistics.heldRequestBytes == 0)
      client.calls.removeAll()
    }
    // Seen while it came: the memory, of which the bytes are a part.
    #expect(most > 100_000)
    harness.finish([client])
  }

  @Test("a call that is reset while its requests wait gives their bytes back to the connection")
  func resetWhileWaiting() throws {
    var options = ServerOptions()
    options.http2.connectionWindowBytes = 70_000
    let harness = try Harness(options: options) { table in
      table.streaming("/test.Echo/Amplify", isClientStreaming: true) { responses, _ in
        Amplifier(responses) {}
      }
    }
    for _ in 0..<3 {
      let client = try harness.connect()
      client.consumes = false
      for _ in 0..<4 {
        let call = client.begin("/test.Echo/Amplify")
        client.send(call, raw: [[UInt8]](repeating: [0, 0, 0, 0, 0], count: 100).flatMap { $0 })
        harness.run("window") { call.data.count == 1 << 20 }
        client.send(call, raw: [UInt8](repeating: 0, count: 50_000))
        harness.run("upload") { call.stream.queuedBytes == 0 }
        client.reset(call)
        client.consumeAll()
        client.consumes = false
      }
      client.close()
    }
    harness.finish()
  }

  @Test("a connection that leaves its responses unread gets no more of them")
  func unreadLimit() throws {
    var options = ServerOptions()
    options.maxUnreadResponseBytes = 1_000_000
    let harness = try Harness(options: options)
    var closedWindows = HTTP2Options()
    closedWindows.streamWindowBytes = 0
    let client = try harness.connect(closedWindows)
    let other = try harness.connect()
    // Until the server's windows are known, the first calls' bytes wait for them.
    client.session.submitPing(1)
    client.flush()
    harness.run("the server's settings") { client.pings == 1 }
    let stream = client.begin("/test.Echo/Silent")
    client.send(stream, [1])
    let quiet = client.begin("/test.Echo/Silent")
    client.send(quiet, [1])
    harness.run("streams") { harness.echo.silent.count == 2 }
    harness.echo.silent[0].responses.send(byteCount: 10) { _ in }
    let message = [UInt8](repeating: 1, count: 300_000)
    let calls = (0..<5).map { _ in client.unary("/test.Echo/Unary", message) }
    harness.run("refusal") { calls[4].closed != nil }
    #expect(calls[4].grpcStatus == "14" && calls[4].blocks == 1)
    #expect(calls[4].headers["grpc-retry-pushback-ms"] == "1000")
    #expect(
      calls[4].grpcMessage == "too many response bytes on this connection are not read")
    #expect(calls[..<4].allSatisfy { $0.closed == nil })
    // A stream that goes on sending is reset; one that has said nothing yet is told why.
    for silent in harness.echo.silent {
      silent.responses.send(byteCount: 10) { _ in }
      #expect(silent.cancellation?.code == .unavailable)
    }
    harness.run("ends") { stream.closed != nil && quiet.closed != nil }
    #expect(stream.closed == .cancel)
    #expect(quiet.blocks == 1 && quiet.grpcStatus == "14")
    // Others do not notice.
    let answered = other.unary("/test.Echo/Unary", message)
    harness.run("answer") { answered.closed != nil }
    #expect(answered.grpcStatus == "0")
    harness.finish([client, other])
  }

  @Test("twenty megabytes echo through small windows")
  func volume() throws {
    var options = ServerOptions()
    options.http2.streamWindowBytes = 100_000
    let harness = try Harness(options: options)
    let client = try harness.connect()
    let call = client.begin("/test.Echo/Bidi")
    for index in 0..<200 { client.send(call, [UInt8](repeating: UInt8(index), count: 100_000)) }
    client.end(call)
    harness.run("end") { call.closed != nil }
    let messages = call.messages
    #expect(messages.count == 200)
    #expect(messages.enumerated().allSatisfy { $1.count == 100_000 && $1[99_999] == UInt8($0) })
    harness.finish([client])
  }
}
