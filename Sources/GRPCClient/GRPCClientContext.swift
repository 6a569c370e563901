internal import HTTP2
internal import MessageCompression
package import UVLoop

/// What the channels of one loop share: options, memory, deadlines and spare calls. A load tool with
/// many connections makes one of these; a channel by itself makes its own.
package final class GRPCClientContext {
  package let loop: EventLoop
  package let options: GRPCClientOptions
  let http2: HTTP2Context
  let deadlines: DeadlineQueue
  /// For header lists that are copied at once.
  let scratchFields = HTTP2FieldList()
  /// Of all calls: a message is packed or unpacked in one step.
  private(set) lazy var compressor = MessageCompressor()
  private(set) lazy var decompressor = MessageDecompressor()

  private var spareCalls: [ClientCall] = []
  private static let spareCallsLimit = 4_096
  private var due: [() -> Void] = []
  private var isRunningDue = false
  private var timer: LoopTimer?

  package init(loop: EventLoop, options: GRPCClientOptions = GRPCClientOptions()) {
    self.loop = loop
    self.options = options
    http2 = HTTP2Context(options.http2)
    deadlines = DeadlineQueue(on: loop)
    timer = LoopTimer(on: loop) { [unowned self] in runDue() }
  }

  /// Runs `work` from the loop, soon: completions never run inside a method their owner called.
  func later(_ work: @escaping () -> Void) {
    if due.isEmpty, !isRunningDue { timer?.start(afterNanoseconds: 0) }
    due.append(work)
  }

  private func runDue() {
    let work = due
    due.removeAll()
    isRunningDue = true
    for item in work { item() }
    isRunningDue = false
    // A timer of 0 set by a timer fires in the same turn, and work that begets work would keep the loop from
    // its sockets: that waits a millisecond, to which this is rounded up.
    if !due.isEmpty { timer?.start(afterNanoseconds: 1) }
  }

  func takeCall() -> ClientCall {
    spareCalls.popLast() ?? ClientCall(self)
  }

  func giveCall(_ call: ClientCall) {
    call.recycle()
    if spareCalls.count < GRPCClientContext.spareCallsLimit { spareCalls.append(call) }
  }
}
