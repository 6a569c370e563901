import GRPCClient
import GRPCWire
import HTTP2
import Testing
import UVLoop

/// A loop with a scripted server and a channel to it.
final class ClientFixture {
  let loop: EventLoop
  let server: ScriptedServer
  let channel: GRPCChannel
  private var watchdog: LoopTimer?
  private var didTimeOut = false

  init(
    at address: ListenAddress = .tcp(host: "127.0.0.1", port: 0),
    options: GRPCClientOptions = GRPCClientOptions(),
    serverOptions: HTTP2Options = HTTP2Options()
  ) throws {
    loop = try EventLoop()
    server = try ScriptedServer(loop: loop, at: address, options: serverOptions)
    channel = try GRPCChannel(loop: loop, target: server.target, options: options)
    watchdog = LoopTimer(on: loop) { [unowned self] in didTimeOut = true }
  }

  deinit {
    channel.close()
    server.stop()
    loop.runOneTurn(waiting: false)
  }

  /// Runs the loop until `condition` holds; a test that waits for ten seconds has failed.
  func run(
    until condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    didTimeOut = false
    watchdog?.start(afterNanoseconds: 10_000_000_000)
    while !condition(), !didTimeOut { loop.runOneTurn() }
    watchdog?.stop()
    #expect(!didTimeOut, "the condition did not come true", sourceLocation: sourceLocation)
  }

  /// Makes one unary call and waits for its end.
  func unary(
    _ message: [UInt8] = [], path: String = "/test.Service/Method",
    timeoutNanoseconds: UInt64? = nil, metadata: CallMetadata? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) -> (status: Status, message: [UInt8]) {
    var outcome: (Status, [UInt8])?
    message.withUnsafeBytes {
      _ = channel.unary(
        path: path, message: $0, timeoutNanoseconds: timeoutNanoseconds, metadata: metadata
      ) { outcome = ($0, Array($1)) }
    }
    run(until: { outcome != nil }, sourceLocation: sourceLocation)
    return outcome ?? (Status(.unknown, "no outcome"), [])
  }
}

/// Notes what a streaming call brings.
final class Recorder: ResponseHandler {
  var messages: [[UInt8]] = []
  var status: Status?
  var drainedCount = 0
  var onMessage: ([UInt8]) -> Void = { _ in }

  func received(_ message: UnsafeRawBufferPointer) {
    #expect(status == nil, "a message after the call ended")
    messages.append(Array(message))
    onMessage(Array(message))
  }

  func finished(_ status: Status) {
    #expect(self.status == nil, "finished twice")
    self.status = status
    onMessage = { _ in }  // It may hold on to its own recorder.
  }

  func drained() { drainedCount += 1 }
}

extension StreamCall {
  @discardableResult
  func send(bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { send($0) } }
}
