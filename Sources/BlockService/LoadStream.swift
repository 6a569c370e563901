internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// One call of `Pools.LoadPool`: collects the bytes of a dump, and makes a pool of them when the
/// client has sent all. Whatever is wrong ends the call, and nothing was changed.
final class LoadStream: RequestStream {
  private let service: QuireService
  private let responses: any ResponseStream
  private var target: LoadTarget?
  private var data = FlatList<UInt8>(minimumCapacity: 1)
  private var isOver = false

  init(_ service: QuireService, _ responses: any ResponseStream) {
    self.service = service
    self.responses = responses
  }

  deinit { service.transfers.giveBack(data.count) }

  func received(_ message: UnsafeRawBufferPointer) {
    if isOver { return }
    do throws(CallFailure) {
      let request = try service.decode(LoadPoolRequest.self, message)
      if target == nil {
        target = try service.loadTarget(request)
      } else if !request.isDataOnly {
        throw .invalid("data", "must stand alone in all messages but the first")
      }
      try service.transfers.take(request.data.count)
      let bytes = request.data.assumingMemoryBound(to: UInt8.self)
      if let source = bytes.baseAddress {
        data.extend(by: bytes.count).initialize(from: source, count: bytes.count)
      }
    } catch {
      finish(error.status)
    }
  }

  func halfClosed() {
    if isOver { return }
    do throws(CallFailure) {
      guard let target else { throw .missing("data") }
      try service.load(target, UnsafeRawBufferPointer(data.elements))
      responses.send(byteCount: service.packer.byteCount) { service.packer.copy(to: $0) }
      finish(.ok)
    } catch {
      finish(error.status)
    }
  }

  func cancelled(_ status: Status) { isOver = true }
  func drained() {}

  private func finish(_ status: Status) {
    isOver = true
    responses.finish(status)
  }
}

/// What the first message of `Pools.LoadPool` asks for.
struct LoadTarget {
  var name: String
  var ifExists: IfExists
  var ifRevision: UInt64
  var isDryRun: Bool
}

extension QuireService {
  /// Refuses at once what the rest of the upload cannot mend.
  func loadTarget(_ request: LoadPoolRequest) throws(CallFailure) -> LoadTarget {
    let target = LoadTarget(
      name: try poolName(request.name, request.call), ifExists: request.ifExists,
      ifRevision: request.call.ifRevision, isDryRun: request.call.isDryRun)
    _ = try existing(target)
    return target
  }

  /// The pool that is there already, if it may be there and is at the revision that is wanted.
  private func existing(_ target: LoadTarget) throws(CallFailure) -> HostedPool? {
    let existing = registry.pools.first { $0.name == target.name }
    try checkRevision(target.ifRevision, of: existing, target.name)
    if let existing, target.ifExists == .error { throw .poolExists(existing.name) }
    if existing == nil { try checkOneMorePool() }
    return existing
  }

  /// Makes a pool of the bytes, and packs its `PoolInfo`.
  func load(_ target: LoadTarget, _ bytes: UnsafeRawBufferPointer) throws(CallFailure) {
    // Other calls were served while the bytes came.
    let existing = try existing(target)
    let configuration = try reading { () throws(StateFailure) in
      try KVPool.configuration(inDump: bytes)
    }
    try checkRoom(for: configuration, insteadOf: existing)
    let pool = try reading { () throws(StateFailure) in
      try KVPool(loading: bytes, secret: HostedPool.drawSecret()) { PoolHasher($0) }
    }
    var info = PoolInfoFields(HostedPool(name: target.name, pool: pool))
    if let existing {
      if target.ifExists == .return {
        guard existing.pool.stateDigest() == pool.stateDigest() else {
          throw .pool(
            .failedPrecondition, .wrongState, "data",
            "pool \"\(existing.name)\" is in another state than the dump in data")
        }
      } else if target.isDryRun {
        info.revision = existing.pool.revision
      } else {
        pool.goOn(after: existing.pool)
        existing.replace(with: pool, at: clockNow)
        info.revision = pool.revision
      }
    } else if !target.isDryRun {
      registry.insert(HostedPool(name: target.name, pool: pool))
    }
    packer.reset()
    packer.poolInfo(info)
  }

  /// What the bytes say, with its own failure.
  private func reading<Result>(
    _ read: () throws(StateFailure) -> Result
  ) throws(CallFailure) -> Result {
    do throws(StateFailure) {
      return try read()
    } catch {
      throw .invalid("data", "is no dump of a pool: \(error.detail)")
    }
  }
}
