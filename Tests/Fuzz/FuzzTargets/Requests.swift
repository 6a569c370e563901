internal import BlockMessages
internal import BlockService
internal import GRPCWire
internal import KVBlocks

/// A byte for the pool, then requests: a byte for the method, two for the length, the message.
///
/// Any message is decoded and, when it is one, served. What is refused changes nothing; what is served
/// leaves every pool sound; and a second service that gets each message as protobuf-c packs it again
/// says and does the same, so that whatever reads messages reads them as protobuf-c does.
func fuzzRequests(_ input: UnsafeRawBufferPointer) {
  var reader = InputReader(input)
  let choices = reader.byte()
  let service = FuzzedService(choices)
  let other = FuzzedService(choices)
  while !reader.isEmpty {
    let method = Int(reader.byte()) % FuzzedService.methods.count
    let request = reader.bytes(Int(reader.word()))
    let kind = FuzzedService.methods[method].kind
    let canonical = MessageOracle.repack(request, as: kind)
    if let canonical { checkOracle(canonical, kind) }
    let answer = service.call(method, request, canonical)
    let otherAnswer =
      canonical?.withUnsafeBytes { other.call(method, $0, canonical) }
      ?? other.call(method, request, nil)
    demand(
      answer.status == otherAnswer.status,
      "\(String(describing: answer.status)), and repacked \(String(describing: otherAnswer.status))"
    )
    demand(answer.replies == otherAnswer.replies, "another reply to the repacked request")
    demand(
      answer.status != .ok || MessageOracle.accepts(request, as: kind),
      "a request was served that protobuf-c does not read")
  }
  demand(service.digests == other.digests, "another state after the repacked requests")
  service.checkDumps()
}

/// Methods of `quire.v1` that are served and never fuzzed.
package func methodsNotFuzzed() -> [String] { FuzzedService(nil).forgotten }

/// What protobuf-c packs it reads again, and packs in the same way.
private func checkOracle(_ message: [UInt8], _ kind: MessageKind) {
  let again = message.withUnsafeBytes { MessageOracle.repack($0, as: kind) }
  demand(again == message, "protobuf-c changes its mind about \(kind)")
}

/// The service over small pools, whose every call is watched.
private final class FuzzedService {
  struct Answer {
    var status: Status?
    var replies: [[UInt8]] = []
  }

  /// The order is that of the corpus: new ones go to the end.
  static let methods: [(path: String, kind: MessageKind)] = [
    ("BlockPool/Allocate", .allocateRequest), ("BlockPool/Free", .freeRequest),
    ("BlockPool/Fork", .forkBlocksRequest), ("BlockPool/CopyOnWrite", .copyOnWriteRequest),
    ("BlockPool/AckCopies", .ackCopiesRequest), ("BlockPool/LookupBlocks", .lookupBlocksRequest),
    ("BlockPool/Acquire", .acquireRequest), ("BlockPool/CacheBlocks", .cacheBlocksRequest),
    ("BlockPool/EvictBlocks", .evictBlocksRequest), ("Sequences/Add", .addRequest),
    ("Sequences/Lookup", .lookupRequest), ("Sequences/Admit", .admitRequest),
    ("Sequences/Extend", .extendRequest), ("Sequences/Append", .appendRequest),
    ("Sequences/Commit", .commitRequest), ("Sequences/Fork", .forkRequest),
    ("Sequences/Rewind", .rewindRequest), ("Sequences/Preempt", .preemptRequest),
    ("Sequences/SwapOut", .swapRequest), ("Sequences/SwapIn", .swapRequest),
    ("Sequences/Reserve", .reserveRequest), ("Sequences/Pin", .pinRequest),
    ("Sequences/Free", .freeSequencesRequest), ("Sequences/AdviseVictims", .adviseVictimsRequest),
    ("Sequences/Get", .getSequenceRequest), ("Sequences/List", .listSequencesRequest),
    ("Scheduler/Step", .stepRequest), ("Scheduler/Recover", .recoverRequest),
    ("Pools/CreatePool", .createPoolRequest), ("Pools/UpdatePool", .updatePoolRequest),
    ("Pools/Flush", .flushRequest), ("Pools/GetPool", .getPoolRequest),
    ("Pools/ListPools", .listPoolsRequest), ("Pools/DeletePool", .deletePoolRequest),
    ("Pools/ResetPool", .resetPoolRequest), ("Pools/ResetPrefixCache", .resetPrefixCacheRequest),
    ("Pools/PlanDefragment", .planDefragmentRequest),
    ("Pools/ApplyDefragment", .applyDefragmentRequest), ("Pools/GetDigest", .getDigestRequest),
    ("Analyzer/GetStats", .getStatsRequest), ("Scheduler/Run", .stepRequest),
    ("Pools/DumpPool", .dumpPoolRequest), ("Pools/LoadPool", .loadPoolRequest),
    ("Analyzer/WatchStats", .watchStatsRequest), ("Analyzer/GetBlockMap", .getBlockMapRequest),
    ("Analyzer/GetSnapshot", .getSnapshotRequest), ("Analyzer/GetHistory", .getHistoryRequest),
    ("Analyzer/ResetPeaks", .resetPeaksRequest),
    ("Events/DumpState", .dumpStateRequest),
    ("Events/SubscribeKvEvents", .subscribeKvEventsRequest),
    ("Analyzer/ExplainLookup", .lookupRequest), ("Analyzer/ExplainBlock", .explainBlockRequest),
    ("Analyzer/WhatIf", .whatIfRequest), ("Analyzer/GetReport", .getReportRequest),
  ]

