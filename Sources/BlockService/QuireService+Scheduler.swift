internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Scheduler: the operations of one iteration as one command.
extension QuireService {
  static let mostOperations = 65_536

  func step(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(StepRequest.self, bytes)
    let hosted = try pool(request.call)
    try applyStep(request, to: hosted)
    if outcome.refusal.reason != .none {
      throw CallFailure(
        RefusalStatus.make(
          outcome.refusal, of: abortingOperation, at: outcome.abortingOperation, in: hosted.pool))
    }
    packStepReply(request, hosted, refusal: nil)
    send(reply)
  }

  /// One request of a stream: packs the reply. A refusal of the whole request goes into the reply
  /// and the stream goes on; only a request that is none of ours ends it.
  func streamedStep(_ bytes: UnsafeRawBufferPointer) throws(CallFailure) {
    let request = try decode(StepRequest.self, bytes)
    guard let hosted = registry.find(request.call.pool) else {
      packer.reset()
      packer.stepReplyHead(
        revision: 0,
        refusal: RefusalFields(
          reason: RefusalStatus.invalidReason, field: "call.pool",
          detail: CallFailure.unknownPool(request.call.pool).status.message))
      return
    }
    try applyStep(request, to: hosted)
    guard outcome.refusal.reason != .none else {
      packStepReply(request, hosted, refusal: nil)
      return
    }
    let refusal = RefusalText.fields(
      of: outcome.refusal, operation: abortingOperation, index: outcome.abortingOperation,
      pool: hosted.pool)
    packStepReply(request, hosted, refusal: refusal)
  }

  /// The operation whose refusal aborted the step; nil when it was refused for another reason.
  private var abortingOperation: Operation? { outcome.abortingOperation.map { operations[$0] } }

  private func applyStep(_ request: StepRequest, to hosted: HostedPool) throws(CallFailure) {
    let count = request.operationCount
    guard count <= Self.mostOperations else {
      throw .invalid("ops", "has \(count) operations, more than \(Self.mostOperations)")
    }
    operations.removeAll()
    contents.begin()
    for index in 0..<count {
      guard let operation = OperationReader.operation(request.operation(index), contents) else {
        throw .invalid("ops[\(index)]", "names no operation")
      }
      operations.append(operation)
    }
    let command = Command(
      session: 0, operations: operations.elements, ifRevision: request.call.ifRevision,
      now: now(request.call), isDryRun: request.call.isDryRun, isStep: true,
      acknowledgedCopyID: request.ackedCopyID,
      tokenBudget: request.tokenBudget,
      refusesAdmissionAfterPreemption: request.refusesAdmissionAfterPreemption,
      onRefusal: OperationReader.onRefusal(request.onRefusal) ?? .continue,
      victimPolicy: VictimPolicy(rawValue: UInt8(truncatingIfNeeded: request.victimPolicy)) ?? .fcfs
    )
    hosted.pool.apply(command, into: outcome)
    noteApplied(hosted)
    if let waits = hosted.waits, !request.call.isDryRun {
      waits.note(operations.elements, outcome, of: hosted.pool, session: 0, at: clockNow)
    }
  }

  // MARK: The reply

  private func packStepReply(
    _ request: StepRequest, _ hosted: HostedPool, refusal: RefusalFields?
  ) {
    packer.reset()
    packer.abandonedCopies(outcome.abandoned.elements)
    if request.wantsStats {
      let mark = packer.mark
      packer.stats(StatsFields(hosted))
      packer.close(MessagePacker.stepStatsField, since: mark)
    }
    packer.stepReplyTail(availableBlocks: outcome.availableBlocks)
    var index = outcome.results.count
    while index > 0 {
      index -= 1
      let mark = packer.mark
      packResult(outcome.results[index], of: operations[index], hosted.pool)
      packer.closeStepResult(since: mark)
    }
    packer.stepReplyHead(revision: outcome.revision, refusal: refusal)
  }

  private func packResult(_ result: OperationResult, of operation: Operation, _ pool: KVPool) {
    let isRefused = result.refusal.reason != .none
    // An extension may have preempted others before it was refused all the same; a recovery tells
    // what would have been.
    if !isRefused || result.preempted.count > 0 || result.reports.count > 0 {
      let mark = packer.mark
      let field = packReply(result, of: operation, pool)
      packer.closeOperationReply(field, since: mark)
    }
    if isRefused { packer.operationRefusal(streamedRefusal(result.refusal, operation, pool)) }
  }

  /// "The pool is full" and "not attempted" come by the hundred when they come, and their numbers
  /// say it all; only the others get words.
  private func streamedRefusal(
    _ refusal: Refusal, _ operation: Operation, _ pool: KVPool
  ) -> RefusalFields {
    if refusal.reason == .later || refusal.reason == .notAttempted {
      return RefusalFields(
        reason: UInt32(refusal.reason.rawValue),
        field: refusal.field == .admissionThreshold ? RefusalText.thresholdField : "",
        needed: refusal.needed,
        available: refusal.available, evictableWithinAvailable: refusal.evictable,
        reserved: refusal.reserved, watermark: refusal.watermark, sequenceID: refusal.sequence,
        largestRun: RefusalText.largestRun(refusal, operation),
        sizeClass: UInt32(refusal.sizeClass))
    }
    return RefusalText.fields(of: refusal, operation: operation, pool: pool)
  }

