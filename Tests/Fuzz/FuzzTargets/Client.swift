internal import GRPCClient
internal import GRPCWire
internal import HTTP2
internal import UVLoop

/// A byte of choices, then a `FrameScript` or bytes as they are: what a server answers to a client
/// that has made some calls.
///
/// Every call ends exactly once, and nothing is left open.
func fuzzClient(_ input: UnsafeRawBufferPointer) {
  var reader = InputReader(input)
  let choices = reader.byte()
  let slices =
    choices & 1 == 0
    ? FrameScript(reader, isServer: true, paths: []).slices
    : [Array(reader.rest.prefix(2_000)), Array(reader.rest.dropFirst(2_000))]
  let bench = ClientBench(isSmall: choices & 2 != 0)
  bench.begin(choices >> 4 + 1)
  for slice in slices { bench.answer(slice) }
  if choices & 4 != 0 { bench.cancelAll() }
  if choices & 8 != 0 { bench.begin(1) }
  bench.finish()
}

/// A client and a server that is nothing but a listener.
private final class ClientBench {
  private static let mostTurns = 20_000

  private let loop: EventLoop
  private var listener: StreamListener?
  private var peers: [FuzzPeer] = []
  private let channel: GRPCChannel
  private var calls: [UnaryCall] = []
  private var ended: [Int] = []
  private var streams: [(call: StreamCall, handler: Handler)] = []

  init(isSmall: Bool) {
    var options = GRPCClientOptions()
    options.maxResponseMessageBytes = 8_192
    options.maxWaitingCalls = 10
    options.http2.maxHeaderListBytes = 4_096
    if isSmall { options.http2.streamWindowBytes = 100 }
    let address = ListenAddress.unix(path: uniqueSocketPath())
    do {
      loop = try EventLoop()
      channel = GRPCChannel(
        target: address, context: GRPCClientContext(loop: loop, options: options))
      listener = try StreamListener(on: loop, at: address) { [unowned self] in
        peers.append(FuzzPeer($0))
      }
    } catch {
      fatalError("\(error)")
    }
  }

  func begin(_ count: UInt8) {
    let message = [UInt8](repeating: 3, count: 300)
    for number in 0..<Int(count) {
      message.withUnsafeBytes { bytes in
        if number % 3 == 2 {
          let handler = Handler()
          let call = channel.startStream(
            path: "/f/Bidi", timeoutNanoseconds: number % 2 == 0 ? 1_000_000_000_000 : nil,
            handler: handler)
          call.send(bytes)
          if number % 2 == 0 { call.halfClose() }
          streams.append((call, handler))
        } else {
          let index = ended.count
          ended.append(0)
          calls.append(
            channel.unary(
              path: "/f/Unary", message: bytes,
              timeoutNanoseconds: number == 4 ? 1 : nil
            ) { [unowned self] status, reply in
              demand(status.code == .ok || reply.isEmpty, "a message with \(status)")
              ended[index] += 1
            })
        }
      }
    }
    settle()
  }

  func answer(_ slice: [UInt8]) {
    guard let peer = peers.last, !peer.hasEnded else { return }
    peer.send(slice)
    settle()
    for stream in streams where stream.call.isOpen {
      [1 as UInt8, 2].withUnsafeBytes { _ = stream.call.send($0) }
    }
    settle()
  }

  func cancelAll() {
    for call in calls { call.cancel() }
    for stream in streams { stream.call.cancel() }
    settle()
    demand(ended.allSatisfy { $0 == 1 }, "a cancelled call goes on")
  }

  func finish() {
    for peer in peers { peer.close() }
    settle()
    channel.close()
    settle()
    demand(ended.allSatisfy { $0 == 1 }, "calls ended \(ended) times")
    demand(streams.allSatisfy { $0.handler.ended == 1 }, "a stream did not end once")
    demand(channel.openStreams == 0, "\(channel.openStreams) streams left")
    listener?.close()
    listener = nil
    for peer in peers { peer.close() }
    settle()
  }

  private func settle() {
    var still = 0
    var turns = 0
    while still < 4 {
      let before = state
      loop.runOneTurn(waiting: false)
      still = state == before ? still + 1 : 0
      turns += 1
      demand(turns < ClientBench.mostTurns, "it never comes to rest")
    }
  }

  private var state: [Int] { peers.flatMap(\.progress) + ended + streams.map(\.handler.count) }

  private final class Handler: ResponseHandler {
    private(set) var ended = 0
    private(set) var count = 0

    func received(_ message: UnsafeRawBufferPointer) {
      demand(ended == 0, "a message after the end")
      count += 1
    }
    func finished(_ status: Status) {
      ended += 1
      count += 1
    }
  }
}