  /// Methods that are served and have no number here.
  var forgotten: [String] {
    let known = Set(FuzzedService.methods.map { "/quire.v1.\($0.path)" })
    let unserved = Set(UnservedMethods.all.map { "/quire.v1.\($0)" })
    return table.methods.keys.filter { !known.contains($0) && !unserved.contains($0) }.sorted()
  }

  private let registry: PoolRegistry
  private let table = ServiceTable()
  private let service: QuireService

  /// - Parameter choices: The kind of the one pool; nil = no pool.
  init(_ choices: UInt8?) {
    registry = PoolRegistry(limits: .init(pools: 4, blocksInAll: 256, dumpBytes: 1 << 20))
    if let choices { FuzzedService.addPool(choices, to: registry) }
    let clock = Clock()
    // From the first call that asks for events on, each other call is encoded as some.
    var events = EventOptions()
    events.ringBytes = EventOptions.leastRingBytes
    events.ringBatches = 100
    service = QuireService(pools: registry, events: events) { clock.read() }
    var epoch: UInt64 = 0
    service.events.drawEpoch = {
      epoch += 1
      return epoch
    }
    service.register(in: table)
    service.replayLimit = 64
    // Traces are played for twenty pieces, of twenty commands or so, while the call is still there.
    var time: UInt64 = 0
    service.nanoseconds = {
      time += 100_000
      return time
    }
    var pieces = 0
    service.onReplay = { [unowned service] delay in
      pieces = delay == 0 ? 0 : pieces + 1
      if pieces < 20 { service.playTraces() }
    }
  }

  private static func addPool(_ choices: UInt8, to registry: PoolRegistry) {
    let strategies: [AllocationStrategy] = [.freeQueue, .firstFit, .bestFit, .buddy]
    let policies: [EvictionPolicy] = [.lru, .priority, .lfu, .s3FIFO]
    let strategy = strategies[Int(choices & 3)]
    let caches = strategy != .buddy && choices & 64 == 0
    registry.add(
      name: "default",
      PoolConfiguration(
        blocks: 24, blockSize: 4, copyAck: choices & 128 == 0 ? .nextStep : .explicit,
        cachesPrefixes: caches, keepsTokens: choices & 32 != 0, strategy: strategy,
        eviction: caches ? policies[Int(choices >> 2 & 3)] : .lru,
        hostBlocks: choices & 16 != 0 ? 8 : 0))
  }

  /// A millisecond more with every look.
  private final class Clock {
    private var time: UInt64 = 1_000
    func read() -> UInt64 {
      time += 1
      return time
    }
  }