  private func packReply(
    _ result: OperationResult, of operation: Operation, _ pool: KVPool
  ) -> OperationReplyField {
    let revision = outcome.revision
    let available = result.availableBlocks
    switch operation.kind {
    case .allocate, .place:
      packer.mustZero(outcome.mustZero.elements(result.mustZero))
      packer.allocateReply(
        revision: revision, blockIDs: outcome.blocks.elements(result.newBlocks),
        availableBlocks: available, evictedBlocks: result.evictedBlocks)
      return .allocate
    case .freeBlocks:
      packer.freeReply(
        revision: revision, freedBlocks: result.freedBlocks, availableBlocks: available)
      return .freeBlocks
    case .forkBlocks:
      packer.forkBlocksReply(
        revision: revision, refCounts: outcome.counts.elements(result.counts))
      return .forkBlocks
    case .copyOnWrite:
      packer.mustZero(outcome.mustZero.elements(result.mustZero))
      packer.copyOnWriteReply(
        revision: revision, blockID: result.block, copy: firstCopy(result),
        availableBlocks: available)
      return .copyOnWrite
    case .acknowledgeCopies:
      packer.ackCopiesReply(
        revision: revision, acknowledged: result.affected, pending: result.pendingCopies,
        availableBlocks: available)
      return .ackCopies
    case .acquire:
      packAcquireReply(result)
      return .acquire
    case .cacheBlocks:
      packer.cacheBlocksReply(revision: revision, cachedBlocks: result.affected)
      return .cacheBlocks
    case .evictBlocks:
      packer.evictBlocksReply(
        revision: revision, evictedBlocks: result.affected, availableBlocks: available)
      return .evictBlocks
    default: return packSequenceReply(result, of: operation, pool)
    }
  }

  private func packSequenceReply(
    _ result: OperationResult, of operation: Operation, _ pool: KVPool
  ) -> OperationReplyField {
    let revision = outcome.revision
    let available = result.availableBlocks
    switch operation.kind {
    case .decode:
      packDecodeResult(result, of: operation, pool)
      return .decode
    case .admit:
      packAdmitReply(result)
      return .admit
    case .extend:
      packExtendReply(result)
      return .extend
    case .append:
      packer.appendReply(revision: revision, tokens: result.tokens)
      return .append
    case .commit:
      packCommitReply(result)
      return .commit
    case .fork:
      packForkReply(result)
      return .fork
    case .rewind:
      packRewindReply(result)
      return .rewind
    case .preempt:
      packer.preemptReply(
        revision: revision, freedBlocks: result.freedBlocks, availableBlocks: available,
        preemptedSequences: result.affected)
      return .preempt
    case .swapOut:
      packSwapReply(result)
      return .swapOut
    case .swapIn:
      packSwapReply(result)
      return .swapIn
    case .freeSequences:
      packer.freeSequencesReply(
        revision: revision, freedBlocks: result.freedBlocks, freedSequences: result.affected,
        availableBlocks: available)
      return .freeSequences
    case .reserve:
      packer.reserveReply(
        revision: revision, reservedBlocks: result.affected, availableBlocks: available)
      return .reserve
    case .flush:
      packFlushReply(result)
      return .flush
    case .recover:
      var isOfRun = false
      if case .recover(let request) = operation.kind { isOfRun = request.isContiguous }
      packRecoverReply(result, isOfRun: isOfRun)
      return .recover
    case .applyDefragment:
      packApplyDefragmentReply(result)
      return .applyDefragment
    case .add:
      packer.addReply(
        revision: revision, tokens: result.tokens, blocksNeeded: result.blocksNeeded)
      return .add
    case .allocate, .place, .freeBlocks, .forkBlocks, .copyOnWrite, .acknowledgeCopies, .acquire,
      .cacheBlocks, .evictBlocks:
      preconditionFailure("raw blocks are packed by packReply")
    case .pin:
      packPinReply(result)
      return .pin
    case .resetPrefixCache:
      packResetPrefixCacheReply(result)
      return .resetPrefixCache
    case .updatePool:
      preconditionFailure("no operation of a step is read as this one")
    }
  }

  private func packDecodeResult(
    _ result: OperationResult, of operation: Operation, _ pool: KVPool
  ) {
    packer.mustZero(outcome.mustZero.elements(result.mustZero))
    packer.decodeResultAfterCopies(
      evictedBlocks: result.evictedBlocks,
      nullPrefixBlocks: outcome.nullCounts.elements(result.nullCounts))
    packCopies(MessagePacker.decodeCopiesField, result)
    packer.decodeResultBeforeCopies(
      newBlockCounts: outcome.counts.elements(result.counts),
      newBlockIDs: outcome.blocks.elements(result.newBlocks),
      refused: outcome.refusedIndexes.elements(result.refusedIndexes),
      firstRefusal: result.firstRefusal.reason == .none
        ? nil : streamedRefusal(result.firstRefusal, operation, pool),
      preemptedSequenceIDs: outcome.preempted.elements(result.preempted))
  }
}
