internal import Analysis
internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// The traces that are being played for calls of WhatIf: one at a time, in the order in which they came, a
/// piece after the other, so that calls in between wait for a piece and not for a trace.
final class TraceReplays {
  /// Those that wait, the one at hand included; each lies in memory.
  static let most = 4
  /// Of these, such as came on one connection (or from one process, on a Unix socket), which leaves room for
  /// others. A client with two connections may take all.
  static let mostOfPeer = 2
  /// Nanoseconds of a piece, but for the last command in it.
  static let pieceNanoseconds: UInt64 = 1_000_000

  private var waiting: [WhatIfCall] = []

  /// Refuses another one of this peer where there is no room. Asked before a trace is copied out of its request.
  func checkRoom(_ peer: String) throws(CallFailure) {
    guard waiting.count < Self.most else {
      throw CallFailure(
        Status(.unavailable, "\(Self.most) traces are being played already; try again later"))
    }
    guard waiting.count(where: { $0.peer == peer }) < Self.mostOfPeer else {
      throw CallFailure(
        Status(
          .unavailable,
          "\(Self.mostOfPeer) traces of this connection are being played already; try again when one is done"
        ))
    }
  }

  func add(_ call: WhatIfCall) { waiting.append(call) }

  func remove(_ call: WhatIfCall) { waiting.removeAll { $0 === call } }

  var isEmpty: Bool { waiting.isEmpty }

  /// A piece of the first.
  func play(_ clock: () -> UInt64) {
    guard let call = waiting.first else { return }
    let end = clock() &+ Self.pieceNanoseconds
    repeat {
      if call.playMore() {
        waiting.removeFirst()
        call.answer()
        return
      }
    } while Int64(bitPattern: clock() &- end) < 0
  }
}

/// One call of `Analyzer.WhatIf`. For a client it is unary; with a trace it takes a while.
final class WhatIfCall: RequestStream {
  private let service: QuireService
  private let responses: any ResponseStream
  fileprivate let peer: String
  private var plan: WhatIfPlan?
  private var trace: ReplayTrace?
  private var pace = TraceReplay.Pace.oneByOne
  private var configurations: [PoolConfiguration] = []
  private var replay: TraceReplay?
  private var results: [TraceReplay.Result] = []
  private var head = WhatIfReplyHead()
  /// Of the replays that are done.
  private var work: UInt64 = 0
  private var isTooLong = false
  private var isOver = false

  init(_ service: QuireService, _ responses: any ResponseStream, peer: String) {
    self.service = service
    self.responses = responses
    self.peer = peer
  }

  func received(_ message: UnsafeRawBufferPointer) {
    do throws(CallFailure) {
      let request = try service.decode(WhatIfRequest.self, message)
      let pool = try service.readPool(request.call).pool
      let plan = try WhatIfPlan(request, pool.configuration, recordBytes: pool.memoryPerBlock)
      guard let asked = request.trace else {
        service.packWhatIf(request, plan, pool)
        return reply()
      }
      try service.replays.checkRoom(peer)
      let trace = try plan.trace(asked)
      configurations = try plan.playable(atMost: service.replayLimit)
      self.trace = trace
      self.plan = plan
      pace = WhatIfPlan.pace(asked)
      head = WhatIfReplyHead(trace, pool)
      // One that is being played has asked for its next piece.
      let isFirst = service.replays.isEmpty
      service.replays.add(self)
      if isFirst { service.onReplay?(0) }
    } catch {
      isOver = true
      responses.finish(error.status)
    }
  }

  /// Goes on; true when all is done, or too much.
  func playMore() -> Bool {
    guard let trace else { preconditionFailure("a call without a trace is played") }
    if let replay {
      replay.advance()
      if work + replay.work > service.replayWork {
        isTooLong = true
        return true
      }
      if !replay.isDone { return false }
      work += replay.work
      results.append(replay.result)
      self.replay = nil
      return results.count == configurations.count
    }
    replay = TraceReplay(trace, pace, configurations[results.count])
    return false
  }

  /// With what was found.
  func answer() {
    if isTooLong {
      isOver = true
      let failure = CallFailure.invalid(
        "trace",
        "takes more than \(service.replayWork) blocks and tokens in commands, those that were refused or "
          + "done again included: try fewer pools, larger ones or fewer requests at once")
      responses.finish(failure.status)
      return
    }
    guard let plan else { preconditionFailure("a call without a trace was played") }
    var rows: [WhatIfRowFields] = []
    for (one, result) in zip(plan.cases, results) {
      rows.append(WhatIfRowFields(one, result, memory: head.memory))
    }
    service.packer.reset()
    service.packer.whatIfReply(
      revision: head.revision, rows: rows, optimalBlockSize: head.optimalBlockSize,
      sequences: UInt32(trace?.requests.count ?? 0), meanLength: head.meanLength,
      isTruncated: false)
    reply()
  }

  private func reply() {
    isOver = true
    responses.send(byteCount: service.packer.byteCount) { service.packer.copy(to: $0) }
    responses.finish(.ok)
  }

  func halfClosed() {}
  func drained() {}
  func cancelled(_ status: Status) {
    if isOver { return }
    isOver = true
    service.replays.remove(self)
  }
  /// A server that stops does not wait for it.
  var isIdle: Bool { true }
}

/// What the reply says beside the rows, as it was when the call came.
struct WhatIfReplyHead {
  var revision: Revision = 0
  var meanLength: Double = 0
  var optimalBlockSize: Double = 0
  /// Bytes of the server's own memory for a block.
  var memory: Double = 0

  init() {}

  init(_ trace: ReplayTrace, _ pool: KVPool) {
    revision = pool.revision
    memory = pool.memoryPerBlock
    let tokens = trace.requests.reduce(0.0) { $0 + Double($1.input) + Double($1.output) }
    meanLength = tokens / Double(max(1, trace.requests.count))
    optimalBlockSize = Self.optimalBlockSize(meanLength, pool)
  }

  /// 0 without a geometry.
  static func optimalBlockSize(_ meanTokens: Double, _ pool: KVPool) -> Double {
    let configuration = pool.configuration
    if configuration.bytesPerBlock == 0 { return 0 }
    return BlockArithmetic.optimalBlockSize(
      meanTokens: meanTokens,
      metadataBytes: pool.memoryPerBlock + Double(WhatIf.tableEntryBytes),
      tokenBytes: Double(configuration.bytesPerBlock) / Double(configuration.blockSize))
  }
}

extension QuireService {
  /// Plays a piece of what is to be played, and has itself called again where there is more: to be called
  /// when `onReplay` said so, and not within a call.
  package func playTraces() {
    let begin = nanoseconds()
    replays.play(nanoseconds)
    if replays.isEmpty { return }
    let cost = nanoseconds() &- begin
    onReplay?(UInt64(Double(cost) * max(0, 100 / replayPercent - 1)))
  }
}
