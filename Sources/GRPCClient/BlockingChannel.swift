package import GRPCWire
package import TLSEngine
package import UVLoop

/// A channel with a loop of its own, for command-line tools: every call runs the loop until it is
/// answered.
package final class BlockingChannel {
  /// For what its owner waits for beside calls.
  package let loop: EventLoop
  private let channel: GRPCChannel

  /// - Parameter target: As for `GRPCChannel`.
  package init(
    target: String, options: GRPCClientOptions = GRPCClientOptions(), tls: TLSContext? = nil
  ) throws(BlockingChannelError) {
    do throws(UVError) {
      loop = try EventLoop()
    } catch {
      throw .loop(error)
    }
    do throws(AddressError) {
      channel = try GRPCChannel(loop: loop, target: target, options: options, tls: tls)
    } catch {
      throw .address(error)
    }
  }

  /// Makes one call and waits for its end. A call that the server never began, because it is going
  /// away or has no stream to spare, is begun again, at most twice.
  package func unary(
    _ path: String, message: [UInt8], timeoutNanoseconds: UInt64? = nil,
    metadata: CallMetadata? = nil
  ) -> (status: Status, message: [UInt8]) {
    let began = EventLoop.clock
    var outcome = once(path, message, timeoutNanoseconds, metadata)
    for _ in 0..<2 where outcome.status.wasNeverStarted {
      let spent = EventLoop.clock &- began
      let rest = timeoutNanoseconds.map { $0 > spent ? $0 - spent : 0 }
      if rest == 0 { break }
      outcome = once(path, message, rest, metadata)
    }
    return outcome
  }

  private func once(
    _ path: String, _ message: [UInt8], _ timeoutNanoseconds: UInt64?, _ metadata: CallMetadata?
  ) -> (status: Status, message: [UInt8]) {
    var outcome: (Status, [UInt8])?
    message.withUnsafeBytes {
      _ = channel.unary(
        path: path, message: $0, timeoutNanoseconds: timeoutNanoseconds, metadata: metadata
      ) { outcome = ($0, Array($1)) }
    }
    while outcome == nil, loop.runOneTurn() {}
    return outcome ?? (Status(.unknown, "the loop ended before the call"), [])
  }

  /// Connects, unless it is connected, and waits for the outcome.
  package func connect() -> Status {
    var outcome: Status?
    channel.connect { outcome = $0 }
    while outcome == nil, loop.runOneTurn() {}
    return outcome ?? Status(.unknown, "the loop ended before the connection was up")
  }

  /// Runs a server-streaming call, handing over each message, until it ends. `receive` returns
  /// whether it wants more; when not, or when `isEnough` comes true with something that the loop does,
  /// the call is cancelled.
  package func serverStream(
    _ path: String, message: [UInt8], timeoutNanoseconds: UInt64? = nil,
    metadata: CallMetadata? = nil, until isEnough: () -> Bool = { false },
    receive: @escaping (UnsafeRawBufferPointer) -> Bool
  ) -> Status {
    let receiver = Receiver(receive)
    let call = channel.startStream(
      path: path, timeoutNanoseconds: timeoutNanoseconds, metadata: metadata, handler: receiver)
    receiver.call = call
    message.withUnsafeBytes { _ = call.send($0) }
    call.halfClose()
    while receiver.status == nil, loop.runOneTurn() {
      if isEnough() { call.cancel() }
    }
    receiver.call = nil
    return receiver.status ?? Status(.unknown, "the loop ended before the call")
  }

  /// Lets time pass, or less of it where `isEnough` comes true with something that the loop does; the
  /// connection is looked after meanwhile.
  package func wait(nanoseconds: UInt64, until isEnough: () -> Bool = { false }) {
    var isOver = false
    let timer = LoopTimer(on: loop) { isOver = true }
    timer.start(afterNanoseconds: nanoseconds)
    while !isOver, !isEnough(), loop.runOneTurn() {}
  }

  /// Closes the connection and waits until it is closed. Calls made afterwards end with CANCELLED.
  package func close() {
    channel.close()
    loop.run()
  }
}

/// Why a blocking channel could not be made.
package enum BlockingChannelError: Error, CustomStringConvertible {
  case loop(UVError)
  case address(AddressError)

  package var description: String {
    switch self {
    case .loop(let error): error.description
    case .address(let error): error.description
    }
  }
}

private final class Receiver: ResponseHandler {
  private let receive: (UnsafeRawBufferPointer) -> Bool
  var call: StreamCall?
  var status: Status?

  init(_ receive: @escaping (UnsafeRawBufferPointer) -> Bool) { self.receive = receive }

  func received(_ message: UnsafeRawBufferPointer) { if !receive(message) { call?.cancel() } }
  func finished(_ status: Status) { self.status = status }
}
