internal import Analysis
internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Analyzer: why a lookup ends where it ends, and what happened to a block.
extension QuireService {
  static let mostSteps = 65_536
  static let mostHolders = 1_000
  static let mostIncidents = 10_000

  func explainBlock(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(ExplainBlockRequest.self, bytes)
    let hosted = try readPool(request.call)
    let pool = hosted.pool
    let id = request.blockID
    guard id >= 1 && id <= pool.configuration.blocks else {
      throw .invalid("block_id", "is \(id); the blocks are 1 to \(pool.configuration.blocks)")
    }
    guard request.maxIncidents <= Self.mostIncidents else {
      throw .invalid(
        "max_incidents", "is \(request.maxIncidents), more than \(Self.mostIncidents)")
    }
    let limit = request.maxIncidents == 0 ? 100 : Int(request.maxIncidents)
    let history = histories?.history(of: hosted)
    let incidents = history?.incidents.incidents(of: id, limit: limit) ?? []
    packer.reset()
    packer.explainBlockTail(
      incidents: incidents.map(BlockIncidentFields.init), since: history?.since,
      isHistoryOff: history == nil)
    for hold in pool.holders(of: id, limit: Self.mostHolders).reversed() {
      packer.explainBlockHolder(
        session: hold.session, sequence: hold.sequence, tableIndex: hold.tableIndex,
        references: hold.references)
    }
    let view = pool.block(id)
    packer.explainBlockHead(
      revision: pool.revision, blockID: id, state: BlockStateValue.of(view.state),
      refCount: view.refCount, generation: view.generation,
      blockHash: pool.content(id).map { $0.bytes(pool.configuration.hashBytes) } ?? [])
    send(reply)
  }

  func explainLookup(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(LookupRequest.self, bytes)
    let hosted = try readPool(request.call)
    let pool = hosted.pool
    outcome.reset()
    let history = histories?.history(of: hosted)
    let found = try look(request, in: hosted) { (subject) throws(Refusal) in
      try pool.look(subject, into: &outcome.cached)
    }
    var explained = try look(request, in: hosted) {
      (subject) throws(Refusal) -> LookupExplanation? in
      let trace: LookupTrace?
      switch subject {
      case .sequence(let id): trace = pool.trace(session: 0, sequence: id)
      case .content(let new): trace = try pool.trace(new)
      }
      return trace.map {
        LookupExplanation($0, found, in: pool, history: history, atMost: Self.mostSteps)
      }
    }
    if explained.firstMiss != nil {
      // Whatever keys came with it may be what keeps it apart. Without them it is other content.
      explained.isCachedWithoutKeys = try look(request, in: hosted) {
        (subject) throws(Refusal) -> Bool? in
        guard case .content(var new) = subject, new.tokenIDs.count > 0, new.extraKeys.count > 0
        else { return false }
        new.extraKeys = .init(start: nil, count: 0)
        let plain = try pool.trace(new)
        let miss = explained.firstMiss ?? 0
        return miss < plain.count && pool.hit(miss, of: plain) != 0
      }
    }
    packer.reset()
    packer.explainLookupReply(
      revision: pool.revision, cachedTokens: found.cachedTokens, steps: explained.steps,
      conclusion: explained.conclusion(now: clockNow), end: explained.end,
      fullBlocks: UInt32(explained.fullBlocks))
    send(reply)
  }
}

extension BlockHash {
  /// 16 or 32 bytes.
  func bytes(_ count: Int) -> [UInt8] {
    withUnsafeBytes(of: words) { Array($0.prefix(count)) }
  }
}

/// Values of `quire.v1.BlockState`.
enum BlockStateValue {
  static func of(_ state: BlockState) -> UInt32 {
    switch state {
    case .free: 1
    case .cached: 2
    case .active: 3
    case .shared: 4
    case .pinned: 5
    case .pending: 6
    }
  }
}

extension BlockIncidentFields {
  init(_ incident: BlockIncidents.Incident) {
    self.init(
      revision: incident.revision, kind: Self.value(of: incident.kind),
      session: incident.owner.session, sequence: incident.owner.sequence,
      timeMs: incident.milliseconds, cause: UInt32(incident.cause.rawValue),
      isTarget: incident.isTarget)
  }

  /// The value of `quire.v1.BlockIncidentKind`. Causes have the domain's numbers.
  private static func value(of kind: ChangeLog.Kind) -> UInt32 {
    switch kind {
    case .handedOut: 1
    case .shared, .sequenceForked: 2
    case .hit: 3
    case .stored: 4
    case .released: 5
    case .evicted: 6
    case .copied: 7
    case .moved: 8
    case .cleared: 9
    case .pinned: 10
    case .unpinned: 11
    case .moveOrdered: 12
    case .lazilyFreed: 13
    case .flushed: 14
    }
  }
}