  var digests: [String: [UInt64]] {
    var result: [String: [UInt64]] = [:]
    for hosted in registry.pools {
      result[hosted.name] = [hosted.pool.revision, hosted.pool.stateDigest()]
    }
    return result
  }

  /// Makes one call and checks what it left behind.
  ///
  /// - Parameter canonical: The request as protobuf-c packs it; nil when that has no opinion.
  func call(_ method: Int, _ request: UnsafeRawBufferPointer, _ canonical: [UInt8]?) -> Answer {
    let path = "/quire.v1." + FuzzedService.methods[method].path
    let before = digests
    var answer = Answer()
    if case .unary? = table.methods[path] {
      let (status, reply) = unary(table, path, request)
      answer = Answer(status: status, replies: status == .ok ? [reply] : [])
    } else {
      let sealed = path.hasSuffix("LoadPool") ? sealing(request) : Array(request)
      sealed.withUnsafeBytes {
        (answer.replies, answer.status) = stream(table, path, [$0])
      }
    }
    for reply in answer.replies { reply.withUnsafeBytes { demandWellFormed($0) } }
    for hosted in registry.pools {
      if let problem = hosted.pool.checkInvariants() {
        fatalError("\(path) left \(hosted.name) so: \(problem)")
      }
    }
    if answer.status != .ok {
      demand(digests == before, "\(path) was refused and changed a pool")
    } else if let canonical, isDryRun(canonical) {
      demand(digests == before, "a dry run of \(path) changed a pool")
    }
    service.evictAhead()
    return answer
  }

  /// `Call.dry_run` of a message with one `call`.
  private func isDryRun(_ request: [UInt8]) -> Bool {
    request.withUnsafeBytes { bytes in
      var reader = ProtoReader(bytes)
      while let (number, value) = reader.next() {
        guard number == 1, case .bytes(let call) = value else { continue }
        var fields = ProtoReader(call)
        while let (number, value) = fields.next() {
          if number == 6, case .varint(1) = value { return true }
        }
      }
      return false
    }
  }

  /// A dump carries a checksum, which no mutation gets right: it is put right here.
  private func sealing(_ request: UnsafeRawBufferPointer) -> [UInt8] {
    var reader = ProtoReader(request)
    var copy = Array(request)
    while let (number, value) = reader.next() {
      guard number == 4, case .bytes(let data) = value, let start = data.baseAddress,
        let base = request.baseAddress
      else { continue }
      let offset = start - base
      copy.withUnsafeMutableBytes {
        KVPool.seal(
          UnsafeMutableRawBufferPointer(rebasing: $0[offset..<offset + data.count]))
      }
    }
    return copy
  }

  /// Every pool that was reached can be dumped, and loaded elsewhere as it was.
  func checkDumps() {
    for hosted in registry.pools {
      var call = ProtoWriter()
      call.message(1) { $0.string(1, hosted.name) }
      let (chunks, status) = call.bytes.withUnsafeBytes {
        stream(table, "/quire.v1.Pools/DumpPool", [$0])
      }
      demand(status == .ok, "\(hosted.name) cannot be dumped")
      var load = ProtoWriter()
      load.string(2, hosted.name)
      for chunk in chunks {
        chunk.withUnsafeBytes { bytes in
          var reader = ProtoReader(bytes)
          while let (number, value) = reader.next() {
            if number == 5, case .bytes(let data) = value { load.bytes(4, data) }
          }
        }
      }
      demand(chunks.count == 1, "\(chunks.count) chunks of a small pool")
      let copies = FuzzedService(nil)
      let loaded = load.bytes.withUnsafeBytes {
        stream(copies.table, "/quire.v1.Pools/LoadPool", [$0])
      }
      demand(
        loaded.status == .ok,
        "\(hosted.name) cannot be loaded: \(String(describing: loaded.status))")
      demand(
        copies.digests[hosted.name]?[1] == hosted.pool.stateDigest(),
        "\(hosted.name) is another one when it is loaded")
    }
  }
}
