internal import BlockMessages
package import GRPCWire
internal import KVBlocks

// This module owns what each RPC of quire.v1 means: one function per RPC, from the bytes of the
// request through a command to the bytes of the reply, and the one table from refusals to statuses.
// It never does I/O, never keeps a request, and decides nothing about blocks: that is KVBlocks'.

/// Serves quire.v1 over the pools of a registry.
///
/// Confined to one thread: calls are served one at a time, with one decoder, one outcome, one packer
/// and one list of operations, all reused, so that a call in the common case allocates nothing.
/// Everything is held by the default session: a client that goes leaves its blocks held, visibly.
/// Sockets, frames and connections are never seen here, and what an operation does to blocks is the pool's to decide.
package final class QuireService {
  package let registry: PoolRegistry
  let decoder = MessageDecoder()
  let outcome = Outcome()
  var packer = MessagePacker()
  var operations = FlatList<Operation>(minimumCapacity: 256)
  let transfers: DumpTransfers
  let contents = ContentReader()

  package let events: EventHub
  /// Follows the pools; nil where nobody started sampling.
  package internal(set) var analyses: PoolAnalyses?
  let feeds = StatsFeeds()
  /// Have `tickWatches` called in so many milliseconds, and not any more at the time asked for before.
  package var onWatch: ((_ milliseconds: UInt64) -> Void)?
  /// What looks cost is measured by this clock; the share of the time that they may take, in percent.
  package var nanoseconds: () -> UInt64 = { 0 }
  package var sampleBudgetPercent: Double = 1

  let replays = TraceReplays()
  /// Have `playTraces` called in so many nanoseconds, and not within a call.
  package var onReplay: ((_ nanoseconds: UInt64) -> Void)?
  /// Of the time, what playing traces may take, in percent; and blocks of a pool to play into.
  package var replayPercent: Double = 25
  package var replayLimit: UInt32 = 1 << 18
  /// Sequences and blocks that the commands of one call's replays may be given in all: some minutes' worth.
  package var replayWork: UInt64 = 1 << 32

  private let clock: () -> UInt64
  /// nil: none are kept.
  private(set) var histories: PoolHistories?
  /// nil: lifetimes and waits are not measured.
  var lifetimeMeter: PoolLifetimeMeter?
  var waitMeter: AdmissionWaitMeter?
  /// Called after a call that left a pool short of what proactive eviction keeps: have `evictAhead`
  /// called soon, and not within a call.
  package var onDeficit: (() -> Void)?

  /// `clock`: milliseconds, for callers that bring no clock of their own.
  package init(
    pools registry: PoolRegistry, events: EventOptions = .init(),
    clock: @escaping () -> UInt64 = { 0 }
  ) {
    self.registry = registry
    self.clock = clock
    self.events = EventHub(events, registry, clock: clock)
    transfers = DumpTransfers(limit: registry.limits.dumpBytes)
  }

  /// Remembers the past of pools, for ExplainBlock and ExplainLookup.
  package func keepHistories(from beginning: PoolHistories.Beginning) {
    let histories = PoolHistories(from: beginning, clock: clock)
    self.histories = histories
    registry.follow(histories)
  }

  /// This server's clock.
  var clockNow: UInt64 { clock() }

  /// The clock of a command: the caller's, or this server's.
  func now(_ call: CallMessage) -> UInt64 { call.nowMs == 0 ? clock() : call.nowMs }

  /// Puts every RPC of quire.v1 into `table`; those not served yet answer UNIMPLEMENTED.
  package func register(in table: ServiceTable) {
    unary(table, "BlockPool/Allocate") { (service, request, reply) throws(CallFailure) in
      try service.allocate(request, reply)
    }
    unary(table, "BlockPool/Free") { (service, request, reply) throws(CallFailure) in
      try service.freeBlocks(request, reply)
    }
    unary(table, "BlockPool/Fork", forkBlocks)
    unary(table, "BlockPool/CopyOnWrite", copyOnWrite)
    unary(table, "BlockPool/AckCopies", ackCopies)
    unary(table, "BlockPool/LookupBlocks", lookupBlocks)
    unary(table, "BlockPool/Acquire", acquire)
    unary(table, "BlockPool/CacheBlocks", cacheBlocks)
    unary(table, "BlockPool/EvictBlocks", evictBlocks)

    unary(table, "Sequences/Add", add)
    unary(table, "Sequences/Lookup", lookup)
    unary(table, "Sequences/Admit", admit)
    unary(table, "Sequences/Extend", extend)
    unary(table, "Sequences/Append", append)
    unary(table, "Sequences/Commit", commit)
    unary(table, "Sequences/Fork", fork)
    unary(table, "Sequences/Rewind", rewind)
    unary(table, "Sequences/Preempt", preempt)
    unary(table, "Sequences/SwapOut", swapOut)
    unary(table, "Sequences/SwapIn", swapIn)
    unary(table, "Sequences/Reserve", reserve)
    unary(table, "Sequences/Pin", pin)
    unary(table, "Sequences/Free", freeSequences)
    unary(table, "Sequences/AdviseVictims", adviseVictims)
    unary(table, "Sequences/Get", getSequence)
    unary(table, "Sequences/List", listSequences)

    unary(table, "Scheduler/Step", step)
    unary(table, "Scheduler/Recover", recover)
    table.streaming("/quire.v1.Scheduler/Run", isClientStreaming: true) { responses, _ in
      RunStream(self, responses)
    }

    unary(table, "Pools/CreatePool", createPool)
    unary(table, "Pools/UpdatePool", updatePool)
    unary(table, "Pools/Flush", flush)
    unary(table, "Pools/GetPool", getPool)
    unary(table, "Pools/ListPools", listPools)
    unary(table, "Pools/DeletePool", deletePool)
    unary(table, "Pools/ResetPool", resetPool)
    unary(table, "Pools/ResetPrefixCache", resetPrefixCache)
    unary(table, "Pools/PlanDefragment", planDefragment)
    unary(table, "Pools/ApplyDefragment", applyDefragment)
    unary(table, "Pools/GetDigest", getDigest)
    table.streaming("/quire.v1.Pools/DumpPool", isClientStreaming: false) { responses, _ in
      DumpStream(self, responses)
    }
    table.streaming("/quire.v1.Pools/LoadPool", isClientStreaming: true) { responses, _ in
      LoadStream(self, responses)
    }

    unary(table, "Analyzer/GetStats", getStats)
    table.streaming("/quire.v1.Events/SubscribeKvEvents", isClientStreaming: false) {
      responses, _ in EventStream(self, responses)
    }
    table.streaming("/quire.v1.Events/DumpState", isClientStreaming: false) { responses, _ in
      StateStream(self, responses)
    }
    unary(table, "Analyzer/GetBlockMap", getBlockMap)
    unary(table, "Analyzer/GetSnapshot", getSnapshot)
    unary(table, "Analyzer/GetHistory", getHistory)
    unary(table, "Analyzer/ResetPeaks", resetPeaks)
    unary(table, "Analyzer/GetReport", getReport)
    table.streaming("/quire.v1.Analyzer/WatchStats", isClientStreaming: false) { responses, _ in
      StatsWatch(self, responses)
    }
    unary(table, "Analyzer/ExplainLookup", explainLookup)
    unary(table, "Analyzer/ExplainBlock", explainBlock)
    // Unary for clients: a trace takes more than one turn of the loop.
    table.streaming("/quire.v1.Analyzer/WhatIf", isClientStreaming: false) { responses, call in
      WhatIfCall(self, responses, peer: call.peer)
    }
    UnservedMethods.register(in: table)
  }

  /// The services, for health and reflection.
  package static let serviceNames = [
    "quire.v1.Analyzer", "quire.v1.BlockPool", "quire.v1.Events", "quire.v1.Pools",
    "quire.v1.Scheduler", "quire.v1.Sequences", "quire.v1.Sessions",
  ]

  /// A serialised `google.protobuf.FileDescriptorSet` of everything served, for reflection. Lives as
  /// long as the program.
  package static var descriptorSet: UnsafeRawBufferPointer { fileDescriptorSet() }

  typealias Method = (UnsafeRawBufferPointer, any ReplyWriter) throws(CallFailure) -> Void
  /// A method that holds no service: calling it retains nothing. For the shortest calls.
  typealias UnboundMethod = (
    QuireService, UnsafeRawBufferPointer, any ReplyWriter
  ) throws(CallFailure) -> Void

  /// The method as a handler; made once, so that a call makes no closure.
  private func unary(_ table: ServiceTable, _ path: String, _ method: @escaping Method) {
    unary(table, path) { (_, request, reply) throws(CallFailure) in try method(request, reply) }
  }

  private func unary(_ table: ServiceTable, _ path: String, _ method: @escaping UnboundMethod) {
    table.unary("/quire.v1.\(path)") { [self] request, reply, _ in
      do throws(CallFailure) {
        try method(self, request, reply)
        return nil
      } catch {
        return error.status
      }
    }
  }

  // MARK: What every RPC does

  func decode<Message: WireMessage>(
    _ type: Message.Type, _ bytes: UnsafeRawBufferPointer
  ) throws(CallFailure) -> Message {
    try decode { (decoder) throws(DecodeFailure) in try decoder.decode(type, from: bytes) }
  }

  /// What the decoder says of the bytes, as the call's failure.
  @inline(__always)
  func decode<Message>(
    _ read: (MessageDecoder) throws(DecodeFailure) -> Message
  ) throws(CallFailure) -> Message {
    do throws(DecodeFailure) {
      return try read(decoder)
    } catch {
      throw CallFailure(error)
    }
  }

  /// The pool the call names. For reads, `if_revision` is checked by `readPool`.
  func pool(_ call: CallMessage) throws(CallFailure) -> HostedPool {
    if let hosted = registry.find(call.pool) { return hosted }
    throw .unknownPool(call.pool)
  }

  /// The pool of a call that changes nothing: `if_revision` holds for it too.
  func readPool(_ call: CallMessage) throws(CallFailure) -> HostedPool {
    let hosted = try pool(call)
    try check(call.ifRevision, hosted)
    return hosted
  }

  func check(_ ifRevision: UInt64, _ hosted: HostedPool) throws(CallFailure) {
    if ifRevision == 0 || ifRevision == hosted.pool.revision { return }
    let refusal = Refusal(.revisionMoved, field: .ifRevision, subject: hosted.pool.revision)
    throw CallFailure(RefusalStatus.make(refusal, of: nil, in: hosted.pool))
  }

  /// Applies one operation as a command of its own; its result is then in `outcome`, too.
  /// `named`: what the request calls the operation, where it is not its own name; empty where the
  /// request has the operation's fields itself.
  func apply(
    _ kind: Operation.Kind, _ call: CallMessage, named: String? = nil
  ) throws(CallFailure) -> OperationResult {
    try applyInPlace(kind, call, named: named).pointee
  }

  /// The same for the shortest of calls: the result, which is larger than all that they do, stays where
  /// it is. Valid until the next command.
  func applyInPlace(
    _ kind: Operation.Kind, _ call: CallMessage, named: String? = nil
  ) throws(CallFailure) -> UnsafePointer<OperationResult> {
    // The problem is taken before anything can throw: it is about this call's content only.
    let problem = contents.takeProblem()
    let hosted = try pool(call)
    let result = hosted.pool.apply(
      one: kind, problem: problem, ifRevision: call.ifRevision, now: now(call),
      isDryRun: call.isDryRun, into: outcome)
    noteApplied(hosted)
    guard let result else { throw refused(kind, named, hosted) }
    return result
  }

  /// `.allocate(count:)`, the shortest of all.
  @inline(__always)
  func apply(
    allocating count: UInt32, _ call: CallMessage
  ) throws(CallFailure) -> UnsafePointer<OperationResult> {
    guard let hosted = registry.findUnretained(call.pool) else { throw .unknownPool(call.pool) }
    let now = now(call)
    let pool = hosted._withUnsafeGuaranteedRef { Unmanaged.passUnretained($0.pool) }
    let (result, isShort) = pool._withUnsafeGuaranteedRef {
      let result = $0.apply(
        allocating: count, session: 0, ifRevision: call.ifRevision, now: now,
        isDryRun: call.isDryRun, into: outcome)
      return (result, $0.evictionDeficit > 0)
    }
    if isShort { onDeficit?() }
    if hosted._withUnsafeGuaranteedRef({ $0.isObserved }) { tellObservers(of: hosted) }
    guard let result else {
      throw refused(.allocate(count: count), nil, hosted.takeUnretainedValue())
    }
    return result
  }

  @inline(never)
  private func tellObservers(of hosted: Unmanaged<HostedPool>) {
    hosted._withUnsafeGuaranteedRef { if $0.hasNews { $0.tellObservers(at: clock()) } }
  }

  @inline(never)
  private func refused(
    _ kind: Operation.Kind, _ named: String?, _ hosted: HostedPool
  ) -> CallFailure {
    let isWhole = outcome.refusal.reason != .none
    return CallFailure(
      RefusalStatus.make(
        isWhole ? outcome.refusal : outcome.results[0].refusal, of: Operation(kind), named: named,
        in: hosted.pool))
  }

  /// Hands the packed message to the transport.
  func send(_ reply: any ReplyWriter) {
    packer.copy(to: reply.message(byteCount: packer.byteCount))
  }
}

extension CallFailure {
  static func unknownPool(_ name: UnsafeBufferPointer<UInt8>) -> CallFailure {
    let name = name.isEmpty ? PoolRegistry.defaultName : String(decoding: name, as: UTF8.self)
    let detail = "there is no pool \"\(name.prefix(PoolRegistry.longestName))\""
    return .pool(.notFound, .invalid, "call.pool", detail)
  }

  static func missing(_ field: String) -> CallFailure { .invalid(field, "is missing") }
}
